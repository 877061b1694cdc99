#pragma once
// Keeps the log short while strangers knock: a line for each address and reason, once a minute. All
// of them are counted in the status anyway. Thread: one.
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>

namespace starling::node {

class RefusalLog {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::seconds interval{60};
  static constexpr size_t entries_max = 256;  // beyond them new ones are passed over

  // A line is due: the value is how many like it were passed over since the last one.
  std::optional<uint64_t> note(const std::string& address, const std::string& reason,
                               Clock::time_point now) {
    const std::pair key{address.substr(0, address.rfind(':')), reason};
    auto found = entries_.find(key);
    if (found == entries_.end()) {
      if (entries_.size() >= entries_max)
        std::erase_if(entries_, [&](const auto& e) { return now - e.second.said >= interval; });
      if (entries_.size() >= entries_max) return std::nullopt;
      entries_[key] = {now, 0};
      return 0;
    }
    Entry& entry = found->second;
    if (now - entry.said < interval) {
      ++entry.passed_over;
      return std::nullopt;
    }
    entry.said = now;
    return std::exchange(entry.passed_over, 0);
  }

 private:
  struct Entry {
    Clock::time_point said;
    uint64_t passed_over = 0;
  };
  std::map<std::pair<std::string, std::string>, Entry> entries_;
};

}  // namespace starling::node
