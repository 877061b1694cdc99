// `starling members --influence`: whose deltas moved the model, and how they are judged.
#include "tests/node/local_json.h"

namespace starling::node {
namespace {

TEST_CASE("members --influence says what each one's deltas did and how they count") {
  FakeNode node;
  const auto vote_is = [&](const std::string& vote) {
    const Ran ran = starling({"members", "--influence", "--dir", node.directory});
    CHECK(ran.code == 0);
    CHECK(ran.out.starts_with("NAME "));
    CHECK(ran.out.find("12.5 %  " + vote + " ") != std::string::npos);
    CHECK(std::count(ran.out.begin(), ran.out.end(), '\n') == 3);
  };
  vote_is("1/3");
  node.daemon.is_held = true;
  vote_is("held");

  const Json members =
      json_of(starling({"members", "--influence", "--json", "--dir", node.directory}))["members"];
  CHECK(members[0]["influence"].is_null());  // none of its deltas came
  CHECK(members[1]["influence"] == Json{{"deltas", 6},
                                        {"norm", 0.25},
                                        {"share", 0.125},
                                        {"last_s", 1700000000},
                                        {"held", true},
                                        {"held_deltas", 2},
                                        {"copies", 3},
                                        {"agreement", -0.5}});
}

}  // namespace
}  // namespace starling::node
