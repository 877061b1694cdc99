#pragma once
// What a node is given to learn: bytes from files or the local API, told apart into text and
// question/answer pairs.
#include <cstdint>
#include <string>
#include <vector>

#include "node/daemon.h"

namespace starling::node {

inline constexpr uint64_t source_bytes_max = 64u << 20;  // one file
inline constexpr size_t source_files_max = 10000;        // one folder, recursively

// One source, ready for the batcher: either text or pairs.
struct Source {
  std::string name;
  DataKind kind = DataKind::text;
  std::vector<uint8_t> text;
  std::vector<model::Pair> pairs;
  std::string note;  // what its giver may not expect; empty: nothing
};

// `automatic`: pairs when every line that is not empty is PROMPT<TAB>ANSWER, otherwise text.
// Refused as bad_data, with the name, the place and the reason: nothing in it, NUL bytes or mostly
// unprintable bytes, pairs that are not.
Result<Source, Failure> parse_source(const std::string& name, DataKind kind,
                                     std::vector<uint8_t> bytes);

// The file itself, or a folder's *.txt *.md *.tsv in order of name. Errors: unreadable, none, too
// many.
Result<std::vector<std::string>, Failure> source_paths(const std::string& path);
// Reads a file, or a folder's *.txt *.md *.tsv in order of name. Errors: not there, unreadable, too
// large, or as above.
Result<std::vector<Source>, Failure> read_sources(const std::string& path);
Result<std::vector<uint8_t>, Failure> read_source_file(const std::string& path);

}  // namespace starling::node
