#include "node/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>

namespace starling::node {

namespace {

constexpr std::chrono::seconds repeat_window{60};
constexpr size_t remembered_max = 256;

// Says whether a line may go out, and how many of its like were kept back before it.
class Repeats {
 public:
  std::optional<uint64_t> admit(const std::string& line) {
    const auto now = std::chrono::steady_clock::now();
    std::lock_guard lock(mutex_);
    if (seen_.size() >= remembered_max) seen_.clear();
    auto [found, is_new] = seen_.try_emplace(line, Seen{now, 0});
    if (is_new) return 0;
    if (now - found->second.said < repeat_window) {
      ++found->second.kept_back;
      return std::nullopt;
    }
    const uint64_t kept_back = found->second.kept_back;
    found->second = {now, 0};
    return kept_back;
  }

 private:
  struct Seen {
    std::chrono::steady_clock::time_point said;
    uint64_t kept_back = 0;
  };
  std::mutex mutex_;
  std::map<std::string, Seen> seen_;
};

Repeats& repeats() {
  static Repeats instance;
  return instance;
}

bool& is_json() {
  static bool json = false;
  return json;
}

spdlog::logger& logger() {
  static const std::shared_ptr<spdlog::logger> instance = [] {
    auto made = std::make_shared<spdlog::logger>(
        "starling", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
    made->set_pattern("%Y-%m-%dT%H:%M:%S.%e %^%l%$ %v");
    made->flush_on(spdlog::level::trace);
    return made;
  }();
  return *instance;
}

std::optional<spdlog::level::level_enum> level_of(const std::string& level) {
  if (level == "debug") return spdlog::level::debug;
  if (level == "info") return spdlog::level::info;
  if (level == "warning") return spdlog::level::warn;
  if (level == "error") return spdlog::level::err;
  return std::nullopt;
}

// Values with spaces or quotes are quoted, control characters escaped, so that a line stays a line.
std::string quoted(const std::string& value) {
  if (!value.empty() && value.find_first_of(" \"=\t\r\n") == std::string::npos) return value;
  return nlohmann::json(value).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string render(const char* event, LogFields fields) {
  if (is_json()) {
    nlohmann::ordered_json line{{"event", event}};
    for (const auto& [key, value] : fields) line[key] = value;
    return line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).substr(1);
  }
  std::string line = event;
  for (const auto& [key, value] : fields) line += std::string(" ") + key + "=" + quoted(value);
  return line;
}

void write(spdlog::level::level_enum level, const char* event, LogFields fields) {
  if (!logger().should_log(level)) return;
  std::string line = render(event, fields);
  const std::optional<uint64_t> kept_back = repeats().admit(line);
  if (!kept_back) return;
  if (*kept_back > 0 && !is_json()) line += " repeated=" + std::to_string(*kept_back);
  logger().log(level, "{}", line);
}

}  // namespace

bool set_up_log(const std::string& level, const std::string& format) {
  if (format != "text" && format != "json") return false;
  if (!set_log_level(level)) return false;
  is_json() = format == "json";
  if (is_json()) logger().set_pattern(R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l",%v)");
  return true;
}

bool set_log_level(const std::string& level) {
  const auto found = level_of(level);
  if (!found) return false;
  logger().set_level(*found);
  return true;
}

void log_debug(const char* event, LogFields fields) { write(spdlog::level::debug, event, fields); }
void log_info(const char* event, LogFields fields) { write(spdlog::level::info, event, fields); }
void log_warning(const char* event, LogFields fields) { write(spdlog::level::warn, event, fields); }
void log_error(const char* event, LogFields fields) { write(spdlog::level::err, event, fields); }

}  // namespace starling::node
