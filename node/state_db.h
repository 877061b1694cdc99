#pragma once
// Small mutable state in SQLite (WAL): boot epoch, swarm members, addresses, score, counters that
// survive restarts. quick_check at open; a damaged file is set aside (renamed) and rebuilt, loudly;
// a newer schema is refused. Thread: locked inside.
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "swarm/message.h"

namespace starling::node {

inline constexpr size_t members_saved_max = 4096;
inline constexpr size_t admissions_saved_max = 16384;
inline constexpr size_t state_key_size_max = 64;           // bytes
inline constexpr size_t state_value_size_max = 64u << 10;  // bytes

class StateDb {
 public:
  enum class OpenError : uint8_t { newer_schema, unusable };
  struct Failure {
    OpenError error;
    std::string message;  // for the user
  };
  // `reports` gets a line when a damaged file was set aside.
  static Result<std::unique_ptr<StateDb>, Failure> open(const std::string& path,
                                                        std::vector<std::string>& reports);
  ~StateDb();
  // A number above the last one and above `at_least`, on disk (synchronous=FULL) before it returns:
  // called once per boot, before the first frame. The epoch never falls back even when the file was
  // rebuilt: `at_least` is the highest own epoch in the log and the checkpoint, 0 for none.
  Result<uint64_t, std::string> next_epoch(uint64_t at_least);
  // Replaces what was saved. At most members_saved_max; writes that fail leave the old rows (see
  // take_fault).
  void save_members(const std::vector<swarm::MemberRecord>& records);
  std::vector<swarm::MemberRecord> members() const;
  // Who was admitted and who is revoked, items as in swarm/admissions.h; likewise.
  void save_admissions(const std::vector<swarm::Bytes>& items);
  std::vector<swarm::Bytes> admissions() const;
  // Requires: within state_key_size_max and state_value_size_max.
  void set(const std::string& key, const std::string& value);
  std::optional<std::string> get(const std::string& key) const;
  // The last failed write since the last call, as a line for the user.
  std::optional<std::string> take_fault();

 private:
  struct Parts;
  explicit StateDb(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace starling::node
