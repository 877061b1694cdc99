// The views alone, without messages' bytes or links' secrets: a network of ids, delays and cuts.
#include "swarm/overlay.h"

#include <doctest/doctest.h>

#include <functional>
#include <memory>

namespace starling::swarm {
namespace {

PeerId id_of(size_t index) {
  PeerId id;
  id.bytes[18] = static_cast<uint8_t>(index >> 8);
  id.bytes[19] = static_cast<uint8_t>(index);
  return id;
}
size_t index_of(const PeerId& id) { return size_t{id.bytes[18]} << 8 | id.bytes[19]; }

class Net {
 public:
  Net(uint64_t seed, size_t count) : rng(seed) {
    for (size_t i = 0; i < count; ++i) nodes.push_back({Overlay(config, id_of(i)), true, {}});
  }

  struct Node {
    Overlay overlay;
    bool is_up = true;
    std::set<PeerId> dialling;
  };

  // Enters through `contact`, as a node with one seed does.
  void join(size_t node, size_t contact) {
    nodes[node].overlay.heard_of(id_of(contact), rng);
    sync(node);
    settle();
  }
  // Every node ticks once, at its own moment, and all that follows happens.
  void round() {
    for (size_t i = 0; i < nodes.size(); ++i) {
      after([this, i] {
        if (!nodes[i].is_up) return;
        if (const auto shuffle = nodes[i].overlay.tick(rng)) send(i, *shuffle);
        sync(i);
      });
    }
    settle();
  }
  void rounds(int count) {
    for (int i = 0; i < count; ++i) round();
  }
  // Everyone hears of everyone, as from a roster.
  void introduce_all() {
    for (size_t i = 0; i < nodes.size(); ++i) {
      for (size_t j = 0; j < nodes.size(); ++j) nodes[i].overlay.heard_of(id_of(j), rng);
      sync(i);
    }
    settle();
    round();
  }
  void kill(size_t node) {
    nodes[node].is_up = false;
    for (size_t other = 0; other < nodes.size(); ++other) cut(node, other, false);
  }
  void part(std::set<size_t> half) {
    side = std::move(half);
    for (size_t a = 0; a < nodes.size(); ++a) {
      for (size_t b = a + 1; b < nodes.size(); ++b) {
        if (is_parted(a, b)) cut(a, b, false);
      }
    }
    settle();
  }

  // Nodes up in the largest part that is linked together.
  size_t largest_part() const {
    std::vector<uint8_t> seen(nodes.size(), 0);
    size_t largest = 0;
    for (size_t start = 0; start < nodes.size(); ++start) {
      if (!nodes[start].is_up || seen[start] != 0) continue;
      std::vector<size_t> reached{start};
      seen[start] = 1;
      for (size_t next = 0; next < reached.size(); ++next) {
        for (const PeerId& peer : nodes[reached[next]].overlay.active()) {
          const size_t other = index_of(peer);
          if (seen[other] != 0) continue;
          seen[other] = 1;
          reached.push_back(other);
        }
      }
      largest = std::max(largest, reached.size());
    }
    return largest;
  }
  size_t up_count() const {
    size_t count = 0;
    for (const Node& node : nodes) count += node.is_up ? 1 : 0;
    return count;
  }
  // Views are symmetric and bounded, hold nobody twice, and nobody itself.
  bool is_sound() const {
    for (size_t i = 0; i < nodes.size(); ++i) {
      const Overlay& overlay = nodes[i].overlay;
      if (!nodes[i].is_up) continue;
      if (overlay.active_count() > config.active_view_max) return false;
      if (overlay.passive().size() > config.passive_view_max) return false;
      const std::set<PeerId> distinct(overlay.passive().begin(), overlay.passive().end());
      if (distinct.size() != overlay.passive().size() || distinct.contains(id_of(i))) return false;
      for (const PeerId& peer : overlay.active()) {
        if (distinct.contains(peer) || peer == id_of(i)) return false;
        if (!nodes[index_of(peer)].overlay.is_active(id_of(i))) return false;
      }
    }
    return true;
  }

  Config config;
  Rng rng;
  std::vector<Node> nodes;
  std::set<size_t> side;

 private:
  bool is_parted(size_t a, size_t b) const { return side.contains(a) != side.contains(b); }
  bool are_linked(size_t a, size_t b) const { return links_.contains(std::minmax(a, b)); }

  void after(std::function<void()> action) {
    agenda_.emplace(std::pair(now_ + 1 + rng.below(50), count_++), std::move(action));
  }
  void settle() {
    while (!agenda_.empty()) {
      auto next = agenda_.extract(agenda_.begin());
      now_ = next.key().first;
      next.mapped()();
    }
  }
  void cut(size_t a, size_t b, bool is_kept) {
    if (links_.erase(std::minmax(a, b)) == 0) return;
    for (const auto& [node, other] : {std::pair(a, b), std::pair(b, a)}) {
      after([this, node = node, other = other, is_kept] {
        if (!nodes[node].is_up || are_linked(node, other)) return;
        nodes[node].overlay.lost(id_of(other), is_kept, rng);
        sync(node);
      });
    }
  }
  void sync(size_t node) {
    for (const PeerId& peer : nodes[node].overlay.wanted()) {
      if (!nodes[node].dialling.insert(peer).second) continue;
      after([this, node, peer] { dial(node, index_of(peer)); });
    }
  }
  void dial(size_t node, size_t other) {
    Node& from = nodes[node];
    Node& to = nodes[other];
    from.dialling.erase(id_of(other));
    if (!from.is_up || are_linked(node, other)) return;
    if (!to.is_up || is_parted(node, other)) {
      from.overlay.failed(id_of(other), rng);
      return sync(node);
    }
    const Wish wish = from.overlay.wish_for(id_of(other));
    links_[std::minmax(node, other)] = ++generations_;
    if (!accept(other, node, false, wish)) return cut(node, other, true);
    if (wish == Wish::join) {
      for (const auto& walk : to.overlay.begin_join(id_of(node))) send(other, walk);
    }
    if (!accept(node, other, true, Wish::none)) cut(node, other, true);
  }
  bool accept(size_t node, size_t other, bool is_own_pick, Wish wish) {
    const auto verdict = nodes[node].overlay.greeted(id_of(other), is_own_pick, wish, rng);
    if (verdict.evicted) cut(node, index_of(*verdict.evicted), true);
    sync(node);
    return verdict.is_accepted;
  }
  template <typename T>
  void send(size_t node, const std::pair<PeerId, T>& message) {
    const size_t to = index_of(message.first);
    const auto link = links_.find(std::minmax(node, to));
    if (link == links_.end()) return;
    after([this, node, to, message = message.second, generation = link->second] {
      const auto still = links_.find(std::minmax(node, to));
      if (still == links_.end() || still->second != generation) return;
      take(to, id_of(node), message);
      sync(to);
    });
  }
  void take(size_t node, const PeerId& from, const JoinWalk& walk) {
    if (const auto next = nodes[node].overlay.take(from, walk, rng)) send(node, *next);
  }
  void take(size_t node, const PeerId& from, const ShuffleWalk& walk) {
    const auto shuffled = nodes[node].overlay.take(from, walk, rng);
    if (shuffled.onward) send(node, *shuffled.onward);
    if (shuffled.back) send(node, *shuffled.back);
  }
  void take(size_t node, const PeerId&, const ShuffleAnswer& answer) {
    if (const auto next = nodes[node].overlay.take(answer, rng)) send(node, *next);
  }

  uint64_t now_ = 0, count_ = 0, generations_ = 0;
  std::map<std::pair<uint64_t, uint64_t>, std::function<void()>> agenda_;
  std::map<std::pair<size_t, size_t>, uint64_t> links_;
};

// `count` nodes that came one after the other, each through one that was there.
void grow(Net& net, size_t count) {
  for (size_t i = 1; i < count; ++i) net.join(i, net.rng.below(i));
  net.rounds(2 * static_cast<int>(ticks_per_shuffle));
}

TEST_CASE("after 60 % of 100 nodes vanish at once, the rest is one, in 99 % of 1,000 seeds") {
  constexpr uint64_t seeds = 1000;
  constexpr size_t count = 100;
  size_t whole = 0;
  for (uint64_t seed = 1; seed <= seeds; ++seed) {
    CAPTURE(seed);
    Net net(seed, count);
    grow(net, count);
    REQUIRE(net.largest_part() == count);
    REQUIRE(net.is_sound());
    std::vector<size_t> order(count);
    for (size_t i = 0; i < count; ++i) order[i] = i;
    for (size_t i = 0; i < 60; ++i) {
      std::swap(order[i], order[i + net.rng.below(count - i)]);
      net.kill(order[i]);
    }
    net.rounds(4);
    REQUIRE(net.is_sound());
    whole += net.largest_part() * 100 >= net.up_count() * 99 ? 1 : 0;
  }
  CHECK(whole * 100 >= seeds * 99);
}

TEST_CASE("a swarm that fits into one view is a full mesh, and a larger one is one and sound") {
  for (size_t count = 2; count <= 12; ++count) {
    for (uint64_t seed = 1; seed <= 20; ++seed) {
      CAPTURE(seed);
      CAPTURE(count);
      Net net(seed, count);
      grow(net, count);
      net.introduce_all();
      CHECK(net.is_sound());
      CHECK(net.largest_part() == count);
      if (count > net.config.active_view_max + 1) continue;
      for (const auto& node : net.nodes) CHECK(node.overlay.active_count() == count - 1);
    }
  }
}

TEST_CASE("two halves that were parted for long find together again, without any seed") {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    CAPTURE(seed);
    Net net(seed, 60);
    grow(net, 60);
    std::set<size_t> half;
    while (half.size() < 30) half.insert(net.rng.below(60));
    net.part(half);
    net.rounds(20 * static_cast<int>(ticks_per_shuffle));
    CHECK(net.largest_part() == 30);
    net.part({});
    net.rounds(3 * static_cast<int>(ticks_per_shuffle));
    CHECK(net.largest_part() == 60);
    CHECK(net.is_sound());
  }
}

TEST_CASE("a full node refuses a neighbour, makes room for who is alone, and keeps two own picks") {
  Config config;
  Rng rng(1);
  Overlay overlay(config, id_of(0));
  for (size_t i = 1; i <= config.active_view_max; ++i)
    CHECK(overlay.greeted(id_of(i), i <= own_picks_min, Wish::neighbour, rng).is_accepted);
  const auto refused = overlay.greeted(id_of(50), false, Wish::neighbour, rng);
  CHECK_FALSE(refused.is_accepted);
  CHECK_FALSE(overlay.greeted(id_of(51), false, Wish::none, rng).is_accepted);
  for (size_t i = 100; i < 400; ++i) {
    const auto verdict = overlay.greeted(id_of(i), false, Wish::join, rng);
    CHECK(verdict.is_accepted);
    CHECK(verdict.evicted.has_value());
  }
  CHECK(overlay.active_count() == config.active_view_max);
  CHECK(overlay.is_active(id_of(1)));
  CHECK(overlay.is_active(id_of(2)));
  CHECK(overlay.passive().size() == config.passive_view_max);
}

TEST_CASE("what a peer claims in walks is bounded: hops, samples and shuffles under way") {
  Config config;
  Rng rng(1);
  Overlay overlay(config, id_of(0));
  overlay.greeted(id_of(1), false, Wish::join, rng);
  overlay.greeted(id_of(2), false, Wish::join, rng);
  const auto onward = overlay.take(id_of(1), JoinWalk{id_of(9), 4000000000}, rng);
  REQUIRE(onward.has_value());
  CHECK(onward->second.hops < walk_hops_max);
  ShuffleWalk walk{7, 0, {}};
  for (size_t i = 0; i < 500; ++i) walk.sample.push_back(id_of(100 + i));
  CHECK(overlay.take(id_of(1), walk, rng).back.has_value());
  CHECK(overlay.passive().size() + overlay.wanted().size() <= 2 * shuffle_sample_max);
  for (uint64_t token = 0; token < 1000; ++token)
    overlay.take(id_of(1), ShuffleWalk{token, 3, {}}, rng);
  CHECK_FALSE(overlay.take(ShuffleAnswer{5, {}}, rng).has_value());  // forgotten long ago
  CHECK(overlay.take(ShuffleAnswer{999, {}}, rng).has_value());
  CHECK_FALSE(overlay.take(ShuffleAnswer{999, {}}, rng).has_value());  // goes back once
}

}  // namespace
}  // namespace starling::swarm
