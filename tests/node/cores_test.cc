#include "node/cores.h"

#include <doctest/doctest.h>

#include <condition_variable>
#include <future>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>

namespace starling::node {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;

int core_count() {
  cpu_set_t cores;
  REQUIRE(sched_getaffinity(0, sizeof cores, &cores) == 0);
  return CPU_COUNT(&cores);
}

// A thread that tells on which cores it may run.
class Other {
 public:
  int core_count() {
    std::promise<int> count;
    std::future<int> told = count.get_future();
    {
      std::lock_guard lock(mutex_);
      asked_ = &count;
    }
    wake_.notify_one();
    return told.get();
  }

 private:
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::promise<int>* asked_ = nullptr;
  std::jthread thread_{[this](const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    while (wake_.wait(lock, stop, [this] { return asked_ != nullptr; })) {
      asked_->set_value(node::core_count());
      asked_ = nullptr;
    }
  }};
};

}  // namespace

TEST_CASE(
    "the learner keeps a core of its own, and the others stay off it, while nobody wants it") {
  const int all = core_count();
  if (all < 2) return;  // nothing can be kept
  const double others = all - 1;
  Other other;
  const auto now = steady_clock::now();
  {
    Cores cores(1);
    cores.stepped({.foreign = others}, now);
    CHECK_FALSE(cores.is_keeping());
    cores.stepped({.foreign = 0.3 * others}, now + Cores::crowded_rest);
    CHECK(cores.is_keeping());
    CHECK(core_count() == 1);
    CHECK(other.core_count() == all - 1);

    cores.stepped({.foreign = others}, now + seconds(7));  // another process came
    CHECK(core_count() == all);
    CHECK(other.core_count() == all);
    cores.stepped({}, now + seconds(8));  // not at once again
    CHECK_FALSE(cores.is_keeping());
    cores.stepped({}, now + seconds(7) + Cores::crowded_rest);
    CHECK(cores.is_keeping());
  }
  CHECK(core_count() == all);
  CHECK(other.core_count() == all);
}

TEST_CASE("answers come before learning: they get all cores when there are more than other cores") {
  const int all = core_count();
  if (all < 2) return;
  const auto answers = static_cast<uint32_t>(all);
  const auto now = steady_clock::now();
  Cores cores(1);
  cores.stepped({.answers = answers}, now);
  CHECK_FALSE(cores.is_keeping());
  cores.stepped({.answers = answers - 1}, now);
  CHECK(cores.is_keeping());
  cores.stepped({.answers = answers}, now);
  CHECK_FALSE(cores.is_keeping());
}

TEST_CASE(
    "now and then the system may choose the learner's core again; several threads keep none") {
  if (core_count() < 2) return;
  const auto now = steady_clock::now();
  Cores cores(1);
  cores.stepped({}, now);
  CHECK(cores.is_keeping());
  cores.stepped({}, now + Cores::kept_max);
  CHECK_FALSE(cores.is_keeping());
  cores.stepped({}, now + Cores::kept_max);
  CHECK(cores.is_keeping());
  cores.give_back();  // it was paused, say
  CHECK_FALSE(cores.is_keeping());
  cores.stepped({}, now + Cores::kept_max);
  CHECK(cores.is_keeping());
  cores.give_back();

  Cores of_two(2);
  of_two.stepped({}, now);
  CHECK_FALSE(of_two.is_keeping());
}

TEST_CASE("what cores have worked is read from /proc/stat, of those that count") {
  const std::string stat =
      "cpu  1000 1000 1000 9000 0 0 0 0 0 0\n"
      "cpu0 100 20 30 500 7 4 6 90 0 0\n"
      "cpu1 1 1 1 1 1 1 1 1 0 0\n"
      "cpu10 200 0 0 0 0 0 0 0 0 0\n"
      "intr 12345 0 0\n";
  cpu_set_t cores;
  CPU_ZERO(&cores);
  CHECK(busy_seconds(stat, cores, 100) == 0);
  CPU_SET(0, &cores);
  CHECK(busy_seconds(stat, cores, 100) == doctest::Approx(1.6));
  CPU_SET(10, &cores);
  CHECK(busy_seconds(stat, cores, 100) == doctest::Approx(3.6));
  CHECK(busy_seconds("", cores, 100) == 0);
}

}  // namespace starling::node
