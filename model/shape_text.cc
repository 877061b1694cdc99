// Shapes by name and as text: presets, the line that describes a shape, and how such a text is
// read.
#include <charconv>
#include <string>

#include "model/parameters.h"
#include "model/shape.h"

namespace starling::model {
namespace {

struct Preset {
  std::string_view name;
  Shape shape;
};

// Widths and learning rates were measured for the first two; the others scale them up.
constexpr Preset presets[] = {
    {"demo", {.width = 64, .layers = 2, .channels = 128, .mlp_width = 192}},
    {"tiny", {.width = 128, .layers = 4, .channels = 256, .mlp_width = 384}},
    {"small", {.width = 224, .layers = 6, .channels = 448, .mlp_width = 672}},
    {"base", {.width = 384, .layers = 8, .channels = 768, .mlp_width = 1152}},
};

struct Count {
  std::string_view name;
  std::string_view short_name;  // empty: none
  uint32_t Shape::*field;
};

constexpr Count counts[] = {
    {"width", "", &Shape::width},
    {"layers", "", &Shape::layers},
    {"channels", "", &Shape::channels},
    {"mlp_width", "mlp", &Shape::mlp_width},
    {"regions", "", &Shape::regions},
    {"always_awake", "awake", &Shape::always_awake},
    {"selected", "", &Shape::selected},
    {"chunk", "", &Shape::chunk},
    {"context_tau", "tau", &Shape::context_tau},
};

constexpr std::string_view selections[] = {"context", "token"};
constexpr std::string_view decays[] = {"data", "fixed"};

std::string quoted(std::string_view text) { return "'" + std::string(text.substr(0, 64)) + "'"; }

template <typename List, typename Name>
std::string listed(const List& list, const Name& name) {
  std::string line;
  for (const auto& each : list) line.append(line.empty() ? "" : ", ").append(name(each));
  return line;
}

// Empty when the word is one of the two names.
template <typename Choice>
std::string read_choice(std::string_view field, const std::string_view (&names)[2],
                        std::string_view word, Choice& choice) {
  for (uint8_t i = 0; i < 2; ++i)
    if (word == names[i]) return choice = static_cast<Choice>(i), std::string();
  return std::string(field) + " is " + quoted(word) + ", neither " + std::string(names[0]) +
         " nor " + std::string(names[1]);
}

template <typename T>
bool read_number(std::string_view word, T& number) {
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
  return error == std::errc() && end == word.data() + word.size();
}

// Empty when the field is known and the word is a value for it.
std::string read_field(std::string_view name, std::string_view word, Shape& shape) {
  if (name == "selection") return read_choice(name, selections, word, shape.selection);
  if (name == "decay") return read_choice(name, decays, word, shape.decay);
  if (name == "hysteresis") {
    if (!word.starts_with('-') && read_number(word, shape.hysteresis)) return {};
    return "hysteresis is " + quoted(word) + ", which is not a number from 0 to 1";
  }
  for (const Count& count : counts)
    if (name == count.name || (name == count.short_name && !name.empty())) {
      if (read_number(word, shape.*count.field)) return {};
      return std::string(name) + " is " + quoted(word) + ", which is not a whole number";
    }
  return "a shape has no field " + quoted(name) + "; it has " +
         listed(counts, [](const Count& count) { return count.name; }) +
         ", selection, decay, hysteresis";
}

}  // namespace

std::optional<Shape> shape_of_preset(std::string_view preset) {
  for (const Preset& known : presets)
    if (known.name == preset) return known.shape;
  return std::nullopt;
}

std::vector<std::string_view> preset_names() {
  std::vector<std::string_view> names;
  for (const Preset& known : presets) names.push_back(known.name);
  return names;
}

std::string describe(const Shape& shape) {
  std::string line;
  const auto field = [&line](std::string_view name, std::string_view value) {
    line.append(line.empty() ? "" : " ").append(name).append("=").append(value);
  };
  for (const Count& count : counts) field(count.name, std::to_string(shape.*count.field));
  field("selection", selections[static_cast<size_t>(shape.selection)]);
  field("decay", decays[static_cast<size_t>(shape.decay)]);
  char digits[32];  // the shortest that reads back as the same number
  const auto end = std::to_chars(digits, digits + sizeof digits, shape.hysteresis).ptr;
  field("hysteresis", std::string_view(digits, static_cast<size_t>(end - digits)));
  return line;
}

Result<Shape, std::string> shape_from(std::string_view text) {
  Shape shape = *shape_of_preset("tiny");
  bool first = true;
  while (!text.empty()) {
    const size_t size = std::min(text.find_first_of(", "), text.size());
    const std::string_view word = text.substr(0, size);
    text.remove_prefix(std::min(size + 1, text.size()));
    if (word.empty()) continue;
    const size_t equals = word.find('=');
    if (equals != std::string_view::npos) {
      std::string fault = read_field(word.substr(0, equals), word.substr(equals + 1), shape);
      if (!fault.empty()) return Unexpected{std::move(fault)};
    } else if (const auto preset = shape_of_preset(word); preset && first) {
      shape = *preset;
    } else {
      return Unexpected{quoted(word) +
                        (first ? " is no preset; the presets are " +
                                     listed(presets, [](const Preset& known) { return known.name; })
                               : " is not of the form field=value")};
    }
    first = false;
  }
  if (std::string fault = fault_of(shape); !fault.empty()) return Unexpected{std::move(fault)};
  return shape;
}

}  // namespace starling::model
