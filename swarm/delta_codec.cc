// delta   = version scale raw-norm norm steps:int interval:int count:int *region
// version = %x02
// scale, raw-norm, norm = f32           ; s in (0, 1]; norm is the content's, raw-norm at least
// that steps   = 32 bits  interval = at most 2^48  count = regions present, from 1 region  =
// gap:int tokens:int blocks   ; gap: ids skipped since the last region present; tokens: n_r int and
// f32 as in codec.cc. Nothing follows the last region.
//
// blocks is a bit stream, least significant bit first, closed with zeros to a whole byte: the
// region's blocks of 256 parameters in order, the last one shorter. `n` is the block's size,
// rice(v, r) the Rice code (bits.h), z() zigzag. sparse blocks = 8 typical-count, 3 count-rice, 8
// first-code, 3 code-rice, then per block
//   rice(z(count - typical-count), count-rice)                 ; 0 <= count <= n; a region keeps at
//   least one and if count > 0
//     rice(z(code - last code or first-code), code-rice)       ; the value 2^(code/8) * 2^-24,
//     rounded; <= 216 count times rice(gap, r) unless count = n                ; unkept parameters
//     before each kept one;
//                                                              ; r: the smallest with 2^r * 2 *
//                                                              count >= n
//     count sign bits                                          ; 1: negative
// dense blocks = per block 1 present and, if present, 8 code (<= 160), n times 8 multiplier
//   ; two's complement, -127..127, not all zero: each value is multiplier * 2^(code/8) * 2^-24,
//   rounded as above
//
// A region is sparse or dense by its kind in the region table. Measured on a normal distribution:
// 0.43 bits a parameter at k = 1/16, 1.10 at 1/4.
#include "swarm/delta_codec.h"

#include "swarm/bits.h"
#include "swarm/delta_format.h"
#include "swarm/wire.h"

namespace starling::swarm {
namespace {

using namespace delta_format;
using model::Region;

struct Stated {
  float scale = 0;
  float raw_norm = 0;
  float norm = 0;
  uint32_t steps = 0;
  uint64_t interval = 0;
  uint64_t regions = 0;
};

Stated read_stated(Reader& reader) {
  Stated stated;
  if (reader.u8() != version) reader.fail(DropReason::bad_version);
  stated.scale = std::bit_cast<float>(reader.u32());
  stated.raw_norm = std::bit_cast<float>(reader.u32());
  stated.norm = std::bit_cast<float>(reader.u32());
  stated.steps = static_cast<uint32_t>(reader.varint(UINT32_MAX));
  stated.interval = reader.varint(interval_max);
  stated.regions = reader.varint();
  return stated;
}

// The kept parameters of one block.
struct SparseBlock {
  uint32_t offset = 0;  // into the parameter vector
  uint32_t count = 0;
  int32_t value = 0;
  std::array<uint8_t, block_size> positions;
  std::array<uint8_t, block_size / 8 + 8> signs;  // one bit each; room for a whole word at the end
};

struct DenseBlock {
  uint32_t offset = 0;
  uint32_t size = 0;
  int32_t unit = 0;
  std::array<int8_t, block_size> multipliers;
};

// Reads `block.count` positions below `size`; false: they do not fit.
bool read_positions(BitReader& bits, uint32_t size, SparseBlock& block) {
  if (block.count == size) {
    for (uint32_t i = 0; i < size; ++i) block.positions[i] = static_cast<uint8_t>(i);
    return true;
  }
  const unsigned rice = gap_rice(block.count, size);
  uint32_t next = 0;
  for (uint32_t i = 0; i < block.count; ++i) {
    next += bits.take_rice(rice, size);
    if (next >= size) return false;
    block.positions[i] = static_cast<uint8_t>(next++);
  }
  return true;
}

void read_signs(BitReader& bits, SparseBlock& block) {
  constexpr uint32_t step = 48;
  for (uint32_t i = 0; i < block.count; i += step) {
    const uint64_t word = bits.take(std::min(step, block.count - i));
    for (unsigned j = 0; j < 6; ++j) block.signs[i / 8 + j] = static_cast<uint8_t>(word >> (8 * j));
  }
}

template <typename Sink>
std::optional<DropReason> read_sparse_region(const Region& region, BitReader& bits, Sink& sink) {
  const auto typical_count = static_cast<int32_t>(bits.take(8));
  const auto count_rice = static_cast<unsigned>(bits.take(3));
  auto code = static_cast<int32_t>(bits.take(8));
  const auto code_rice = static_cast<unsigned>(bits.take(3));
  bool is_empty = true;
  SparseBlock block;
  for (uint32_t start = 0; start < region.count; start += block_size) {
    const uint32_t size = std::min(block_size, region.count - start);
    const int32_t count = typical_count + unzigzag(bits.take_rice(count_rice, 2 * block_size));
    if (count < 0 || count > static_cast<int32_t>(size)) return DropReason::malformed;
    if (count == 0) continue;
    is_empty = false;
    code += unzigzag(bits.take_rice(code_rice, 2 * block_size));
    if (code < 0 || code > sparse_code_max) return DropReason::bad_scale;
    block.offset = region.offset + start;
    block.count = static_cast<uint32_t>(count);
    block.value = code_values[static_cast<size_t>(code)];
    if (!read_positions(bits, size, block)) return DropReason::malformed;
    read_signs(bits, block);
    if (bits.is_overrun()) return DropReason::truncated;
    sink.add(block);
  }
  if (is_empty) return DropReason::malformed;
  return std::nullopt;
}

template <typename Sink>
std::optional<DropReason> read_dense_region(const Region& region, BitReader& bits, Sink& sink) {
  bool is_empty = true;
  DenseBlock block;
  for (uint32_t start = 0; start < region.count; start += block_size) {
    if (bits.take(1) == 0) continue;
    is_empty = false;
    const uint64_t code = bits.take(8);
    if (code > dense_code_max) return DropReason::bad_scale;
    block.offset = region.offset + start;
    block.size = std::min(block_size, region.count - start);
    block.unit = code_values[code];
    bool is_zero = true;
    for (uint32_t i = 0; i < block.size; ++i) {
      block.multipliers[i] = static_cast<int8_t>(bits.take(8));
      if (block.multipliers[i] < -multiplier_max) return DropReason::malformed;
      is_zero = is_zero && block.multipliers[i] == 0;
    }
    if (bits.is_overrun()) return DropReason::truncated;
    if (is_zero) return DropReason::malformed;
    sink.add(block);
  }
  if (is_empty) return DropReason::malformed;
  return std::nullopt;
}

// Walks through all regions of a payload and gives their blocks to the sink, which may have seen
// some when a fault is found. Sink: begin(region, tokens), add(SparseBlock), add(DenseBlock).
template <typename Sink>
std::optional<DropReason> read_regions(const model::RegionTable& table, uint64_t count,
                                       ByteView rest, Sink& sink) {
  uint64_t next_id = 0;
  for (uint64_t i = 0; i < count; ++i) {
    Reader reader(rest);
    const uint64_t gap = reader.varint();
    const uint64_t tokens = reader.varint(region_tokens_max);
    if (reader.fault()) return reader.fault();
    if (gap >= table.size() - next_id) return DropReason::unknown_region;
    const Region& region = table[next_id + gap];
    next_id += gap + 1;
    sink.begin(region, tokens);
    BitReader bits(reader.rest());
    const auto fault = region.is_dense() ? read_dense_region(region, bits, sink)
                                         : read_sparse_region(region, bits, sink);
    if (fault) return fault;
    if (bits.is_overrun()) return DropReason::truncated;
    if (!bits.is_padded()) return DropReason::malformed;
    rest = reader.rest().subspan(bits.bytes_read());
    if (next_id == table.size() && i + 1 < count) return DropReason::unknown_region;
  }
  if (!rest.empty()) return DropReason::malformed;
  return std::nullopt;
}

// Sums up what a delta holds. A block's energy is below 2^62 and exact; sums are in the order of
// the wire.
class Measure {
 public:
  explicit Measure(DeltaSummary& summary) : summary_(&summary) {}
  void begin(const Region& region, uint64_t tokens) {
    end_region();
    summary_->region_tokens.emplace_back(region.id, tokens);
  }
  void add(const SparseBlock& block) {
    const auto value = static_cast<uint64_t>(block.value);
    region_energy_ += static_cast<double>(value * value * block.count);
    summary_->nonzero += block.count;
  }
  void add(const DenseBlock& block) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < block.size; ++i) {
      const int32_t multiplier = block.multipliers[i];
      sum += static_cast<uint64_t>(multiplier * multiplier);
      summary_->nonzero += multiplier != 0;
    }
    const auto unit = static_cast<uint64_t>(block.unit);
    region_energy_ += static_cast<double>(unit * unit * sum);
  }
  void finish() {
    end_region();
    summary_->norm = norm_of(energy_);
  }

 private:
  void end_region() {
    if (summary_->region_norms.size() < summary_->region_tokens.size()) {
      summary_->region_norms.push_back(norm_of(region_energy_));
    }
    energy_ += region_energy_;
    region_energy_ = 0;
  }

  DeltaSummary* summary_;
  double energy_ = 0;
  double region_energy_ = 0;
};

// Adds with wrap-around, so that any order of any additions and subtractions ends in the same bits.
class Adder {
 public:
  Adder(int sign, int32_t divisor, std::span<int32_t> base, std::span<float> x)
      : sign_(sign),
        divisor_(divisor),
        base_(base.empty() ? nullptr : base.data()),
        x_(x.empty() ? nullptr : x.data()) {}
  void begin(const Region&, uint64_t) {}
  void add(const SparseBlock& block) {
    const int32_t value = block.value / divisor_ * sign_;
    for (uint32_t i = 0; i < block.count; ++i) {
      const bool is_negative = block.signs[i / 8] >> (i % 8) & 1;
      add_at(block.offset + block.positions[i], is_negative ? -value : value);
    }
  }
  void add(const DenseBlock& block) {
    for (uint32_t i = 0; i < block.size; ++i) {
      add_at(block.offset + i, block.multipliers[i] * block.unit / divisor_ * sign_);
    }
  }

 private:
  void add_at(uint32_t index, int32_t value) {
    if (base_) {
      base_[index] =
          static_cast<int32_t>(static_cast<uint32_t>(base_[index]) + static_cast<uint32_t>(value));
    }
    if (x_) x_[index] += static_cast<float>(value) * static_cast<float>(fixed_lsb);
  }

  int sign_;
  int32_t divisor_;
  int32_t* base_;
  float* x_;
};

class Sketcher {
 public:
  Sketcher(uint64_t key, std::span<int64_t> counters)
      : key_(key), mask_(counters.size() - 1), counters_(counters.data()) {}
  void begin(const Region&, uint64_t) {}
  void add(const SparseBlock& block) {
    for (uint32_t i = 0; i < block.count; ++i) {
      const bool is_negative = block.signs[i / 8] >> (i % 8) & 1;
      add_at(block.offset + block.positions[i], is_negative ? -block.value : block.value);
    }
  }
  void add(const DenseBlock& block) {
    for (uint32_t i = 0; i < block.size; ++i)
      add_at(block.offset + i, block.multipliers[i] * block.unit);
  }

 private:
  // SplitMix64's finaliser (Steele et al., 2014), as in model/rng.h.
  void add_at(uint32_t index, int32_t value) {
    uint64_t hash = key_ + index * 0x9e3779b97f4a7c15u;
    hash = (hash ^ hash >> 30) * 0xbf58476d1ce4e5b9u;
    hash = (hash ^ hash >> 27) * 0x94d049bb133111ebu;
    const bool is_negative = hash >> 63 != 0;
    counters_[(hash >> 20) & mask_] += is_negative ? -value : value;
  }

  uint64_t key_;
  uint64_t mask_;
  int64_t* counters_;
};

}  // namespace

Result<DeltaSummary, DropReason> inspect_delta(const model::RegionTable& table, ByteView payload) {
  if (payload.size() > payload_size_max) return Unexpected{DropReason::oversized};
  Reader reader(payload);
  const Stated stated = read_stated(reader);
  if (reader.fault()) return Unexpected{*reader.fault()};
  if (!(stated.scale > 0 && stated.scale <= 1)) return Unexpected{DropReason::bad_scale};
  if (!std::isfinite(stated.raw_norm) || !std::isfinite(stated.norm))
    return Unexpected{DropReason::bad_norm};
  if (stated.regions == 0) return Unexpected{DropReason::malformed};
  if (stated.regions > table.size()) return Unexpected{DropReason::unknown_region};

  DeltaSummary summary;
  summary.raw_norm = stated.raw_norm;
  summary.sender_scale = stated.scale;
  summary.steps = stated.steps;
  summary.interval = stated.interval;
  summary.region_tokens.reserve(stated.regions);
  summary.region_norms.reserve(stated.regions);
  Measure measure(summary);
  const auto fault = read_regions(table, stated.regions, reader.rest(), measure);
  if (fault) return Unexpected{*fault};
  measure.finish();
  const double slack = summary.norm * energy_tolerance;
  if (std::abs(stated.norm - summary.norm) > slack || summary.raw_norm < summary.norm - slack) {
    return Unexpected{DropReason::bad_norm};
  }
  return summary;
}

void apply_delta(const model::RegionTable& table, ByteView payload, int sign,
                 std::span<int32_t> base, std::span<float> x, uint32_t divisor) {
  assert((sign == 1 || sign == -1) && divisor > 0 && divisor <= INT32_MAX);
  const size_t size = table.empty() ? 0 : size_t{table.back().offset} + table.back().count;
  assert((base.empty() || base.size() == size) && (x.empty() || x.size() == size));
  Reader reader(payload);
  const Stated stated = read_stated(reader);
  Adder adder(sign, static_cast<int32_t>(divisor), base, x);
  const auto fault = read_regions(table, stated.regions, reader.rest(), adder);
  assert(!reader.fault() && !fault);
}

void sketch_delta(const model::RegionTable& table, ByteView payload, uint64_t key,
                  std::span<int64_t> counters) {
  assert(std::has_single_bit(counters.size()));
  Reader reader(payload);
  const Stated stated = read_stated(reader);
  Sketcher sketcher(key, counters);
  const auto fault = read_regions(table, stated.regions, reader.rest(), sketcher);
  assert(!reader.fault() && !fault);
}

}  // namespace starling::swarm
