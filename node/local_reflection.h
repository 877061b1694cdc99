#pragma once
// Server reflection (grpc.reflection.v1alpha) and health (grpc.health.v1) for the local API alone.
// gRPC's own versions switch themselves on for every server of the process, so they would show on
// the peer port too.
#include <string>
#include <vector>

#include "grpc/health/v1/health.grpc.pb.h"
#include "grpc/reflection/v1alpha/reflection.grpc.pb.h"

namespace starling::node {

class LocalReflection final : public grpc::reflection::v1alpha::ServerReflection::CallbackService {
 public:
  explicit LocalReflection(std::vector<std::string> services) : services_(std::move(services)) {}

 private:
  grpc::ServerBidiReactor<grpc::reflection::v1alpha::ServerReflectionRequest,
                          grpc::reflection::v1alpha::ServerReflectionResponse>*
  ServerReflectionInfo(grpc::CallbackServerContext* call) override;

  const std::vector<std::string> services_;  // full names
};

// A node that answers is SERVING; what state it is in says InspectService.
class LocalHealth final : public grpc::health::v1::Health::CallbackService {
 public:
  explicit LocalHealth(std::vector<std::string> services) : services_(std::move(services)) {}

 private:
  grpc::ServerUnaryReactor* Check(grpc::CallbackServerContext* call,
                                  const grpc::health::v1::HealthCheckRequest* request,
                                  grpc::health::v1::HealthCheckResponse* response) override;
  grpc::ServerWriteReactor<grpc::health::v1::HealthCheckResponse>* Watch(
      grpc::CallbackServerContext* call,
      const grpc::health::v1::HealthCheckRequest* request) override;
  bool is_known(const std::string& service) const;

  const std::vector<std::string> services_;
};

}  // namespace starling::node
