// The local API itself: who may call it, what is served there and what is not, limits,
// cancellation.
#include <grpcpp/grpcpp.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include "google/protobuf/descriptor.pb.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "grpc/reflection/v1alpha/reflection.grpc.pb.h"
#include "node/local_call.h"
#include "node/local_client.h"
#include "starling/v1/peer.grpc.pb.h"
#include "tests/node/local_fake.h"

namespace starling::node {
namespace {

std::shared_ptr<grpc::Channel> socket_channel(const FakeNode& node) {
  return grpc::CreateChannel("unix:" + node.directory + "/api.sock",
                             grpc::InsecureChannelCredentials());
}

void set_deadline(grpc::ClientContext& call) {
  call.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
}

mode_t mode_of(const std::string& path) {
  struct stat facts {};
  REQUIRE(stat(path.c_str(), &facts) == 0);
  return facts.st_mode & 07777;
}

TEST_CASE("the socket is the owner's alone, and goes with the node") {
  FakeNode node;
  CHECK(mode_of(node.directory + "/api.sock") == 0600);
  node.server.reset();
  CHECK_FALSE(std::filesystem::exists(node.directory + "/api.sock"));
  CHECK_FALSE(std::filesystem::exists(node.directory + "/.api"));
}

TEST_CASE("a socket left by a dead node is replaced") {
  FakeNode node;
  node.server.reset();
  const std::string path = node.directory + "/api.sock";
  sockaddr_storage storage{};
  storage.ss_family = AF_UNIX;
  void* raw = &storage;
  std::copy(path.begin(), path.end(), static_cast<char*>(raw) + sizeof(sa_family_t));
  const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  REQUIRE(bind(fd, static_cast<const sockaddr*>(raw),
               static_cast<socklen_t>(sizeof(sa_family_t) + path.size() + 1)) == 0);
  CHECK(starling({"status", "--dir", node.directory}).code == 69);  // nobody listens behind it
  auto again = LocalServer::start({.directory = node.directory, .api = ""}, node.daemon);
  REQUIRE(again);
  CHECK(starling({"status", "--dir", node.directory}).code == 0);
  close(fd);
}

TEST_CASE("a directory's path may be long and hold any character") {
  const std::string below = std::string(120, 'd') + "/50% of? #1 \xc3\xbc/" + std::string(120, 'e');
  const FakeNode node(below);
  CHECK(starling({"status", "--dir", node.directory}).code == 0);
  CHECK(starling({"ask", "x", "--dir", node.directory}).out == "XLVII\n");
}

TEST_CASE("a directory to which others may write is refused") {
  const Folder folder;
  FakeDaemon daemon;
  chmod(folder.path.c_str(), 0770);
  const auto server = LocalServer::start({.directory = folder.path, .api = ""}, daemon);
  REQUIRE_FALSE(server);
  CHECK(server.error().code == ExitCode::permission);
  CHECK(server.error().message ==
        folder.path + ": others may write there; run: chmod 700 '" + folder.path + "'");
}

TEST_CASE(
    "health answers and reflection names the local services, with all that a generic client "
    "needs") {
  const FakeNode node;
  const auto channel = socket_channel(node);
  {
    grpc::ClientContext call;
    set_deadline(call);
    grpc::health::v1::HealthCheckRequest request;
    request.set_service("starling.v1.MindService");
    grpc::health::v1::HealthCheckResponse response;
    CHECK(grpc::health::v1::Health::NewStub(channel)->Check(&call, request, &response).ok());
    CHECK(response.status() == grpc::health::v1::HealthCheckResponse::SERVING);
  }
  {
    grpc::ClientContext call;
    set_deadline(call);
    grpc::health::v1::HealthCheckRequest request;
    request.set_service("starling.v1.PeerService");
    grpc::health::v1::HealthCheckResponse response;
    CHECK(
        grpc::health::v1::Health::NewStub(channel)->Check(&call, request, &response).error_code() ==
        grpc::StatusCode::NOT_FOUND);
  }
  grpc::ClientContext call;
  set_deadline(call);
  const auto stream =
      grpc::reflection::v1alpha::ServerReflection::NewStub(channel)->ServerReflectionInfo(&call);
  grpc::reflection::v1alpha::ServerReflectionRequest request;
  grpc::reflection::v1alpha::ServerReflectionResponse response;
  request.set_list_services("");
  REQUIRE(stream->Write(request));
  REQUIRE(stream->Read(&response));
  std::set<std::string> names;
  for (const auto& service : response.list_services_response().service())
    names.insert(service.name());
  CHECK(names == std::set<std::string>{"grpc.health.v1.Health",
                                       "grpc.reflection.v1alpha.ServerReflection",
                                       "starling.v1.AdminService", "starling.v1.InspectService",
                                       "starling.v1.MindService"});
  for (const auto& name : names) {
    request.set_file_containing_symbol(name);
    REQUIRE(stream->Write(request));
    REQUIRE(stream->Read(&response));
    REQUIRE(response.file_descriptor_response().file_descriptor_proto_size() > 0);
    google::protobuf::FileDescriptorProto file;
    REQUIRE(file.ParseFromString(response.file_descriptor_response().file_descriptor_proto(0)));
    CHECK(file.service_size() == 1);
  }
  request.set_file_by_filename("no/such.proto");
  REQUIRE(stream->Write(request));
  REQUIRE(stream->Read(&response));
  CHECK(response.error_response().error_code() == grpc::StatusCode::NOT_FOUND);
  stream->WritesDone();
  CHECK(stream->Finish().ok());
}

TEST_CASE("the peers' service is not served on the local API") {
  const FakeNode node;
  grpc::ClientContext call;
  set_deadline(call);
  const auto stream = v1::PeerService::NewStub(socket_channel(node))->Exchange(&call);
  v1::Frame frame;
  CHECK_FALSE(stream->Read(&frame));
  CHECK(stream->Finish().error_code() == grpc::StatusCode::UNIMPLEMENTED);
}

TEST_CASE("over TCP only the holder of the token is served") {
  FakeNode node("", "127.0.0.1:0");
  REQUIRE(node.server->port() > 0);
  CHECK(mode_of(node.directory + "/api.token") == 0600);
  std::ifstream in(node.directory + "/api.token");
  const std::string token((std::istreambuf_iterator<char>(in)), {});
  CHECK(token.size() == 64);
  const auto channel = grpc::CreateChannel("127.0.0.1:" + std::to_string(node.server->port()),
                                           grpc::InsecureChannelCredentials());
  const auto stub = v1::InspectService::NewStub(channel);
  const auto code_with = [&](const std::string& shown) {
    grpc::ClientContext call;
    set_deadline(call);
    if (!shown.empty()) call.AddMetadata("authorization", shown);
    v1::GetStatusResponse response;
    return stub->GetStatus(&call, {}, &response).error_code();
  };
  CHECK(code_with("") == grpc::StatusCode::UNAUTHENTICATED);
  CHECK(code_with("Bearer " + std::string(64, '0')) == grpc::StatusCode::UNAUTHENTICATED);
  CHECK(code_with(token) == grpc::StatusCode::UNAUTHENTICATED);
  CHECK(code_with("Bearer " + token) == grpc::StatusCode::OK);
  {
    grpc::ClientContext call;
    set_deadline(call);
    v1::AskRequest request;
    v1::AskResponse piece;
    const auto answer = v1::MindService::NewStub(channel)->Ask(&call, request);
    CHECK_FALSE(answer->Read(&piece));
    CHECK(answer->Finish().error_code() == grpc::StatusCode::UNAUTHENTICATED);
    CHECK(node.daemon.told().empty());
  }
  CHECK(starling({"status", "--dir", node.directory}).code == 0);  // the socket needs none

  FakeDaemon other;
  const Folder folder;
  const std::string taken = "127.0.0.1:" + std::to_string(node.server->port());
  const auto second = LocalServer::start({.directory = folder.path, .api = taken}, other);
  REQUIRE_FALSE(second);
  CHECK(second.error().code == ExitCode::unreachable);
  CHECK(second.error().message ==
        "node.api: cannot listen on " + taken + "; is the address in use?");
}

TEST_CASE("errors carry a stable reason for programs") {
  FakeNode node;
  node.daemon.failure = Failure{FailureKind::exhausted, "no room"};
  grpc::ClientContext call;
  set_deadline(call);
  v1::SnapshotResponse response;
  const auto status =
      v1::AdminService::NewStub(socket_channel(node))->Snapshot(&call, {}, &response);
  CHECK(status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
  CHECK(status.error_message() == "no room");
  CHECK(reason_of(status) == "exhausted");
  CHECK(reason_of(grpc::Status(grpc::StatusCode::INTERNAL, "x", "garbage")).empty());
}

TEST_CASE("beyond serve.requests_max a request is turned away at once, and status still answers") {
  FakeNode node("", "", 2);
  node.daemon.is_hung = true;
  const auto stub = v1::MindService::NewStub(socket_channel(node));
  v1::TeachRequest request;
  std::vector<std::jthread> busy;
  for (int i = 0; i < 2; ++i) {
    busy.emplace_back([&] {
      grpc::ClientContext call;
      set_deadline(call);
      v1::TeachResponse response;
      CHECK(stub->Teach(&call, request, &response).ok());
    });
  }
  while (node.daemon.told().size() < 2) std::this_thread::yield();
  grpc::ClientContext call;
  set_deadline(call);
  v1::TeachResponse response;
  const auto status = stub->Teach(&call, request, &response);
  CHECK(status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
  CHECK(reason_of(status) == "busy");
  CHECK(starling({"members", "--dir", node.directory}).code == 0);
  node.daemon.release();
}

TEST_CASE("an asker that hangs up stops the model") {
  FakeNode node;
  node.daemon.pieces = std::vector<std::string>(2000, std::string(65536, 'x'));
  {
    grpc::ClientContext call;
    set_deadline(call);
    const auto answer =
        v1::MindService::NewStub(socket_channel(node))->Ask(&call, v1::AskRequest());
    v1::AskResponse piece;
    REQUIRE(answer->Read(&piece));
    call.TryCancel();
    while (answer->Read(&piece)) continue;
    CHECK(answer->Finish().error_code() == grpc::StatusCode::CANCELLED);
  }
  node.server.reset();  // waits for the model
  CHECK(node.daemon.pieces_given < 2000);
}

TEST_CASE("an answer's first byte goes out at once, the rest in few messages, and none is lost") {
  FakeNode node;
  node.daemon.pieces = std::vector<std::string>(1000, "x");
  node.daemon.pieces.front() = "first";
  grpc::ClientContext call;
  set_deadline(call);
  const auto answer = v1::MindService::NewStub(socket_channel(node))->Ask(&call, v1::AskRequest());
  v1::AskResponse piece;
  REQUIRE(answer->Read(&piece));
  CHECK(piece.data() == "first");
  std::string rest;
  int messages = 0;
  for (; answer->Read(&piece); ++messages) rest += piece.data();
  CHECK(answer->Finish().ok());
  CHECK(rest == std::string(999, 'x'));
  CHECK(messages < 500);
}

TEST_CASE("an upload out of order, too large or broken off is not learnt from") {
  FakeNode node;
  const auto stub = v1::MindService::NewStub(socket_channel(node));
  const auto send = [&](const std::vector<v1::LearnRequest>& parts) {
    grpc::ClientContext call;
    set_deadline(call);
    v1::LearnResponse response;
    const auto writer = stub->Learn(&call, &response);
    for (const auto& part : parts) {
      if (!writer->Write(part)) break;
    }
    writer->WritesDone();
    return reason_of(writer->Finish());
  };
  v1::LearnRequest header, chunk, large;
  header.mutable_header()->set_name("a");
  header.mutable_header()->set_size(8);
  chunk.set_data("text");
  large.set_data(std::string(900000, 'x'));
  CHECK(send({}) == "out_of_order");
  CHECK(send({chunk}) == "out_of_order");
  CHECK(send({header, header}) == "out_of_order");
  CHECK(send({header}) == "incomplete");
  CHECK(send({header, chunk}) == "incomplete");  // ends as if it were whole
  CHECK(send({header, chunk, chunk, chunk}) == "incomplete");
  std::vector<v1::LearnRequest> too_many(76, large);  // 68 MB
  too_many.insert(too_many.begin(), header);
  CHECK(send(too_many) == "too_large");
  {
    grpc::ClientContext call;
    v1::LearnResponse response;
    const auto writer = stub->Learn(&call, &response);
    CHECK(writer->Write(header));
    call.TryCancel();
    CHECK(writer->Finish().error_code() == grpc::StatusCode::CANCELLED);
  }
  CHECK(node.daemon.told().empty());
  CHECK(send({header, chunk, chunk}).empty());
  CHECK(node.daemon.told() == std::vector<std::string>{"learn a 0 8"});
}

TEST_CASE("questions that make no sense are refused before the model sees them") {
  FakeNode node;
  for (const float temperature :
       {-1.0f, std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    grpc::ClientContext call;
    set_deadline(call);
    v1::AskRequest request;
    request.set_temperature(temperature);
    const auto answer = v1::MindService::NewStub(socket_channel(node))->Ask(&call, request);
    v1::AskResponse piece;
    CHECK_FALSE(answer->Read(&piece));
    CHECK(reason_of(answer->Finish()) == "bad_data");
  }
  CHECK(node.daemon.told().empty());
}

TEST_CASE("watchers are ended when the node stops, and are bounded in number") {
  FakeNode node;
  const auto stub = v1::InspectService::NewStub(socket_channel(node));
  std::vector<std::unique_ptr<grpc::ClientContext>> calls;
  std::vector<std::unique_ptr<grpc::ClientReader<v1::WatchEventsResponse>>> watchers;
  v1::WatchEventsResponse event;
  for (uint32_t i = 0; i < local_watchers_max; ++i) {
    calls.push_back(std::make_unique<grpc::ClientContext>());
    set_deadline(*calls.back());
    watchers.push_back(stub->WatchEvents(calls.back().get(), v1::WatchEventsRequest()));
    REQUIRE(watchers.back()->Read(&event));
  }
  grpc::ClientContext one_more;
  set_deadline(one_more);
  const auto refused = stub->WatchEvents(&one_more, v1::WatchEventsRequest());
  CHECK_FALSE(refused->Read(&event));
  CHECK(reason_of(refused->Finish()) == "busy");
  node.server.reset();
  for (auto& watcher : watchers) {
    while (watcher->Read(&event)) continue;
    CHECK_FALSE(watcher->Finish().ok());
  }
}

}  // namespace
}  // namespace starling::node
