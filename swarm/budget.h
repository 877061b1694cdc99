#pragma once
// What a node may send and receive: bytes a second each way, bytes a day both ways together, and
// quiet hours. Everything is charged. What holds the swarm together (greetings, heartbeats, news)
// is never refused: it goes into debt, and deltas and chunks wait until that is paid. The clock on
// the wall is the driver's: it says when a day ends and when it is quiet. Whole numbers only.
#include <array>
#include <cstdint>

#include "swarm/config.h"
#include "swarm/event.h"
#include "swarm/instant.h"

namespace starling::swarm {

inline constexpr uint64_t bytes_per_s_max = uint64_t{1} << 40;  // of a limit; more is as good
inline constexpr int64_t debt_max_s = 600;  // seconds of the rate that debt can take to pay
inline constexpr int64_t day_ms = 86400000;

// Why nothing of the swarm's deltas goes out or is asked for, however full the buckets are.
enum class Restraint : uint8_t { none, quiet_hours, day_used };

// What people may know of it.
struct BudgetView {
  BudgetLimits limits;
  DayCount today;
  Restraint restraint = Restraint::none;
  uint64_t sent_last_minute = 0, received_last_minute = 0;  // bytes
  bool is_up_short = false, is_down_short = false;          // something waits until debt is paid
};

// Bytes that flow in evenly, for a second at most. May go into debt.
class ByteBucket {
 public:
  ByteBucket(uint64_t bytes_per_s, Instant now);  // 0: no limit

  bool is_limited() const { return rate_ > 0; }
  void spend(uint64_t bytes, Instant now);
  int64_t left(Instant now) const;      // bytes; of no limit: INT64_MAX; in debt: not above 0
  Instant ready_at(Instant now) const;  // when something will be left; `now` if there is

 private:
  int64_t parts_at(Instant now) const;

  int64_t rate_;   // bytes a second, and thousandths of a byte a millisecond
  int64_t parts_;  // thousandths of a byte
  Instant filled_at_;
};

// Bytes of the last minute, in twelfths of it.
class LastMinute {
 public:
  void add(uint64_t bytes, Instant now);
  uint64_t sum(Instant now) const;

 private:
  static constexpr int64_t slot_ms = 5000;
  struct Slot {
    int64_t number = 0;
    uint64_t bytes = 0;
  };
  std::array<Slot, 12> slots_{};
};

class Budget {
 public:
  Budget(const BudgetLimits& limits, Instant now);

  void charge_sent(uint64_t bytes, Instant now);
  void charge_received(uint64_t bytes, Instant now);
  void delta_sent(uint64_t bytes, Instant now);  // of what is or will be charged: a delta's
  void delta_seen(uint64_t bytes);               // how large deltas are
  void restore(const DayCount& today) { today_ = today; }
  void follow(const Calendar& calendar, Instant now);
  bool advance(Instant now);  // true: a new day has begun, and with it what waited for it

  bool is_limited() const;
  bool is_up_limited() const { return up_.is_limited(); }
  // Neighbours may not push to us: what comes is what we ask for.
  static bool wants_pulls_only(const BudgetLimits& limits);
  // What they ask of us may come late.
  static bool waits_to_send(const BudgetLimits& limits);
  Restraint restraint() const;
  // May another delta or chunk go out, when `released` bytes of this turn are yet to be charged?
  bool may_send(uint64_t released, Instant now) const;
  Instant send_at(Instant now) const;  // when it may; never: nobody knows yet
  // How many things of `size` bytes may be on their way to us.
  uint64_t coming_max(uint64_t size, Instant now) const;
  Instant ask_at(Instant now) const;
  Instant day_ends_at() const { return limits_.day_bytes > 0 ? day_ends_at_ : never; }
  uint64_t delta_size() const { return delta_size_; }  // of a usual one

  // How much a second one delta of our own may weigh, so that `others` can get all of it and we can
  // pass on as much of theirs. 0: no bound.
  uint64_t own_bytes_per_s(uint32_t others, Instant now) const;
  BudgetView view(Instant now) const;

 private:
  BudgetLimits limits_;
  ByteBucket up_, down_;
  LastMinute sent_, received_, deltas_;
  Instant began_at_, day_ends_at_;
  DayCount today_;
  bool is_quiet_ = false;
  uint64_t delta_size_ = 16384;  // until some have been seen
};

}  // namespace starling::swarm
