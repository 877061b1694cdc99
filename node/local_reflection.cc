#include "node/local_reflection.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include <algorithm>
#include <set>

namespace starling::node {

namespace {

namespace reflection = grpc::reflection::v1alpha;
namespace health = grpc::health::v1;
using google::protobuf::DescriptorPool;
using google::protobuf::FileDescriptor;

// The file and whatever it imports, each once, as clients want them.
void add_file(const FileDescriptor* file, std::set<std::string>& seen,
              reflection::FileDescriptorResponse& response) {
  if (!seen.insert(file->name()).second) return;
  google::protobuf::FileDescriptorProto proto;
  file->CopyTo(&proto);
  response.add_file_descriptor_proto(proto.SerializeAsString());
  for (int i = 0; i < file->dependency_count(); ++i) add_file(file->dependency(i), seen, response);
}

reflection::ServerReflectionResponse answer(const reflection::ServerReflectionRequest& request,
                                            const std::vector<std::string>& services) {
  reflection::ServerReflectionResponse response;
  response.set_valid_host(request.host());
  *response.mutable_original_request() = request;
  const FileDescriptor* file = nullptr;
  switch (request.message_request_case()) {
    case reflection::ServerReflectionRequest::kListServices:
      for (const auto& name : services) {
        response.mutable_list_services_response()->add_service()->set_name(name);
      }
      return response;
    case reflection::ServerReflectionRequest::kFileByFilename:
      file = DescriptorPool::generated_pool()->FindFileByName(request.file_by_filename());
      break;
    case reflection::ServerReflectionRequest::kFileContainingSymbol:
      file = DescriptorPool::generated_pool()->FindFileContainingSymbol(
          request.file_containing_symbol());
      break;
    case reflection::ServerReflectionRequest::MESSAGE_REQUEST_NOT_SET:
      response.mutable_error_response()->set_error_code(grpc::StatusCode::UNIMPLEMENTED);
      response.mutable_error_response()->set_error_message("this question is not answered here");
      return response;
  }
  if (!file) {
    response.mutable_error_response()->set_error_code(grpc::StatusCode::NOT_FOUND);
    response.mutable_error_response()->set_error_message("no such file or symbol");
    return response;
  }
  std::set<std::string> seen;
  add_file(file, seen, *response.mutable_file_descriptor_response());
  return response;
}

// One question at a time: read, answer, read the next.
class Conversation final : public grpc::ServerBidiReactor<reflection::ServerReflectionRequest,
                                                          reflection::ServerReflectionResponse> {
 public:
  explicit Conversation(const std::vector<std::string>& services) : services_(services) {
    StartRead(&request_);
  }
  void OnReadDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::OK);
    response_ = answer(request_, services_);
    StartWrite(&response_);
  }
  void OnWriteDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::CANCELLED);
    StartRead(&request_);
  }
  void OnDone() override { delete this; }

 private:
  const std::vector<std::string>& services_;  // the service's, which outlives its calls
  reflection::ServerReflectionRequest request_;
  reflection::ServerReflectionResponse response_;
};

// Says how it is once; it does not change while the server answers. Ends when the caller hangs up.
class HealthWatch final : public grpc::ServerWriteReactor<health::HealthCheckResponse> {
 public:
  explicit HealthWatch(health::HealthCheckResponse::ServingStatus status) {
    response_.set_status(status);
    StartWrite(&response_);
  }
  void OnCancel() override { Finish(grpc::Status::CANCELLED); }
  void OnDone() override { delete this; }

 private:
  health::HealthCheckResponse response_;
};

}  // namespace

grpc::ServerBidiReactor<reflection::ServerReflectionRequest, reflection::ServerReflectionResponse>*
LocalReflection::ServerReflectionInfo(grpc::CallbackServerContext*) {
  return new Conversation(services_);
}

bool LocalHealth::is_known(const std::string& service) const {
  return service.empty() ||
         std::find(services_.begin(), services_.end(), service) != services_.end();
}

grpc::ServerUnaryReactor* LocalHealth::Check(grpc::CallbackServerContext* call,
                                             const health::HealthCheckRequest* request,
                                             health::HealthCheckResponse* response) {
  auto* reactor = call->DefaultReactor();
  if (is_known(request->service())) {
    response->set_status(health::HealthCheckResponse::SERVING);
    reactor->Finish(grpc::Status::OK);
  } else {
    reactor->Finish({grpc::StatusCode::NOT_FOUND, "no such service"});
  }
  return reactor;
}

grpc::ServerWriteReactor<health::HealthCheckResponse>* LocalHealth::Watch(
    grpc::CallbackServerContext*, const health::HealthCheckRequest* request) {
  return new HealthWatch(is_known(request->service())
                             ? health::HealthCheckResponse::SERVING
                             : health::HealthCheckResponse::SERVICE_UNKNOWN);
}

}  // namespace starling::node
