#include "node/local_call.h"

#include <sodium.h>

#include "starling/v1/error.pb.h"

namespace starling::node {

CallThreads::CallThreads(uint32_t threads, uint32_t places) : places_max_(places), jobs_(places) {
  for (uint32_t i = 0; i < threads; ++i) {
    threads_.emplace_back([this] {
      // The queue's close() ends the wait; the far deadline only bounds it.
      while (!jobs_.is_closed()) {
        auto job = jobs_.pop_until(std::chrono::steady_clock::now() + std::chrono::hours(1));
        if (job) (*job)();
      }
      while (auto job = jobs_.try_pop()) (*job)();
    });
  }
}

CallThreads::~CallThreads() {
  jobs_.close();
  for (auto& thread : threads_) thread.join();
}

bool CallThreads::take_place() {
  if (places_taken_.fetch_add(1) < places_max_) return true;
  places_taken_.fetch_sub(1);
  return false;
}

void CallThreads::give_place_back() {
  [[maybe_unused]] const uint32_t before = places_taken_.fetch_sub(1);
  assert(before > 0);
}

void CallThreads::run(std::function<void()> job) {
  [[maybe_unused]] const bool is_in = jobs_.push(std::move(job));
  assert(is_in);  // as many slots as places, and the server that calls us stops before we do
}

bool is_owner(const grpc::CallbackServerContext& call, const std::string& token) {
  if (call.peer().starts_with("unix:")) return true;  // the directory's modes let nobody else in
  if (token.empty()) return false;
  const std::string expected = "Bearer " + token;
  const auto [begin, end] = call.client_metadata().equal_range("authorization");
  for (auto entry = begin; entry != end; ++entry) {
    const grpc::string_ref shown = entry->second;
    if (shown.size() == expected.size() &&
        sodium_memcmp(shown.data(), expected.data(), expected.size()) == 0) {
      return true;
    }
  }
  return false;
}

grpc::Status refusal(grpc::StatusCode code, const std::string& reason, const std::string& message) {
  v1::ErrorDetail detail;
  detail.set_reason(reason);
  v1::StatusDetails details;
  details.set_code(code);
  details.set_message(message);
  details.add_details()->PackFrom(detail);
  return {code, message, details.SerializeAsString()};
}

grpc::Status refusal_of(const Failure& failure) {
  switch (failure.kind) {
    case FailureKind::bad_data:
      return refusal(grpc::StatusCode::INVALID_ARGUMENT, "bad_data", failure.message);
    case FailureKind::not_found:
      return refusal(grpc::StatusCode::NOT_FOUND, "not_found", failure.message);
    case FailureKind::unavailable:
      return refusal(grpc::StatusCode::UNAVAILABLE, "unavailable", failure.message);
    case FailureKind::timeout:
      return refusal(grpc::StatusCode::DEADLINE_EXCEEDED, "timeout", failure.message);
    case FailureKind::permission:
      return refusal(grpc::StatusCode::PERMISSION_DENIED, "permission", failure.message);
    case FailureKind::exhausted:
      return refusal(grpc::StatusCode::RESOURCE_EXHAUSTED, "exhausted", failure.message);
    case FailureKind::internal:
      return refusal(grpc::StatusCode::INTERNAL, "internal", failure.message);
  }
  assert(false);
  return refusal(grpc::StatusCode::INTERNAL, "internal", failure.message);
}

grpc::Status busy() {
  return refusal(grpc::StatusCode::RESOURCE_EXHAUSTED, "busy",
                 "the node is busy with as many requests as it takes at once; try again shortly");
}

grpc::Status no_token() {
  return refusal(
      grpc::StatusCode::UNAUTHENTICATED, "no_token",
      "over TCP the token in api.token must be shown: metadata authorization: Bearer TOKEN");
}

std::string reason_of(const grpc::Status& status) {
  v1::StatusDetails details;
  v1::ErrorDetail detail;
  if (!details.ParseFromString(status.error_details())) return "";
  for (const auto& any : details.details()) {
    if (any.UnpackTo(&detail)) return detail.reason();
  }
  return "";
}

}  // namespace starling::node
