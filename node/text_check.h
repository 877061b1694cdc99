#pragma once
// Is it text? For configuration (which must be UTF-8) and for what people feed to `learn` (which
// may be in any encoding, but not a program, a picture or an archive).
#include <cstddef>
#include <string>
#include <string_view>

namespace starling::node {

// How many bytes from the start are well-formed UTF-8; text.size() when all are.
size_t utf8_prefix_size(std::string_view text);

// True when the bytes hold a NUL, or when more than a tenth of the first 64 KiB are control
// characters. UTF-8 and the 8-bit encodings of any language pass; UTF-16 does not (it is full of
// NULs).
bool is_binary(std::string_view bytes);

// For messages that cite what a stranger wrote: at most size_max bytes of it, cut between
// characters, with a '?' for whatever would disturb a terminal or is not UTF-8.
std::string printable(std::string_view text, size_t size_max = 64);

}  // namespace starling::node
