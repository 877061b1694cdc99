#pragma once
// What a verb printed with --json.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/node/local_fake.h"

namespace starling::node {

using Json = nlohmann::ordered_json;

// Requires: one object on one line, and nothing else.
inline Json json_of(const Ran& ran) {
  CAPTURE(ran.out);
  CAPTURE(ran.err);
  Json parsed = Json::parse(ran.out, nullptr, false);
  REQUIRE_FALSE(parsed.is_discarded());
  REQUIRE(std::count(ran.out.begin(), ran.out.end(), '\n') == 1);
  return parsed;
}

inline std::string keys_of(const Json& object) {
  std::string keys;
  for (const auto& [key, value] : object.items()) keys += (keys.empty() ? "" : " ") + key;
  return keys;
}

}  // namespace starling::node
