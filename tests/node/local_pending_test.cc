// `starling pending`: what the owner sees of those who knocked.
#include "tests/node/local_json.h"

namespace starling::node {
namespace {

TEST_CASE("pending lists who knocked, with what to do about it") {
  FakeNode node;
  node.daemon.applicants = {{.id = "an-id",
                             .address = "192.0.2.9",
                             .first_s = 1700000000,
                             .last_s = 1700000060,
                             .attempts = 3,
                             .reason = "another_swarm"},
                            {.id = "",
                             .address = "[2001:db8::1]",
                             .first_s = 1700000001,
                             .last_s = 1700000001,
                             .attempts = 1,
                             .reason = "not_a_member"}};
  const Ran text = starling({"pending", "--dir", node.directory});
  CHECK(text.code == 0);
  CHECK(text.out.starts_with("ID     ADDRESS        REASON               ATTEMPTS  FIRST"));
  CHECK(text.out.find("\nan-id  192.0.2.9      is of another swarm         3  2023-11-1") !=
        std::string::npos);
  CHECK(text.out.find("\n-      [2001:db8::1]  has no membership           1  ") !=
        std::string::npos);
  CHECK(text.err.find("starling join --dir DIR TOKEN") != std::string::npos);

  const Json json = json_of(starling({"pending", "--json", "--dir", node.directory}));
  CHECK(keys_of(json) == "pending");
  CHECK(json["pending"][0] == Json{{"id", "an-id"},
                                   {"address", "192.0.2.9"},
                                   {"first_s", 1700000000},
                                   {"last_s", 1700000060},
                                   {"attempts", 3},
                                   {"reason", "another_swarm"}});
  CHECK(json["pending"][1]["id"].is_null());
}

TEST_CASE("pending says so when nobody knocked") {
  const FakeNode node;
  const Ran text = starling({"pending", "--dir", node.directory});
  CHECK(text.code == 0);
  CHECK(text.err == "nobody but members has tried to connect since the node started\n");
  CHECK(json_of(starling({"pending", "--json", "--dir", node.directory}))["pending"] ==
        Json::array());
}

}  // namespace
}  // namespace starling::node
