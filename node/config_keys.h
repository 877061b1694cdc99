#pragma once
// The one table of configuration keys. Parsing, default_yaml, `config show`, the environment and
// the documentation all walk it; a key that is not in it does not exist.
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "node/config.h"

namespace starling::node {

// Where a key's value lives in a Config; the pointer's type is the key's type.
template <typename T>
using FieldOf = T& (*)(Config&);
using Field = std::variant<FieldOf<std::string>, FieldOf<std::vector<std::string>>, FieldOf<bool>,
                           FieldOf<uint32_t>, FieldOf<uint64_t>, FieldOf<double>>;

// What is wrong with a text or with one entry of a list, as the end of a sentence; "" when nothing
// is.
using TextCheck = std::string (*)(const std::string& text);

struct ConfigKey {
  const char* section;
  const char* name;
  Field field;
  const char* unit;  // "" for none
  const char* doc;   // half a sentence
  double min = 0;    // numbers: the range that makes sense; lists: fewest and most entries
  double max = 0;
  TextCheck check = nullptr;              // texts and list entries; none: anything printable
  std::string (*range_note)() = nullptr;  // numbers: more about a range that was missed
};

std::span<const ConfigKey> config_keys();
const char* section_doc(const std::string& section);  // half a sentence
std::vector<std::string> section_names();             // in the order of the file

std::string dotted(const ConfigKey& key);            // "node.name"
std::string environment_name(const ConfigKey& key);  // "STARLING_NODE_NAME"
std::string type_name(const ConfigKey& key);         // "a whole number", "true or false", ...
// The value as YAML, and as people read it in `config show`.
std::string value_text(const ConfigKey& key, const Config& config);

// A scalar as written. `is_quoted` tells "20" from 20.
struct Scalar {
  std::string text;
  bool is_quoted = false;
};
// Sets the key's value; lists take any number of scalars, everything else exactly one.
// Errors: what is wrong, as the end of a sentence, such as "must be from 1 to 256 but is 0".
Result<Done, std::string> set_value(const ConfigKey& key, const std::vector<Scalar>& scalars,
                                    Config& config);

}  // namespace starling::node
