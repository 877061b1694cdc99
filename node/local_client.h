#pragma once
// The command line's side of the local API: one call each, with a deadline, failures as exit codes.
// Thread: one.
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "node/home.h"
#include "node/local_path.h"
#include "starling/v1/admin.grpc.pb.h"
#include "starling/v1/inspect.grpc.pb.h"
#include "starling/v1/mind.grpc.pb.h"

namespace starling::node {

template <typename T>
using Answer = Result<T, HomeError>;

class LocalClient {
 public:
  // `timeout_s`: for each call; none: 10 s for quick ones, 600 s for learning and asking, none for
  // watching. Errors: unreachable (no node runs there), permission, temporary.
  static Answer<LocalClient> connect(const std::string& directory, std::optional<double> timeout_s);

  Answer<v1::GetStatusResponse> status();
  Answer<v1::ListMembersResponse> members(bool is_with_influence = false);
  Answer<v1::ListPendingResponse> pending();
  Answer<v1::ListRegionsResponse> regions();
  Answer<v1::GetProvenanceResponse> provenance(const std::string& region);
  // Until `on_event` returns false, the timeout passes (which is no error then) or the node stops.
  Answer<Done> watch(const v1::WatchEventsRequest& request,
                     const std::function<bool(const v1::WatchEventsResponse&)>& on_event);

  Answer<Done> ask(const v1::AskRequest& request,
                   const std::function<bool(const std::string&)>& on_bytes);
  Answer<v1::LearnResponse> learn(const v1::LearnHeader& header, const std::string& bytes);
  Answer<v1::TeachResponse> teach(const std::string& prompt, const std::string& answer);
  Answer<v1::EvaluateResponse> evaluate(v1::DataKind kind, const std::string& bytes);

  Answer<Done> pause();
  Answer<Done> resume();
  Answer<std::string> create_invite(const v1::CreateInviteRequest& request);
  Answer<v1::RevokeResponse> revoke(const v1::RevokeRequest& request);
  Answer<std::string> snapshot();
  Answer<std::string> rollback();
  // A bundle, piece by piece, until `on_bytes` returns false.
  Answer<v1::ExportedDeltas> export_deltas(const v1::ExportDeltasRequest& request,
                                           const std::function<bool(const std::string&)>& on_bytes);
  // `next_bytes` gives the bundle in pieces of at most local_chunk_size, and nothing at its end.
  Answer<v1::ImportDeltasResponse> import_deltas(
      const std::function<std::optional<std::string>()>& next_bytes);
  Answer<Done> leave();
  Answer<Done> set_log_level(const std::string& level);

 private:
  LocalClient(std::string directory, std::optional<double> timeout_s, LocalPath place);
  HomeError error_of(const grpc::Status& status) const;
  void set_deadline(grpc::ClientContext& call, std::optional<double> default_s) const;
  template <typename Response, typename Stub, typename Method, typename Request>
  Answer<Response> unary(Stub& stub, Method method, const Request& request, double default_s);

  std::string directory_;
  std::optional<double> timeout_s_;
  LocalPath place_;
  std::unique_ptr<v1::InspectService::Stub> inspect_;
  std::unique_ptr<v1::MindService::Stub> mind_;
  std::unique_ptr<v1::AdminService::Stub> admin_;
};

}  // namespace starling::node
