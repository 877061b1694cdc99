#include "sim/status.h"

#include <charconv>
#include <nlohmann/json.hpp>

namespace starling::sim {
namespace {

using Json = nlohmann::json;

std::optional<double> number(const Json& object, const std::string& key) {
  const auto found = object.find(key);
  if (found == object.end()) return std::nullopt;
  if (found->is_number()) return found->get<double>();
  if (!found->is_string()) return std::nullopt;
  const std::string& text = found->get_ref<const std::string&>();
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Counts stay far below 2^53, where a double is exact.
uint64_t count(const Json& object, const std::string& key) {
  const double value = number(object, key).value_or(0);
  return value > 0 ? static_cast<uint64_t>(value) : 0;
}

std::string text(const Json& object, const std::string& key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

bool is_true(const Json& object, const std::string& key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_boolean() && found->get<bool>();
}

}  // namespace

std::optional<NodeStatus> parse_status(const std::string& json) {
  const Json status = Json::parse(json, nullptr, false);
  if (!status.is_object()) return std::nullopt;
  const auto model = status.find("model");
  const auto swarm = status.find("swarm");
  if (model == status.end() || swarm == status.end()) return std::nullopt;
  if (!model->is_object() || !swarm->is_object()) return std::nullopt;
  return NodeStatus{.state = text(status, "state"),
                    .parameters = count(*model, "parameters"),
                    .step = count(*model, "step"),
                    .loss = number(*model, "loss").value_or(0),
                    .members = count(*swarm, "members"),
                    .neighbours = count(*swarm, "neighbours"),
                    .sent_bytes = count(*swarm, "sent_bytes"),
                    .received_bytes = count(*swarm, "received_bytes"),
                    .accepted = count(*swarm, "accepted"),
                    .held = count(*swarm, "held"),
                    .base_hash = text(*swarm, "base_hash"),
                    .deltas = count(*swarm, "deltas"),
                    .bits_per_parameter = number(*swarm, "bits_per_parameter").value_or(0),
                    .is_finished = is_true(status, "finished")};
}

std::optional<double> parse_number(const std::string& json, const std::string& key) {
  const Json object = Json::parse(json, nullptr, false);
  return object.is_object() ? number(object, key) : std::nullopt;
}

}  // namespace starling::sim
