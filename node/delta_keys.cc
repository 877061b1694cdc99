#include "node/delta_keys.h"

#include <charconv>
#include <sstream>

namespace starling::node {

namespace {

bool read_number(std::string_view text, uint64_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

std::string encode_keys(const std::set<swarm::DeltaKey>& keys) {
  std::string text;
  for (const swarm::DeltaKey& key : keys) {
    if (!text.empty()) text += ' ';
    text += swarm::to_string(key.stream.origin) + "/" + std::to_string(key.stream.epoch) + "/" +
            std::to_string(key.seq);
  }
  return text;
}

std::set<swarm::DeltaKey> decode_keys(const std::string& text) {
  std::set<swarm::DeltaKey> keys;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    const size_t first = word.find('/'), second = word.rfind('/');
    if (first == std::string::npos || first == second) continue;
    const std::string_view view(word);
    const auto origin = swarm::parse_peer_id(view.substr(0, first));
    swarm::DeltaKey key;
    if (!origin || !read_number(view.substr(first + 1, second - first - 1), key.stream.epoch) ||
        !read_number(view.substr(second + 1), key.seq)) {
      continue;
    }
    key.stream.origin = *origin;
    keys.insert(key);
  }
  return keys;
}

}  // namespace starling::node
