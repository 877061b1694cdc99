// What a run shows while it goes on.
#include "sim/watch.h"

#include <doctest/doctest.h>

namespace starling::sim {

TEST_CASE("progress is a bar with virtual time, its rate and the time left") {
  CHECK(progress_line({.done = 0.25, .virtual_seconds = 30, .wall_seconds = 10}, true) ==
        "[######------------------] 25 %, virtual time 30 s, 3.0x real time, about 30 s left");
  CHECK(progress_line({.done = 1, .virtual_seconds = 60, .wall_seconds = 20}, true) ==
        "[########################] 100 %, virtual time 60 s, 3.0x real time, about 0 s left");
}

TEST_CASE("progress in a file has no bar, that of a baseline no virtual time") {
  CHECK(progress_line({.done = 0.5, .wall_seconds = 4}, false) == "50 %, about 4 s left");
}

TEST_CASE("progress foretells nothing before something is done") {
  CHECK(progress_line({.done = 0, .virtual_seconds = 0, .wall_seconds = 0}, false) ==
        "0 %, virtual time 0 s, 0.0x real time");
  CHECK(progress_line({.done = 1.5, .wall_seconds = 1}, true)
            .starts_with("[########################] "));
}

}  // namespace starling::sim
