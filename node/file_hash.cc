#include "node/file_hash.h"

#include <sodium.h>

#include <fstream>
#include <vector>

namespace starling::node {

std::optional<FileFacts> hash_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  FileFacts facts;
  crypto_generichash_state state;
  crypto_generichash_init(&state, nullptr, 0, facts.hash.size());
  std::vector<char> piece(1u << 20);
  while (file.read(piece.data(), static_cast<std::streamsize>(piece.size())) || file.gcount() > 0) {
    const auto count = static_cast<size_t>(file.gcount());
    crypto_generichash_update(&state, reinterpret_cast<const unsigned char*>(piece.data()), count);
    facts.size += count;
  }
  if (file.bad()) return std::nullopt;
  crypto_generichash_final(&state, facts.hash.data(), facts.hash.size());
  return facts;
}

}  // namespace starling::node
