#include "node/local_client.h"

#include <grpcpp/grpcpp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "node/local_call.h"
#include "node/local_server.h"

namespace starling::node {

namespace {

constexpr double quick_s = 10;
constexpr double mind_s = 600;

HomeError nobody_there(const std::string& directory) {
  return {ExitCode::unreachable, "no node is running in " + directory +
                                     "; start it with: starling run --dir '" + directory + "'"};
}

// Whether somebody listens: a plain connect says it at once and exactly; gRPC would only say
// "unavailable".
std::optional<HomeError> probe(const LocalPath& place, const std::string& directory) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = place.socket();
  assert(path.size() < sizeof(address.sun_path));
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const auto* general = static_cast<const sockaddr*>(static_cast<const void*>(&address));
  const bool is_there = fd >= 0 && connect(fd, general, sizeof(address)) == 0;
  const int why = errno;
  if (fd >= 0) close(fd);
  if (is_there) return std::nullopt;
  if (why == EACCES || why == EPERM) {
    return HomeError{ExitCode::permission, directory + ": its node belongs to another user"};
  }
  if (why == EAGAIN) {
    return HomeError{ExitCode::temporary, "the node in " + directory +
                                              " does not take calls; is it stopped or overloaded?"};
  }
  return nobody_there(directory);
}

}  // namespace

LocalClient::LocalClient(std::string directory, std::optional<double> timeout_s, LocalPath place)
    : directory_(std::move(directory)), timeout_s_(timeout_s), place_(std::move(place)) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(16 << 20);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, 1);
  const auto channel = grpc::CreateCustomChannel("unix:" + place_.socket(),
                                                 grpc::InsecureChannelCredentials(), arguments);
  inspect_ = v1::InspectService::NewStub(channel);
  mind_ = v1::MindService::NewStub(channel);
  admin_ = v1::AdminService::NewStub(channel);
}

Answer<LocalClient> LocalClient::connect(const std::string& directory,
                                         std::optional<double> timeout_s) {
  LocalPath place(directory);
  if (!place.is_open()) {
    if (errno == EACCES) {
      return Unexpected{HomeError{ExitCode::permission, directory + ": belongs to another user"}};
    }
    return Unexpected{nobody_there(directory)};
  }
  if (auto problem = probe(place, directory)) return Unexpected{*problem};
  return LocalClient(directory, timeout_s, std::move(place));
}

HomeError LocalClient::error_of(const grpc::Status& status) const {
  const std::string reason = reason_of(status);
  if (reason.empty() && status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED) {
    return {ExitCode::temporary, "the node in " + directory_ +
                                     " did not answer in time; wait longer with --timeout SECONDS"};
  }
  if (reason.empty() && status.error_code() == grpc::StatusCode::UNAVAILABLE) {
    // It was there a moment ago: it stopped in the middle, or it hangs.
    return {ExitCode::temporary, "the node in " + directory_ + " hung up; is it stopping?"};
  }
  switch (status.error_code()) {
    case grpc::StatusCode::INVALID_ARGUMENT:
      return {ExitCode::bad_data, status.error_message()};
    case grpc::StatusCode::NOT_FOUND:
      return {ExitCode::failed, status.error_message()};
    case grpc::StatusCode::FAILED_PRECONDITION:
      return {ExitCode::failed, status.error_message()};
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::DEADLINE_EXCEEDED:
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      return {reason == "too_large" ? ExitCode::bad_data : ExitCode::temporary,
              status.error_message()};
    case grpc::StatusCode::PERMISSION_DENIED:
    case grpc::StatusCode::UNAUTHENTICATED:
      return {ExitCode::permission, status.error_message()};
    case grpc::StatusCode::UNIMPLEMENTED:
      return {ExitCode::failed,
              "the node in " + directory_ + " is of another version and does not know this"};
    default:
      return {ExitCode::internal, status.error_message()};
  }
}

void LocalClient::set_deadline(grpc::ClientContext& call, std::optional<double> default_s) const {
  const std::optional<double> seconds = timeout_s_ ? timeout_s_ : default_s;
  if (!seconds) return;
  call.set_deadline(std::chrono::system_clock::now() +
                    std::chrono::milliseconds(static_cast<int64_t>(*seconds * 1000)));
}

template <typename Response, typename Stub, typename Method, typename Request>
Answer<Response> LocalClient::unary(Stub& stub, Method method, const Request& request,
                                    double default_s) {
  grpc::ClientContext call;
  set_deadline(call, default_s);
  Response response;
  const grpc::Status status = (stub.*method)(&call, request, &response);
  if (!status.ok()) return Unexpected{error_of(status)};
  return response;
}

Answer<v1::GetStatusResponse> LocalClient::status() {
  return unary<v1::GetStatusResponse>(*inspect_, &v1::InspectService::Stub::GetStatus,
                                      v1::GetStatusRequest(), quick_s);
}
Answer<v1::ListMembersResponse> LocalClient::members(bool is_with_influence) {
  v1::ListMembersRequest request;
  request.set_with_influence(is_with_influence);
  return unary<v1::ListMembersResponse>(*inspect_, &v1::InspectService::Stub::ListMembers, request,
                                        quick_s);
}
Answer<v1::ListPendingResponse> LocalClient::pending() {
  return unary<v1::ListPendingResponse>(*inspect_, &v1::InspectService::Stub::ListPending,
                                        v1::ListPendingRequest(), quick_s);
}
Answer<v1::ListRegionsResponse> LocalClient::regions() {
  return unary<v1::ListRegionsResponse>(*inspect_, &v1::InspectService::Stub::ListRegions,
                                        v1::ListRegionsRequest(), quick_s);
}
Answer<v1::GetProvenanceResponse> LocalClient::provenance(const std::string& region) {
  v1::GetProvenanceRequest request;
  request.set_region(region);
  return unary<v1::GetProvenanceResponse>(*inspect_, &v1::InspectService::Stub::GetProvenance,
                                          request, quick_s);
}

Answer<Done> LocalClient::watch(
    const v1::WatchEventsRequest& request,
    const std::function<bool(const v1::WatchEventsResponse&)>& on_event) {
  grpc::ClientContext call;
  set_deadline(call, std::nullopt);
  const auto stream = inspect_->WatchEvents(&call, request);
  v1::WatchEventsResponse event;
  while (stream->Read(&event)) {
    if (!on_event(event)) {
      call.TryCancel();
      while (stream->Read(&event)) continue;
      stream->Finish();
      return Done{};
    }
  }
  const grpc::Status status = stream->Finish();
  const bool is_time_up = timeout_s_ && status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED;
  if (!status.ok() && !is_time_up) return Unexpected{error_of(status)};
  return Done{};
}

Answer<Done> LocalClient::ask(const v1::AskRequest& request,
                              const std::function<bool(const std::string&)>& on_bytes) {
  grpc::ClientContext call;
  set_deadline(call, mind_s);
  const auto stream = mind_->Ask(&call, request);
  v1::AskResponse piece;
  while (stream->Read(&piece)) {
    if (!on_bytes(piece.data())) call.TryCancel();
  }
  const grpc::Status status = stream->Finish();
  if (!status.ok()) return Unexpected{error_of(status)};
  return Done{};
}

namespace {

// A header, then the bytes in chunks. Stops early when the node has hung up; its status says why.
template <typename Request, typename Header>
void write_all(grpc::ClientWriter<Request>& writer, const Header& header,
               const std::string& bytes) {
  Request request;
  *request.mutable_header() = header;
  request.mutable_header()->set_size(bytes.size());
  bool is_open = writer.Write(request);
  for (size_t at = 0; is_open && at < bytes.size(); at += local_chunk_size) {
    request.set_data(bytes.substr(at, local_chunk_size));
    is_open = writer.Write(request);
  }
  writer.WritesDone();
}

}  // namespace

Answer<v1::LearnResponse> LocalClient::learn(const v1::LearnHeader& header,
                                             const std::string& bytes) {
  grpc::ClientContext call;
  set_deadline(call, mind_s);
  v1::LearnResponse response;
  const auto writer = mind_->Learn(&call, &response);
  write_all(*writer, header, bytes);
  const grpc::Status status = writer->Finish();
  if (!status.ok()) return Unexpected{error_of(status)};
  return response;
}

Answer<v1::TeachResponse> LocalClient::teach(const std::string& prompt, const std::string& answer) {
  v1::TeachRequest request;
  request.set_prompt(prompt);
  request.set_answer(answer);
  return unary<v1::TeachResponse>(*mind_, &v1::MindService::Stub::Teach, request, mind_s);
}

Answer<v1::EvaluateResponse> LocalClient::evaluate(v1::DataKind kind, const std::string& bytes) {
  grpc::ClientContext call;
  set_deadline(call, mind_s);
  v1::EvaluateHeader header;
  header.set_kind(kind);
  v1::EvaluateResponse response;
  const auto writer = mind_->Evaluate(&call, &response);
  write_all(*writer, header, bytes);
  const grpc::Status status = writer->Finish();
  if (!status.ok()) return Unexpected{error_of(status)};
  return response;
}

Answer<v1::ExportedDeltas> LocalClient::export_deltas(
    const v1::ExportDeltasRequest& request,
    const std::function<bool(const std::string&)>& on_bytes) {
  grpc::ClientContext call;
  set_deadline(call, mind_s);
  const auto stream = admin_->ExportDeltas(&call, request);
  v1::ExportDeltasResponse part;
  v1::ExportedDeltas done;
  while (stream->Read(&part)) {
    if (part.has_done()) {
      done = part.done();
    } else if (!on_bytes(part.data())) {
      call.TryCancel();
    }
  }
  const grpc::Status status = stream->Finish();
  if (!status.ok()) return Unexpected{error_of(status)};
  return done;
}

Answer<v1::ImportDeltasResponse> LocalClient::import_deltas(
    const std::function<std::optional<std::string>()>& next_bytes) {
  grpc::ClientContext call;
  set_deadline(call, mind_s);
  v1::ImportDeltasResponse response;
  const auto writer = admin_->ImportDeltas(&call, &response);
  v1::ImportDeltasRequest request;
  bool is_open = true;
  while (is_open) {
    auto piece = next_bytes();
    if (!piece) break;
    request.set_data(*std::move(piece));
    is_open = writer->Write(request);
  }
  writer->WritesDone();
  const grpc::Status status = writer->Finish();
  if (!status.ok()) return Unexpected{error_of(status)};
  return response;
}

namespace {

Answer<Done> done_of(bool is_ok, const HomeError& error) {
  if (!is_ok) return Unexpected{error};
  return Done{};
}

template <typename Response>
Answer<Done> without_value(const Answer<Response>& response) {
  return response ? done_of(true, {}) : done_of(false, response.error());
}

template <typename Response>
Answer<std::string> path_of(const Answer<Response>& response) {
  if (!response) return Unexpected{response.error()};
  return response->path();
}

}  // namespace

Answer<Done> LocalClient::pause() {
  return without_value(unary<v1::PauseResponse>(*admin_, &v1::AdminService::Stub::Pause,
                                                v1::PauseRequest(), quick_s));
}
Answer<Done> LocalClient::resume() {
  return without_value(unary<v1::ResumeResponse>(*admin_, &v1::AdminService::Stub::Resume,
                                                 v1::ResumeRequest(), quick_s));
}
Answer<std::string> LocalClient::create_invite(const v1::CreateInviteRequest& request) {
  const auto response = unary<v1::CreateInviteResponse>(
      *admin_, &v1::AdminService::Stub::CreateInvite, request, quick_s);
  if (!response) return Unexpected{response.error()};
  return response->token();
}
Answer<v1::RevokeResponse> LocalClient::revoke(const v1::RevokeRequest& request) {
  return unary<v1::RevokeResponse>(*admin_, &v1::AdminService::Stub::Revoke, request, quick_s);
}
Answer<std::string> LocalClient::snapshot() {
  return path_of(unary<v1::SnapshotResponse>(*admin_, &v1::AdminService::Stub::Snapshot,
                                             v1::SnapshotRequest(), 60));
}
Answer<std::string> LocalClient::rollback() {
  return path_of(unary<v1::RollbackResponse>(*admin_, &v1::AdminService::Stub::Rollback,
                                             v1::RollbackRequest(), 60));
}
Answer<Done> LocalClient::leave() {
  return without_value(
      unary<v1::LeaveResponse>(*admin_, &v1::AdminService::Stub::Leave, v1::LeaveRequest(), 60));
}
Answer<Done> LocalClient::set_log_level(const std::string& level) {
  v1::SetLogLevelRequest request;
  request.set_level(level);
  return without_value(unary<v1::SetLogLevelResponse>(*admin_, &v1::AdminService::Stub::SetLogLevel,
                                                      request, quick_s));
}

}  // namespace starling::node
