#pragma once
// The three services of the local API over one Daemon: a message in, a call, a message out.
#include "node/local_call.h"
#include "starling/v1/admin.grpc.pb.h"
#include "starling/v1/inspect.grpc.pb.h"
#include "starling/v1/mind.grpc.pb.h"

namespace starling::node {

// What every service needs. All of it outlives the services.
struct LocalParts {
  Daemon& daemon;
  CallThreads& quick;     // status and commands
  CallThreads& mind;      // ask, learn, teach, evaluate
  CallThreads& watchers;  // one per WatchEvents
  const std::string& token;
  const std::atomic<bool>& is_stopping;
};

class InspectCalls final : public v1::InspectService::CallbackService {
 public:
  explicit InspectCalls(const LocalParts& parts) : parts_(parts) {}

 private:
  using Call = grpc::CallbackServerContext;
  grpc::ServerUnaryReactor* GetStatus(Call* call, const v1::GetStatusRequest* request,
                                      v1::GetStatusResponse* response) override;
  grpc::ServerUnaryReactor* ListMembers(Call* call, const v1::ListMembersRequest* request,
                                        v1::ListMembersResponse* response) override;
  grpc::ServerUnaryReactor* ListPending(Call* call, const v1::ListPendingRequest* request,
                                        v1::ListPendingResponse* response) override;
  grpc::ServerUnaryReactor* ListRegions(Call* call, const v1::ListRegionsRequest* request,
                                        v1::ListRegionsResponse* response) override;
  grpc::ServerWriteReactor<v1::WatchEventsResponse>* WatchEvents(
      Call* call, const v1::WatchEventsRequest* request) override;
  grpc::ServerUnaryReactor* GetProvenance(Call* call, const v1::GetProvenanceRequest* request,
                                          v1::GetProvenanceResponse* response) override;
  const LocalParts parts_;
};

class MindCalls final : public v1::MindService::CallbackService {
 public:
  explicit MindCalls(const LocalParts& parts) : parts_(parts) {}

 private:
  using Call = grpc::CallbackServerContext;
  grpc::ServerWriteReactor<v1::AskResponse>* Ask(Call* call,
                                                 const v1::AskRequest* request) override;
  grpc::ServerReadReactor<v1::LearnRequest>* Learn(Call* call,
                                                   v1::LearnResponse* response) override;
  grpc::ServerUnaryReactor* Teach(Call* call, const v1::TeachRequest* request,
                                  v1::TeachResponse* response) override;
  grpc::ServerReadReactor<v1::EvaluateRequest>* Evaluate(Call* call,
                                                         v1::EvaluateResponse* response) override;
  const LocalParts parts_;
};

class AdminCalls final : public v1::AdminService::CallbackService {
 public:
  explicit AdminCalls(const LocalParts& parts) : parts_(parts) {}

 private:
  using Call = grpc::CallbackServerContext;
  grpc::ServerUnaryReactor* Pause(Call* call, const v1::PauseRequest* request,
                                  v1::PauseResponse* response) override;
  grpc::ServerUnaryReactor* Resume(Call* call, const v1::ResumeRequest* request,
                                   v1::ResumeResponse* response) override;
  grpc::ServerUnaryReactor* CreateInvite(Call* call, const v1::CreateInviteRequest* request,
                                         v1::CreateInviteResponse* response) override;
  grpc::ServerUnaryReactor* Revoke(Call* call, const v1::RevokeRequest* request,
                                   v1::RevokeResponse* response) override;
  grpc::ServerUnaryReactor* Snapshot(Call* call, const v1::SnapshotRequest* request,
                                     v1::SnapshotResponse* response) override;
  grpc::ServerUnaryReactor* Rollback(Call* call, const v1::RollbackRequest* request,
                                     v1::RollbackResponse* response) override;
  grpc::ServerWriteReactor<v1::ExportDeltasResponse>* ExportDeltas(
      Call* call, const v1::ExportDeltasRequest* request) override;
  grpc::ServerReadReactor<v1::ImportDeltasRequest>* ImportDeltas(
      Call* call, v1::ImportDeltasResponse* response) override;
  grpc::ServerUnaryReactor* Leave(Call* call, const v1::LeaveRequest* request,
                                  v1::LeaveResponse* response) override;
  grpc::ServerUnaryReactor* SetLogLevel(Call* call, const v1::SetLogLevelRequest* request,
                                        v1::SetLogLevelResponse* response) override;
  const LocalParts parts_;
};

}  // namespace starling::node
