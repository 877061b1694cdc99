// The simulator's own tables, each against the plain way of saying the same.
#include <doctest/doctest.h>

#include <map>
#include <set>

#include "model/rng.h"
#include "sim/agenda.h"
#include "sim/link_table.h"

namespace starling::sim {
namespace {

TEST_CASE("what is on the agenda comes by time, and at one time as it was put down") {
  Rng rng(1);
  Agenda<uint64_t> agenda;
  std::map<std::pair<int64_t, uint64_t>, uint64_t> plain;
  uint64_t order = 0;
  for (int i = 0; i < 5000; ++i) {
    if (rng.below(5) < 3) {
      const auto at = static_cast<int64_t>(rng.below(50));
      const uint64_t what = rng.next();
      agenda.put(at, what);
      plain[{at, order++}] = what;
    } else if (!plain.empty()) {
      CHECK(agenda.next_at() == plain.begin()->first.first);
      CHECK(agenda.take() == std::pair(plain.begin()->first.first, plain.begin()->second));
      plain.erase(plain.begin());
    }
    REQUIRE(agenda.empty() == plain.empty());
  }
}

TEST_CASE("links are found from both ends, and those of a node in the order of the others") {
  constexpr uint32_t nodes = 12;
  Rng rng(2);
  LinkTable links(nodes);
  std::map<std::pair<uint32_t, uint32_t>, uint64_t> plain;
  uint64_t generations = 0;
  for (int i = 0; i < 3000; ++i) {
    const auto a = static_cast<uint32_t>(rng.below(nodes)),
               b = (a + 1 + static_cast<uint32_t>(rng.below(nodes - 1))) % nodes;
    const std::pair<uint32_t, uint32_t> pair = std::minmax(a, b);
    CHECK(links.contains(a, b) == plain.contains(pair));
    CHECK((links.find(b, a) != nullptr) == plain.contains(pair));
    if (plain.contains(pair)) {
      CHECK(links.find(a, b) == links.find(b, a));
      CHECK(links.find(a, b)->generation == plain.at(pair));
      CHECK(links.find(a, b)->ways[1].last_arrival == 0);
    }
    if (rng.below(2) == 0) {
      CHECK(links.erase(a, b) == (plain.erase(pair) == 1));
    } else if (!plain.contains(pair)) {
      links.add(a, b).generation = plain[pair] = ++generations;
    }
    std::set<uint32_t> others;
    for (const auto& [each, generation] : plain) {
      if (each.first == a) others.insert(each.second);
      if (each.second == a) others.insert(each.first);
    }
    std::vector<uint32_t> found;
    for (const auto& [other, place] : links.of(a)) found.push_back(other);
    CHECK(found == std::vector<uint32_t>(others.begin(), others.end()));
  }
}

}  // namespace
}  // namespace starling::sim
