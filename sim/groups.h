#pragma once
// Texts that come in groups of short pieces, each group somebody's own: the rows of a table with
// the same value in one column, or the speeches of a play by the same speaker.
#include <string>
#include <vector>

#include "model/result.h"
#include "sim/plan.h"

namespace starling::sim {

// A group with fewer has nothing to hold out.
inline constexpr size_t group_pieces_min = 5;

struct Group {
  std::string name;
  std::vector<std::string> pieces;  // in the order of the file, each ends with a newline
};

// A table: lines of fields between tabs, the first line names the columns, no quoting.
struct TableOptions {
  std::string path;
  std::string group_column;
  std::string text_column;
};
// In order of the names. Rows without a group or a text are left out. Errors: bad_data, as for a
// text, and for a column that is not there or a row with another number of fields than the header.
Result<std::vector<Group>, Failure> read_table(const TableOptions& options);

// A play: paragraphs between empty lines, a speech begins with a line "NAME:". A paragraph without
// one goes on with the speech before it; what stands before the first speech is left out.
// In order of the names. Errors: bad_data, as for a text, and for one without speeches.
Result<std::vector<Group>, Failure> read_speeches(const std::string& path);

// The `count` groups with the most bytes, in order of their names.
std::vector<Group> largest(std::vector<Group> groups, size_t count);

}  // namespace starling::sim
