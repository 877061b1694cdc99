// From d to a payload, in passes of which only two touch every parameter:
//   1 histogram of |d| over the sparse regions, and from it one threshold for the share k
//   2 selection: per block of 256 the positions at or above the threshold, and their mean |d|
//   3 scales: s, clipping to the reference norm, rounding to eighths of octaves (over blocks only)
//   4 coding (delta_codec.cc has the grammar), again from 2 with a smaller k while the payload is
//   too large 5 d becomes e: what was sent is subtracted where it was sent
// q, what was sent of d, is the coded value over s and the clipping factor: e keeps what selection
// and rounding took, not what clipping took. Prototyped first; README.md says what that showed.
#include <algorithm>

#include "swarm/bits.h"
#include "swarm/delta_format.h"
#include "swarm/wire.h"

namespace starling::swarm {
namespace {

using namespace delta_format;
using model::Region;

// ---- 1: threshold
// ------------------------------------------------------------------------------------------

// |d| as its bits, which order like the numbers.
uint32_t magnitude(float value) { return std::bit_cast<uint32_t>(value) & 0x7fffffffu; }

constexpr unsigned bin_shift = 16;  // 128 bins an octave
constexpr uint32_t infinity_bits = 0x7f800000u;
constexpr size_t bins = infinity_bits >> bin_shift;

bool is_zero_block(const float* d, size_t size) {
  uint32_t any = 0;
  for (size_t i = 0; i < size; ++i) any |= magnitude(d[i]);
  return any == 0;
}

struct Threshold {
  uint32_t bits = infinity_bits;  // magnitudes from here are kept
  uint64_t quota = 0;             // at most so many, in order of position
};

class Histogram {
 public:
  Histogram() : even_(bins), odd_(bins) {}

  void add(const float* d, size_t size) {
    size_t i = 0;
    for (; i + 2 <= size; i += 2) {  // two tables: neighbours often fall into one bin
      ++even_[bin(d[i])];
      ++odd_[bin(d[i + 1])];
    }
    if (i < size) ++even_[bin(d[i])];
  }
  // The threshold that keeps at most `count_max` values. Where one bin holds far more than is left
  // to keep (many equal values), it is cut by the quota, so that something is sent at every
  // publication.
  Threshold threshold(uint64_t count_max) const {
    if (count_max == 0) return {};
    uint64_t count = 0;
    size_t lowest = bins;
    for (; lowest > 1; --lowest) {  // bin 0 holds zeros and what is too small for any code
      const uint64_t here = even_[lowest - 1] + odd_[lowest - 1];
      if (count + here > count_max) break;
      count += here;
    }
    const bool is_cut = lowest > 1 && count < count_max - count_max / 2;
    if (is_cut) return {static_cast<uint32_t>(lowest - 1) << bin_shift, count_max};
    return {static_cast<uint32_t>(lowest) << bin_shift, count};
  }

 private:
  static size_t bin(float value) {
    const size_t index = magnitude(value) >> bin_shift;
    assert(index < bins);  // finite: the trainer refuses steps that are not
    return index;
  }
  std::vector<uint32_t> even_, odd_;
};

// ---- 2: selection
// ------------------------------------------------------------------------------------------

struct Block {
  uint32_t offset = 0;  // into the parameter vector
  uint32_t size = 0;
  uint32_t count = 0;    // sparse: kept; dense: size, or 0 if there is nothing to send
  uint8_t code = 0;      // `unsent`: nothing of it is worth sending
  double magnitude = 0;  // sparse: mean |d| of the kept; dense: largest |d|
};

constexpr uint8_t unsent = 255;
bool is_sent(const Block& block) { return block.code != unsent; }
uint32_t sent_count(const Block& block) { return is_sent(block) ? block.count : 0; }

struct Part {
  const Region* region = nullptr;
  size_t first_block = 0;
  size_t first_kept = 0;  // into positions (sparse) or multipliers (dense)
  size_t block_count = 0;
};

struct Selection {
  std::vector<Part> parts;
  std::vector<Block> blocks;
  Bytes positions;                  // of the kept of all sparse blocks, in order
  std::vector<int8_t> multipliers;  // of all dense blocks, in order

  std::span<Block> blocks_of(const Part& part) {
    return std::span(blocks).subspan(part.first_block, part.block_count);
  }
  std::span<const Block> blocks_of(const Part& part) const {
    return std::span(blocks).subspan(part.first_block, part.block_count);
  }
};

uint32_t select_block(const float* d, uint32_t size, uint32_t threshold, uint8_t* positions) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < size; ++i) {
    positions[count] = static_cast<uint8_t>(i);
    count += magnitude(d[i]) >= threshold;
  }
  return count;
}

void select_sparse(const Region& region, std::span<const float> d, Threshold& threshold,
                   Selection& selection) {
  std::array<uint8_t, block_size + 1> positions;
  for (uint32_t start = 0; start < region.count; start += block_size) {
    Block block;
    block.offset = region.offset + start;
    block.size = std::min(block_size, region.count - start);
    const float* values = d.data() + block.offset;
    block.count = select_block(values, block.size, threshold.bits, positions.data());
    if (block.count > threshold.quota) block.count = static_cast<uint32_t>(threshold.quota);
    threshold.quota -= block.count;
    double sum = 0;
    for (uint32_t i = 0; i < block.count; ++i) sum += std::abs(values[positions[i]]);
    if (block.count > 0) block.magnitude = sum / block.count;
    selection.positions.insert(selection.positions.end(), positions.begin(),
                               positions.begin() + block.count);
    selection.blocks.push_back(block);
  }
}

void select_dense(const Region& region, std::span<const float> d, Selection& selection) {
  for (uint32_t start = 0; start < region.count; start += block_size) {
    Block block;
    block.offset = region.offset + start;
    block.size = std::min(block_size, region.count - start);
    block.count = block.size;
    for (uint32_t i = 0; i < block.size; ++i) {
      block.magnitude =
          std::max(block.magnitude, static_cast<double>(std::abs(d[block.offset + i])));
    }
    selection.multipliers.insert(selection.multipliers.end(), block.size, 0);
    selection.blocks.push_back(block);
  }
}

using Shared = std::vector<const Region*>;

Selection select(const Shared& shared, std::span<const float> d, Threshold threshold) {
  Selection selection;
  selection.positions.reserve(threshold.quota);
  for (const Region* region : shared) {
    Part part;
    part.region = region;
    part.first_block = selection.blocks.size();
    if (region->is_dense()) {
      part.first_kept = selection.multipliers.size();
      select_dense(*region, d, selection);
    } else {
      part.first_kept = selection.positions.size();
      select_sparse(*region, d, threshold, selection);
    }
    part.block_count = selection.blocks.size() - part.first_block;
    selection.parts.push_back(part);
  }
  return selection;
}

// ---- 3: scales
// ---------------------------------------------------------------------------------------------

// The code whose value is nearest to `units` on a logarithmic scale. Requires: units >= 0.5.
uint8_t nearest_code(double units, uint8_t code_max) {
  static constexpr std::array<double, 8> borders = {
      // 2^((i + 1/2) / 8)
      1.0442737824274138, 1.1387886347566916, 1.2418578120734840, 1.3542555469368927,
      1.4768261459394993, 1.6104903319492543, 1.7562521603732995, 1.9152065613971474};
  if (units < 1) return 0;
  int exponent = 0;
  const double mantissa = 2 * std::frexp(units, &exponent);  // in [1, 2)
  int code = 8 * (exponent - 1);
  for (const double border : borders) code += mantissa > border;
  return static_cast<uint8_t>(std::min<int>(code, code_max));
}

class Scaling {
 public:
  Scaling(Selection& selection, std::span<const float> d, const CompressOptions& options)
      : selection_(selection),
        d_(d),
        sender_scale_(static_cast<double>(options.sender_scale)),
        weights_(options.region_weights) {}

  // Chooses codes so that the norm is at most `reference` (0: any).
  void choose(double reference) {
    raw_norm_ = stated_norm();
    if (reference > 0 && raw_norm_ > reference) clip_ = reference / raw_norm_;
    norm_ = quantise();
    // Rounding may lift the norm above the reference again; each turn lowers it by an eighth of an
    // octave at most.
    for (int turn = 0; turn < 200 && reference > 0 && norm_ > reference; ++turn) {
      clip_ *= std::min(0.999, reference / norm_);
      norm_ = quantise();
    }
    if (clip_ == 1 || raw_norm_ < norm_) raw_norm_ = norm_;
  }
  // Units of the base for one of d.
  double gain(const Region& region) const { return scale(region) * clip_ / fixed_lsb; }
  double norm() const { return norm_; }
  double raw_norm() const { return raw_norm_; }

 private:
  double scale(const Region& region) const {
    const double weight = weights_.empty() ? 1 : static_cast<double>(weights_[region.id]);
    return std::min(1.0, sender_scale_ * weight);
  }
  // Before clipping and rounding.
  double stated_norm() const {
    double energy = 0;
    for (const Part& part : selection_.parts) {
      double squares = 0;
      for (const Block& block : std::as_const(selection_).blocks_of(part)) {
        if (!part.region->is_dense()) {
          squares += block.magnitude * block.magnitude * block.count;
          continue;
        }
        for (const float value : d_.subspan(block.offset, block.size))
          squares += double{value} * value;
      }
      energy += squares * scale(*part.region) * scale(*part.region);
    }
    return std::sqrt(energy);
  }

  double quantise() {
    double energy = 0;
    for (const Part& part : selection_.parts) {
      int8_t* multipliers =
          part.region->is_dense() ? selection_.multipliers.data() + part.first_kept : nullptr;
      const double units = gain(*part.region);
      for (Block& block : selection_.blocks_of(part)) {
        if (!part.region->is_dense()) {
          energy += quantise_sparse(block, units);
          continue;
        }
        energy += quantise_dense(block, units, multipliers);
        multipliers += block.size;
      }
    }
    return norm_of(energy);
  }
  static double quantise_sparse(Block& block, double gain) {
    const double units = block.magnitude * gain;
    if (block.count == 0 || units < 0.5) return block.code = unsent, 0.0;
    block.code = nearest_code(units, sparse_code_max);
    const double value = code_values[block.code];
    return value * value * block.count;
  }
  double quantise_dense(Block& block, double gain, int8_t* multipliers) const {
    const double units = block.magnitude * gain;
    if (units < 0.5) return block.code = unsent, 0.0;
    block.code = nearest_code(std::max(1.0, units / multiplier_max), dense_code_max);
    const double unit = code_values[block.code];
    double energy = 0;
    for (uint32_t i = 0; i < block.size; ++i) {
      const double multiple = std::nearbyint(d_[block.offset + i] * gain / unit);
      const double value = std::clamp<double>(multiple, -multiplier_max, multiplier_max);
      multipliers[i] = static_cast<int8_t>(value);
      energy += value * value;
    }
    if (energy == 0) block.code = unsent;
    return energy * unit * unit;
  }

  Selection& selection_;
  std::span<const float> d_;
  double sender_scale_;
  std::span<const float> weights_;
  double clip_ = 1;
  double norm_ = 0;
  double raw_norm_ = 0;
};

// ---- 4: coding
// ---------------------------------------------------------------------------------------------

// Finds the cheapest Rice parameter for the numbers that it is told.
class RiceChoice {
 public:
  void add(uint32_t value) {
    for (unsigned rice = 0; rice < costs_.size(); ++rice)
      costs_[rice] += (value >> rice) + 1 + rice;
  }
  unsigned best() const {
    return static_cast<unsigned>(std::min_element(costs_.begin(), costs_.end()) - costs_.begin());
  }
  uint64_t cost() const { return costs_[best()]; }

 private:
  std::array<uint64_t, 8> costs_{};
};

struct SparseChoice {
  uint32_t typical_count = 0;
  unsigned count_rice = 0;
  uint32_t first_code = 0;
  unsigned code_rice = 0;
};

SparseChoice choose_sparse(std::span<const Block> blocks) {
  uint64_t sum = 0;
  RiceChoice codes;
  int32_t last_code = -1;
  SparseChoice choice;
  for (const Block& block : blocks) {
    sum += sent_count(block);
    if (!is_sent(block)) continue;
    if (last_code < 0) choice.first_code = block.code;
    codes.add(zigzag(last_code < 0 ? 0 : block.code - last_code));
    last_code = block.code;
  }
  choice.code_rice = codes.best();
  const auto mean =
      static_cast<uint32_t>(std::min<uint64_t>((sum + blocks.size() / 2) / blocks.size(), 255));
  uint64_t best_cost = UINT64_MAX;
  for (const uint32_t typical :
       {mean, mean / 2, 0u}) {  // a region awake in parts is best told from zero
    RiceChoice counts;
    for (const Block& block : blocks) {
      counts.add(zigzag(static_cast<int32_t>(sent_count(block)) - static_cast<int32_t>(typical)));
    }
    if (counts.cost() >= best_cost) continue;
    best_cost = counts.cost();
    choice.typical_count = typical;
    choice.count_rice = counts.best();
  }
  return choice;
}

void write_positions(const uint8_t* positions, const Block& block, BitWriter& bits) {
  if (block.count == block.size) return;
  const unsigned rice = gap_rice(block.count, block.size);
  uint32_t next = 0;
  for (uint32_t i = 0; i < block.count; ++i) {
    bits.put_rice(positions[i] - next, rice);
    next = positions[i] + 1u;
  }
}

void write_sparse(std::span<const Block> blocks, std::span<const float> d, const uint8_t* positions,
                  BitWriter& bits) {
  const SparseChoice choice = choose_sparse(blocks);
  bits.put(choice.typical_count, 8);
  bits.put(choice.count_rice, 3);
  bits.put(choice.first_code, 8);
  bits.put(choice.code_rice, 3);
  int32_t last_code = static_cast<int32_t>(choice.first_code);
  for (const Block& block : blocks) {
    const auto count = static_cast<int32_t>(sent_count(block));
    bits.put_rice(zigzag(count - static_cast<int32_t>(choice.typical_count)), choice.count_rice);
    if (count > 0) {
      bits.put_rice(zigzag(block.code - last_code), choice.code_rice);
      last_code = block.code;
      write_positions(positions, block, bits);
      for (uint32_t i = 0; i < block.count; ++i) bits.put(d[block.offset + positions[i]] < 0, 1);
    }
    positions += block.count;
  }
}

void write_dense(std::span<const Block> blocks, const int8_t* multipliers, BitWriter& bits) {
  for (const Block& block : blocks) {
    bits.put(is_sent(block), 1);
    if (is_sent(block)) {
      bits.put(block.code, 8);
      for (uint32_t i = 0; i < block.size; ++i) bits.put(static_cast<uint8_t>(multipliers[i]), 8);
    }
    multipliers += block.size;
  }
}

Bytes write_payload(const Selection& selection, std::span<const float> d,
                    std::span<const uint64_t> region_tokens, const Scaling& scaling,
                    const CompressOptions& options) {
  Bytes regions;
  uint64_t region_count = 0;
  uint32_t next_id = 0;
  for (const Part& part : selection.parts) {
    const Region& region = *part.region;
    const std::span<const Block> blocks = selection.blocks_of(part);
    if (std::none_of(blocks.begin(), blocks.end(), is_sent)) continue;
    Writer head;
    head.varint(region.id - next_id);
    head.varint(std::min(region_tokens[region.id], region_tokens_max));
    regions.insert(regions.end(), head.bytes().begin(), head.bytes().end());
    next_id = region.id + 1;
    ++region_count;
    BitWriter bits(regions);
    if (region.is_dense()) {
      write_dense(blocks, selection.multipliers.data() + part.first_kept, bits);
    } else {
      write_sparse(blocks, d, selection.positions.data() + part.first_kept, bits);
    }
    bits.pad();
  }
  if (region_count == 0) return {};
  Writer payload;
  payload.u8(version);
  payload.f32(options.sender_scale);
  payload.f32(static_cast<float>(scaling.raw_norm()));
  payload.f32(static_cast<float>(scaling.norm()));
  payload.varint(options.steps);
  payload.varint(options.interval);
  payload.varint(region_count);
  payload.raw(regions);
  return payload.take();
}

// ---- 5: what stays
// -----------------------------------------------------------------------------------------

void subtract_sent(const Selection& selection, const Scaling& scaling, std::span<float> d) {
  for (const Part& part : selection.parts) {
    const double gain = scaling.gain(*part.region);
    const bool is_dense = part.region->is_dense();
    const uint8_t* positions = is_dense ? nullptr : selection.positions.data() + part.first_kept;
    const int8_t* multipliers = is_dense ? selection.multipliers.data() + part.first_kept : nullptr;
    for (const Block& block : selection.blocks_of(part)) {
      float* values = d.data() + block.offset;
      const double sent = is_sent(block) ? code_values[block.code] / gain : 0;
      if (is_dense) {
        for (uint32_t i = 0; i < block.size && is_sent(block); ++i) {
          values[i] = static_cast<float>(values[i] - multipliers[i] * sent);
        }
        multipliers += block.size;
        continue;
      }
      for (uint32_t i = 0; i < block.count && is_sent(block); ++i) {
        float& value = values[positions[i]];
        value = static_cast<float>(value < 0 ? value + sent : value - sent);
      }
      positions += block.count;
    }
  }
}

// Regions that are shared and were touched: a region whose d is all zero is not there at all.
Shared shared_regions(const model::RegionTable& table, std::span<const float> d,
                      std::span<const uint8_t> skip) {
  Shared shared;
  for (const Region& region : table) {
    if (!skip.empty() && skip[region.id] != 0) continue;
    if (!is_zero_block(d.data() + region.offset, region.count)) shared.push_back(&region);
  }
  return shared;
}

// Sparse parameters that could be sent, touched or not: the whole of which k is a share.
uint64_t shared_size(const model::RegionTable& table, std::span<const uint8_t> skip) {
  uint64_t size = 0;
  for (const Region& region : table) {
    const bool is_skipped = !skip.empty() && skip[region.id] != 0;
    if (!is_skipped && !region.is_dense()) size += region.count;
  }
  return size;
}

}  // namespace

Compressed compress(const model::RegionTable& table, std::span<float> d,
                    std::span<const uint64_t> region_tokens, std::span<const uint8_t> skip,
                    const CompressOptions& options) {
  assert(!table.empty() && d.size() == size_t{table.back().offset} + table.back().count);
  assert(region_tokens.size() == table.size() && (skip.empty() || skip.size() == table.size()));
  assert(options.interval <= interval_max);
  assert(options.fraction > 0 && options.fraction <= 1);
  assert(options.sender_scale > 0 && options.sender_scale <= 1);
  assert(options.region_weights.empty() || options.region_weights.size() == table.size());
  const Shared shared = shared_regions(table, d, skip);
  Histogram histogram;
  for (const Region* region : shared) {
    if (!region->is_dense()) histogram.add(d.data() + region->offset, region->count);
  }
  const uint64_t size_max = options.payload_bytes_max > 0
                                ? std::min<uint64_t>(options.payload_bytes_max, payload_size_max)
                                : payload_size_max;
  double count_max = options.fraction * static_cast<double>(shared_size(table, skip));
  for (;;) {
    Selection selection = select(shared, d, histogram.threshold(static_cast<uint64_t>(count_max)));
    Scaling scaling(selection, d, options);
    scaling.choose(options.reference_norm);
    Compressed compressed;
    compressed.payload = write_payload(selection, d, region_tokens, scaling, options);
    if (compressed.payload.size() <= size_max) {
      if (compressed.payload.empty()) return compressed;
      // A sender that could make what a receiver refuses would be a bug.
      auto summary = inspect_delta(table, compressed.payload);
      assert(summary.has_value());
      compressed.summary = *std::move(summary);
      subtract_sent(selection, scaling, d);
      return compressed;
    }
    if (count_max < 1)
      return {};  // not even the dense regions fit: all of d stays for a better time
    // A little below proportion, because the cost per kept parameter rises as fewer are kept.
    count_max *=
        0.95 * static_cast<double>(size_max) / static_cast<double>(compressed.payload.size());
  }
}

}  // namespace starling::swarm
