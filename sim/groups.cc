#include "sim/groups.h"

#include <algorithm>
#include <map>
#include <string_view>

namespace starling::sim {
namespace {

constexpr size_t name_size_max = 64;  // bytes of a speaker's name; longer lines are speech

using Pieces = std::map<std::string, std::vector<std::string>, std::less<>>;

Unexpected<Failure> fail(std::string message) {
  return Unexpected{Failure{ExitCode::bad_data, std::move(message)}};
}

// Takes the first line, without its end, off the text.
std::string_view take_line(std::string_view& text) {
  const size_t end = std::min(text.find('\n'), text.size());
  std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

std::vector<std::string_view> fields_of(std::string_view line) {
  std::vector<std::string_view> fields;
  while (true) {
    const size_t tab = line.find('\t');
    fields.push_back(line.substr(0, tab));
    if (tab == std::string_view::npos) return fields;
    line.remove_prefix(tab + 1);
  }
}

std::vector<std::string>& pieces_of(Pieces& pieces, std::string_view name) {
  const auto found = pieces.find(name);
  return found != pieces.end() ? found->second : pieces[std::string(name)];
}

std::vector<Group> groups_of(Pieces pieces) {
  std::vector<Group> groups;
  for (auto& [name, of_name] : pieces) groups.push_back({name, std::move(of_name)});
  return groups;
}

size_t size_of(const Group& group) {
  size_t size = 0;
  for (const std::string& piece : group.pieces) size += piece.size();
  return size;
}

// Where the column stands, or what to say.
Result<size_t, Failure> column_of(const TableOptions& options, std::string_view header,
                                  const std::string& name) {
  const auto names = fields_of(header);
  const auto found = std::find(names.begin(), names.end(), name);
  if (found != names.end()) return static_cast<size_t>(found - names.begin());
  std::string list;
  for (const std::string_view each : names)
    list += (list.empty() ? "" : ", ") + std::string(each.substr(0, name_size_max));
  return fail(options.path + ":1: has no column \"" + name + "\" but " + list.substr(0, 400) +
              "; set learn.group_column and learn.text_column to two of them");
}

}  // namespace

Result<std::vector<Group>, Failure> read_table(const TableOptions& options) {
  const auto bytes = read_text(options.path);
  if (!bytes) return Unexpected{bytes.error()};
  std::string_view rest = *bytes;
  const std::string_view header = take_line(rest);
  const auto group = column_of(options, header, options.group_column);
  if (!group) return Unexpected{group.error()};
  const auto text = column_of(options, header, options.text_column);
  if (!text) return Unexpected{text.error()};
  const size_t columns = fields_of(header).size();
  Pieces pieces;
  for (size_t number = 2; !rest.empty(); ++number) {
    const std::string_view line = take_line(rest);
    if (line.empty()) continue;
    const auto fields = fields_of(line);
    if (fields.size() != columns) {
      return fail(options.path + ":" + std::to_string(number) + ": has " +
                  std::to_string(fields.size()) + " fields where the header has " +
                  std::to_string(columns) + "; put a tab between two fields and none inside");
    }
    if (fields[*group].empty() || fields[*text].empty()) continue;
    pieces_of(pieces, fields[*group]).push_back(std::string(fields[*text]) + "\n");
  }
  return groups_of(std::move(pieces));
}

Result<std::vector<Group>, Failure> read_speeches(const std::string& path) {
  const auto bytes = read_text(path);
  if (!bytes) return Unexpected{bytes.error()};
  std::string_view rest = *bytes;
  Pieces pieces;
  std::vector<std::string>* said = nullptr;  // by who speaks; inside `pieces`, which only grows
  bool is_first_line = true;
  while (!rest.empty()) {
    const std::string_view line = take_line(rest);
    const bool is_name =
        is_first_line && line.size() > 1 && line.size() <= name_size_max && line.ends_with(':');
    if (is_name) {
      said = &pieces_of(pieces, line.substr(0, line.size() - 1));
      said->emplace_back();
    }
    if (said != nullptr) said->back() += std::string(line) + "\n";
    is_first_line = line.empty();
  }
  if (pieces.empty()) {
    return fail(path +
                " has no speeches; one begins after an empty line with the speaker's NAME and a "
                "colon alone on a line");
  }
  return groups_of(std::move(pieces));
}

std::vector<Group> largest(std::vector<Group> groups, size_t count) {
  std::stable_sort(groups.begin(), groups.end(),
                   [](const Group& a, const Group& b) { return size_of(a) > size_of(b); });
  groups.resize(std::min(groups.size(), count));
  std::sort(groups.begin(), groups.end(),
            [](const Group& a, const Group& b) { return a.name < b.name; });
  return groups;
}

}  // namespace starling::sim
