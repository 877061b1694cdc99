// Which snapshot a newcomer believes, and what becomes of who offers a false one.
#include "tests/swarm/state_desk.h"
#include "tests/swarm/state_world.h"

namespace starling::swarm::state_test {
namespace {

using Fault = SnapshotInstalled::Fault;

Digest filled(uint8_t with) {
  Digest digest{};
  digest.fill(with);
  return digest;
}

// A newcomer whose neighbours all tell of a stranger's deltas, which their logs have forgotten.
struct Newcomer {
  explicit Newcomer(size_t count) {
    for (size_t i = 0; i < count; ++i) {
      peers.emplace_back(static_cast<uint8_t>(10 + i));
      desk.link(peers.back());
    }
    desk.say(peers[0], Members{{desk.record_of(eve)}});
  }
  SnapshotOffer offer(uint8_t base, uint8_t file, uint64_t deltas = 500) const {
    SnapshotOffer made;
    made.hash = filled(base);
    made.file_hash = filled(file);
    made.size = 100;
    made.have = vector_of({eve.id, 1}, deltas);
    return made;
  }
  // Everybody tells of them all and answers every pull with its offer; `ms` pass.
  void go_on(const std::vector<SnapshotOffer>& offers, int64_t ms = 4000) {
    for (int64_t passed_ms = 0; passed_ms < ms; passed_ms += 200) {
      const size_t before = desk.outputs.size();
      for (size_t i = 0; i < peers.size(); ++i) {
        if (passed_ms % 2000 == 0) desk.tell(peers[i], vector_of({eve.id, 1}, 500));
        if (!pulled.contains(peers[i].id)) continue;
        desk.say(peers[i], offers[i]);
        pulled.erase(peers[i].id);
      }
      desk.pass(200);
      const auto since = desk.outputs.begin() + static_cast<std::ptrdiff_t>(before);
      const std::vector<Output> outputs(since, desk.outputs.end());
      for (const Peer& peer : peers) {
        if (!sent_to<Pull>(outputs, peer.id).empty()) pulled.insert(peer.id);
        for (const ChunkRequest& request : sent_to<ChunkRequest>(outputs, peer.id))
          asked.emplace_back(peer.id, request.file_hash);
      }
    }
  }
  // The last that was asked gives its chunk, which was all, and the driver says what it made of it.
  std::vector<Output> answer(const SnapshotOffer& offer, bool ok, Fault fault = Fault::here) {
    REQUIRE_FALSE(asked.empty());
    for (Peer& peer : peers) {
      if (peer.id == asked.back().first)
        desk.say(peer, Chunk{asked.back().second, 0, Bytes(offer.size)});
    }
    REQUIRE(all_of<InstallSnapshot>(desk.put(ChunkSaved{offer.file_hash, 0, true})).size() == 1);
    return desk.put(SnapshotInstalled{offer, ok, "", fault});
  }
  double score(size_t index) const { return desk.view_of(peers[index]).score; }

  Desk desk;
  std::vector<Peer> peers;
  Peer eve{40};
  std::set<PeerId> pulled;
  std::vector<std::pair<PeerId, Digest>> asked;  // for a chunk, of which file
};

TEST_CASE("of several bases for the same deltas a newcomer takes the one that most state") {
  for (size_t liar = 0; liar < 3; ++liar) {
    CAPTURE(liar);
    Newcomer newcomer(3);
    std::vector<SnapshotOffer> offers;
    for (size_t i = 0; i < 3; ++i)
      offers.push_back(newcomer.offer(i == liar ? 9 : 3, static_cast<uint8_t>(20 + i)));
    newcomer.go_on(offers);
    REQUIRE(newcomer.asked.size() >= 1);
    for (const auto& [peer, file] : newcomer.asked) CHECK(peer != newcomer.peers[liar].id);
    const size_t sender = newcomer.asked.back().first == newcomer.peers[0].id   ? 0
                          : newcomer.asked.back().first == newcomer.peers[1].id ? 1
                                                                                : 2;
    newcomer.answer(offers[sender], true);
    CHECK(newcomer.desk.state->have().delta_count() == 500);
    // The other one is caught, and nobody else is.
    for (size_t i = 0; i < 3; ++i) CHECK(newcomer.score(i) == (i == liar ? -10 : 0));
    CHECK(newcomer.desk.refused(DropReason::bad_snapshot) == 1);
  }
}

TEST_CASE("where as many neighbours state one base as another, neither is believed") {
  Newcomer newcomer(2);
  newcomer.go_on({newcomer.offer(9, 20), newcomer.offer(3, 21)}, 60000);
  CHECK(newcomer.asked.empty());
  CHECK(newcomer.desk.refused(DropReason::bad_snapshot) == 0);
}

TEST_CASE("a snapshot that several state alike comes before a larger one of a single neighbour") {
  for (size_t single = 0; single < 3; ++single) {
    CAPTURE(single);
    Newcomer newcomer(3);
    std::vector<SnapshotOffer> offers;
    for (size_t i = 0; i < 3; ++i) {
      const auto file = static_cast<uint8_t>(20 + i);
      offers.push_back(i == single ? newcomer.offer(9, file) : newcomer.offer(3, file, 400));
    }
    newcomer.go_on(offers);
    REQUIRE_FALSE(newcomer.asked.empty());
    CHECK(newcomer.asked.front().first != newcomer.peers[single].id);
  }
}

TEST_CASE("who offers a file that is not what it says is never asked for one again") {
  Newcomer newcomer(2);
  const SnapshotOffer first = newcomer.offer(9, 20), second = newcomer.offer(3, 21, 499);
  newcomer.go_on({first, second});  // the larger one is tried first
  REQUIRE(newcomer.asked.size() == 1);
  CHECK(newcomer.asked[0].first == newcomer.peers[0].id);
  newcomer.answer(first, false, Fault::file);
  CHECK(newcomer.score(0) == -10);
  CHECK(newcomer.score(1) == 0);
  newcomer.go_on({newcomer.offer(9, 22), second}, 60000);  // it has another one now
  REQUIRE(newcomer.asked.size() >= 2);
  for (size_t i = 1; i < newcomer.asked.size(); ++i)
    CHECK(newcomer.asked[i].first == newcomer.peers[1].id);
  newcomer.answer(second, true);
  CHECK(newcomer.desk.state->have().delta_count() == 499);
}

TEST_CASE("what our own disk or log could not take is nobody's fault") {
  Newcomer newcomer(1);
  const SnapshotOffer offer = newcomer.offer(3, 20);
  newcomer.go_on({offer});
  newcomer.answer(offer, false, Fault::here);
  CHECK(newcomer.score(0) == 0);
  CHECK(newcomer.desk.refused(DropReason::bad_snapshot) == 0);
}

TEST_CASE("who sends chunks that do not belong to a file that others have too is found out") {
  Newcomer newcomer(2);
  SnapshotOffer offer = newcomer.offer(3, 20);
  offer.size = 2 * chunk_size_max;
  newcomer.go_on({offer, offer}, 2000);
  REQUIRE(newcomer.asked.size() == 2);  // a chunk of each
  CHECK(newcomer.asked[0].first != newcomer.asked[1].first);
  const auto fetch = [&] {
    for (Peer& peer : newcomer.peers) {
      for (const uint32_t index : {0u, 1u})
        newcomer.desk.say(peer, Chunk{offer.file_hash, index, Bytes(chunk_size_max)});
    }
    newcomer.desk.put(ChunkSaved{offer.file_hash, 0, true});
    newcomer.desk.put(ChunkSaved{offer.file_hash, 1, true});
    newcomer.asked.clear();
  };
  fetch();
  newcomer.desk.put(SnapshotInstalled{offer, false, "", Fault::chunks});
  CHECK(newcomer.desk.refused(DropReason::bad_snapshot) == 0);  // it may have been either
  newcomer.go_on({offer, offer}, 2000);
  REQUIRE(newcomer.asked.size() == 2);
  CHECK(newcomer.asked[0].first == newcomer.asked[1].first);  // now of one alone
  const PeerId liar = newcomer.asked[0].first;
  fetch();
  newcomer.desk.put(SnapshotInstalled{offer, false, "", Fault::chunks});
  CHECK(newcomer.desk.refused(DropReason::bad_snapshot) == 1);
  newcomer.go_on({offer, offer}, 10000);
  REQUIRE(newcomer.asked.size() >= 2);
  for (const auto& [peer, file] : newcomer.asked) CHECK(peer != liar);
  fetch();
  newcomer.desk.put(SnapshotInstalled{offer, true, ""});
  CHECK(newcomer.desk.state->have().delta_count() == 500);
}

// ---- A swarm

// Four nodes with a common log that has forgotten its beginning; snapshots are yet to be made.
void come_to_a_log(World& world) {
  world.fill(4);
  REQUIRE(world.run_until([&] { return world.is_meshed(); }, 20000));
  for (int round = 0; round < 60; ++round) {
    for (const auto& node : world.nodes) node->publish();
    world.run_for(500);
  }
  REQUIRE(world.run_until([&] { return world.is_converged(); }, 20000));
}

Node& join(World& world) {
  Node& late = world.add();
  late.seeds = {world.nodes[0]->address};
  late.start();
  return late;
}

TEST_CASE("a newcomer comes to the base of the many, whichever neighbour forged its snapshot") {
  for (size_t forger = 0; forger < 4; ++forger) {
    CAPTURE(forger);
    World world(50 + forger, {.loss = forger % 2 == 0 ? 0.0 : 0.1});
    come_to_a_log(world);
    for (const auto& node : world.nodes) node->make_snapshot(node->index == forger ? 1 : 0);
    for (const auto& node : world.nodes) node->forget(200);
    const Node& late = join(world);
    CHECK(world.run_until([&] { return world.is_converged(); }, 90000));
    CHECK(late.count(Notice::Kind::diverged) == 0);
    for (const auto& [peer, score] : late.state->scores(world.now))
      CHECK(peer == world.nodes[forger]->id);
  }
}

TEST_CASE("a neighbour that spoils the file of another does not keep a newcomer out") {
  for (size_t spoiler = 0; spoiler < 4; ++spoiler) {
    CAPTURE(spoiler);
    World world(60 + spoiler);
    come_to_a_log(world);
    const SnapshotOffer offer = world.nodes[(spoiler + 1) % 4]->make_snapshot();
    Node& bad = *world.nodes[spoiler];
    bad.files[offer.file_hash] = Bytes(offer.size, 77);
    bad.input(SnapshotAvailable{offer});
    for (const auto& node : world.nodes) node->forget(200);
    const Node& late = join(world);
    CHECK(world.run_until([&] { return world.is_converged(); }, 120000));
    for (const auto& [peer, points] : late.state->scores(world.now)) {
      if (peer != bad.id) CHECK(points > -5);
    }
  }
}

}  // namespace
}  // namespace starling::swarm::state_test
