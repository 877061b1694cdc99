#include "model/guard.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>
#include <cstring>

#include "model/session.h"

namespace starling::model {
namespace {

constexpr double exploded_factor = 2, exploded_bits = 0.5;

// The upper half of a float, rounded.
// A finite value stays finite: the largest ones are cut instead of rounded.
uint16_t half(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const bool is_largest = (bits & 0x7fff0000u) == 0x7f7f0000u;
  return static_cast<uint16_t>((is_largest ? bits : bits + 0x8000u) >> 16);
}
float whole(uint16_t half) { return std::bit_cast<float>(uint32_t{half} << 16); }

std::vector<uint16_t> halves(std::span<const std::byte> floats) {
  std::vector<uint16_t> out(floats.size() / sizeof(float));
  for (size_t i = 0; i < out.size(); ++i) {
    float value = 0;
    std::memcpy(&value, floats.data() + i * sizeof value, sizeof value);
    out[i] = half(value);
  }
  return out;
}

std::vector<float> wholes(std::span<const uint16_t> halves) {
  std::vector<float> out(halves.size());
  std::ranges::transform(halves, out.begin(), whole);
  return out;
}

}  // namespace

std::vector<uint8_t> Probe::hold_out(std::span<const uint8_t> text) {
  std::vector<uint8_t> left;
  if (text.size() < text_size_least) {
    left.assign(text.begin(), text.end());
    return left;
  }
  left.reserve(text.size());
  size_t from = 0;
  for (size_t i = 0; i < windows_per_text; ++i) {
    const size_t begin = (2 * i + 1) * text.size() / (2 * windows_per_text);
    const auto window = text.subspan(begin, window_size);
    waiting_.emplace_back(window.begin(), window.end());
    left.insert(left.end(), text.begin() + static_cast<std::ptrdiff_t>(from),
                text.begin() + static_cast<std::ptrdiff_t>(begin));
    from = begin + window_size;
  }
  left.insert(left.end(), text.begin() + static_cast<std::ptrdiff_t>(from), text.end());
  return left;
}

void Probe::admit() {
  for (std::vector<uint8_t>& window : waiting_) {
    ++admitted_;
    if (windows_.size() < windows_max) {
      windows_.push_back(std::move(window));
    } else if (const uint64_t place = rng_.below(admitted_); place < windows_max) {
      windows_[place] = std::move(window);
    }
  }
  waiting_.clear();
}

double Probe::loss(const Snapshot& snapshot) const {
  assert(!windows_.empty());
  double sum = 0;
  for (const std::vector<uint8_t>& window : windows_)
    sum += score_text(snapshot, window).bits_per_byte;
  return sum / static_cast<double>(windows_.size());
}

bool has_exploded(double good_loss, double loss) {
  return !std::isfinite(loss) || loss > exploded_factor * good_loss + exploded_bits;
}

void GoodState::keep(const Trainer& trainer, std::span<const float> reference) {
  const std::span<const float> x = trainer.parameters();
  assert(reference.size() == x.size());
  is_kept_ = true;
  counts_.clear();
  difference_.clear();
  if (!std::equal(x.begin(), x.end(), reference.begin())) {
    difference_.resize(x.size());
    for (size_t i = 0; i < x.size(); ++i) difference_[i] = half(x[i] - reference[i]);
  } else {
    difference_.shrink_to_fit();
  }
  for (const Section& section : trainer.sections()) {
    if (section.name == "m") {
      m_ = halves(section.bytes);
    } else if (section.name == "v") {
      v_ = halves(section.bytes);
    } else if (section.name != "x") {
      counts_.push_back({section.name, {section.bytes.begin(), section.bytes.end()}});
    }
  }
}

std::vector<float> GoodState::weights(std::vector<float> reference) const {
  assert(is_kept_ && (difference_.empty() || difference_.size() == reference.size()));
  for (size_t i = 0; i < difference_.size(); ++i) reference[i] += whole(difference_[i]);
  return reference;
}

void GoodState::restore(Trainer& trainer, std::span<const float> weights) const {
  assert(is_kept_);
  const std::vector<float> m = wholes(m_), v = wholes(v_);
  std::vector<Section> sections{{"x", std::as_bytes(weights)},
                                {"m", std::as_bytes(std::span(m))},
                                {"v", std::as_bytes(std::span(v))}};
  for (const Kept& kept : counts_) sections.push_back({kept.name, kept.bytes});
  const auto loaded = trainer.load(sections);
  assert(loaded.has_value());
}

}  // namespace starling::model
