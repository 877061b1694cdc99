#include "model/checkpoint.h"

#include <cmath>

namespace starling::model {
namespace {

template <typename T>
Section section(std::string_view name, std::span<const T> values) {
  return {std::string(name), std::as_bytes(values)};
}

const Section* find(std::span<const Section> sections, std::string_view name) {
  for (const Section& section : sections)
    if (section.name == name) return &section;
  return nullptr;
}

// The T at `index`; sections need not be aligned.
template <typename T>
T value_at(const Section& section, size_t index) {
  T value;
  std::memcpy(&value, section.bytes.data() + index * sizeof(T), sizeof(T));
  return value;
}

template <typename T>
bool is_finite(const Section& section) {
  for (size_t i = 0; i < section.bytes.size() / sizeof(T); ++i)
    if (!std::isfinite(value_at<T>(section, i))) return false;
  return true;
}

struct Expected {
  std::string_view name;
  size_t size;  // bytes
  bool may_be_empty = false;
};

// Empty when the section is there and fits.
std::string fault_of(std::span<const Section> sections, const Expected& expected) {
  const Section* found = find(sections, expected.name);
  const std::string name(expected.name);
  if (found == nullptr) return "checkpoint section '" + name + "' is missing";
  const size_t size = found->bytes.size();
  if (size == expected.size || (expected.may_be_empty && size == 0)) return {};
  return "checkpoint section '" + name + "' has " + std::to_string(size) + " bytes, expected " +
         std::to_string(expected.size);
}

template <typename T>
void copy_out(std::span<const Section> sections, std::string_view name, std::span<T> to) {
  const Section* found = find(sections, name);
  assert(found != nullptr && found->bytes.size() == to.size_bytes());
  if (!to.empty()) std::memcpy(to.data(), found->bytes.data(), to.size_bytes());
}

}  // namespace

std::string shape_fault(std::span<const Section> sections, const Shape& shape) {
  const Section* found = find(sections, "shape");
  if (found == nullptr) return "checkpoint section 'shape' is missing";
  const std::string line(reinterpret_cast<const char*>(found->bytes.data()), found->bytes.size());
  if (line == describe(shape)) return {};
  return "checkpoint is of another shape: it has '" + line.substr(0, 256) + "', this model has '" +
         describe(shape) + "'";
}

std::vector<Section> sections_of(const std::string& shape_line, std::span<const float> x,
                                 const LearnerState& state) {
  return {section("shape", std::span<const char>(shape_line)),
          section("x", x),
          section("m", std::span<const float>(state.optimizer.m)),
          section("v", std::span<const float>(state.optimizer.v)),
          section("region_steps", std::span<const uint64_t>(state.optimizer.region_steps)),
          section("woken", std::span<const uint64_t>(state.woken)),
          section("usage", std::span<const double>(state.usage)),
          section("counters", std::span<const Counters>(&state.counters, 1))};
}

Result<Done, std::string> load_sections(std::span<const Section> sections, const Shape& shape,
                                        std::span<float> x, LearnerState& state) {
  std::string fault = shape_fault(sections, shape);
  const size_t regions = state.woken.size();
  const Expected expected[] = {
      {"x", x.size_bytes()},
      {"m", x.size_bytes(), true},
      {"v", x.size_bytes(), true},
      {"region_steps", regions * sizeof(uint64_t)},
      {"woken", regions * sizeof(uint64_t)},
      {"usage", state.usage.size() * sizeof(double)},
      {"counters", sizeof(Counters)},
  };
  for (const Expected& each : expected)
    if (fault.empty()) fault = fault_of(sections, each);
  if (!fault.empty()) return Unexpected{fault};
  for (const char* name : {"x", "m", "v"})
    if (!is_finite<float>(*find(sections, name)))
      return Unexpected{"checkpoint section '" + std::string(name) +
                        "' holds a value that is not finite"};
  if (!is_finite<double>(*find(sections, "usage")))
    return Unexpected{std::string("checkpoint section 'usage' holds a value that is not finite")};
  const size_t moments = find(sections, "m")->bytes.size();
  if (moments != find(sections, "v")->bytes.size())
    return Unexpected{std::string("checkpoint sections 'm' and 'v' differ in size")};

  state.optimizer.m.resize(moments / sizeof(float));
  state.optimizer.v.resize(moments / sizeof(float));
  copy_out(sections, "x", x);
  copy_out(sections, "m", std::span(state.optimizer.m));
  copy_out(sections, "v", std::span(state.optimizer.v));
  copy_out(sections, "region_steps", std::span(state.optimizer.region_steps));
  copy_out(sections, "woken", std::span(state.woken));
  copy_out(sections, "usage", std::span(state.usage));
  copy_out(sections, "counters", std::span<Counters>(&state.counters, 1));
  return Done{};
}

}  // namespace starling::model
