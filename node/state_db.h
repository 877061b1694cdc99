#pragma once
// Small mutable state in SQLite (WAL): boot epoch, swarm members, addresses, score, counters that survive restarts.
// quick_check at open; a damaged file is set aside (renamed) and rebuilt, loudly; a newer schema is refused.
// Thread: locked inside.
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "swarm/message.h"

namespace starling::node {

class StateDb {
 public:
  enum class OpenError : uint8_t { newer_schema, unusable };
  struct Failure {
    OpenError error;
    std::string message;  // for the user
  };
  // `reports` gets a line when a damaged file was set aside.
  static Result<std::unique_ptr<StateDb>, Failure> open(const std::string& path, std::vector<std::string>& reports);
  ~StateDb();
  // Increments and fsyncs (synchronous=FULL) before it returns: called once per boot, before the first frame. The
  // epoch never falls back even when the file was rebuilt: `at_least` comes from the log and the checkpoint.
  Result<uint64_t, std::string> next_epoch(uint64_t at_least);
  void save_members(const std::vector<swarm::MemberRecord>& records);
  std::vector<swarm::MemberRecord> members() const;
  void set(const std::string& key, const std::string& value);
  std::optional<std::string> get(const std::string& key) const;

 private:
  struct Parts;
  explicit StateDb(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace starling::node
