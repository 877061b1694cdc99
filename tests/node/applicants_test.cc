// The list of those who knocked: one entry each, bounded, and not to be flooded.
#include "node/applicants.h"

#include <doctest/doctest.h>

#include <algorithm>

namespace starling::node {
namespace {

swarm::PeerId peer(size_t number) {
  swarm::PeerId id;
  id.bytes[0] = static_cast<uint8_t>(number);
  id.bytes[1] = static_cast<uint8_t>(number >> 8);
  return id;
}

TEST_CASE("an applicant is one entry however often it comes, the last that came first") {
  Applicants applicants;
  applicants.note({"192.0.2.1:5000", "another_swarm", peer(1)}, 10);
  applicants.note({"192.0.2.2:5000", "not_a_member", std::nullopt}, 11);
  applicants.note({"192.0.2.2:6000", "not_a_member", std::nullopt}, 12);
  applicants.note({"192.0.2.3:5000", "revoked", peer(1)}, 13);
  const auto list = applicants.list();
  REQUIRE(list.size() == 2);
  CHECK(list[0].id == swarm::to_string(peer(1)));
  CHECK(list[0].address == "192.0.2.3");
  CHECK(list[0].first_s == 10);
  CHECK(list[0].last_s == 13);
  CHECK(list[0].attempts == 2);
  CHECK(list[0].reason == "revoked");
  CHECK(list[1].id.empty());
  CHECK(list[1].address == "192.0.2.2");
  CHECK(list[1].attempts == 2);
}

TEST_CASE("what shows no certificate of its own is no applicant") {
  Applicants applicants;
  for (const char* reason : {"not_tls", "no_certificate", "bad_signature", "too_fast"})
    applicants.note({"192.0.2.1:5000", reason, std::nullopt}, 10);
  CHECK(applicants.list().empty());
}

TEST_CASE("an address that floods the list with identities pushes out its own alone") {
  Applicants applicants;
  applicants.note({"[2001:db8::1]:5000", "another_swarm", peer(1)}, 10);
  for (size_t i = 0; i < 3 * Applicants::entries_max; ++i)
    applicants.note({"192.0.2.1:5000", "another_swarm", peer(100 + i)}, 11);
  const auto list = applicants.list();
  CHECK(list.size() == Applicants::entries_max);
  CHECK(list.back().id == swarm::to_string(peer(1)));
  CHECK(list.back().address == "[2001:db8::1]");
  CHECK(list.front().id == swarm::to_string(peer(99 + 3 * Applicants::entries_max)));
}

}  // namespace
}  // namespace starling::node
