#pragma once
// A rate limit: tokens flow in evenly up to a burst, each thing allowed takes one. Whole numbers
// only, so that every machine decides alike.
#include <algorithm>
#include <cstdint>

#include "swarm/instant.h"

namespace starling::swarm {

struct TokenRate {
  int64_t per_minute = 0;
  int64_t burst = 0;
};

class TokenBucket {
 public:
  TokenBucket(const TokenRate& rate, Instant now)
      : rate_(rate), parts_(rate.burst * parts_per_token), filled_at_(now) {}

  // Takes one token; false when there is none.
  bool take(Instant now) {
    fill(now);
    if (parts_ < parts_per_token) return false;
    parts_ -= parts_per_token;
    return true;
  }
  // When the next token will be there; `now` if it is.
  Instant ready_at(Instant now) {
    fill(now);
    if (parts_ >= parts_per_token) return now;
    return now.after((parts_per_token - parts_ + rate_.per_minute - 1) / rate_.per_minute);
  }

 private:
  static constexpr int64_t parts_per_token =
      60000;  // one part flows in per millisecond and unit of rate

  void fill(Instant now) {
    const int64_t room = rate_.burst * parts_per_token - parts_;
    const int64_t elapsed_ms = std::max<int64_t>(0, now.ms - filled_at_.ms);
    // Divided, not multiplied: a long sleep must not overflow.
    if (elapsed_ms > room / std::max<int64_t>(1, rate_.per_minute)) {
      parts_ += room;
    } else {
      parts_ += elapsed_ms * rate_.per_minute;
    }
    filled_at_ = std::max(filled_at_, now);
  }

  TokenRate rate_;
  int64_t parts_;
  Instant filled_at_;
};

}  // namespace starling::swarm
