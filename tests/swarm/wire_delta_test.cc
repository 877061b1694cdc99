#include <doctest/doctest.h>

#include <cmath>

#include "swarm/bits.h"
#include "swarm/delta_format.h"
#include "tests/swarm/delta_fixture.h"
#include "tests/swarm/wire_fixture.h"

namespace starling::swarm {
namespace {
using namespace delta_test;
using wire_test::golden;
using wire_test::hex;

Compressed small_delta(uint64_t seed = 1) {
  const auto table = small_table();
  auto d = normal_delta(table, seed, 1e-2f);
  return compress_all(table, d, {.fraction = 1.0 / 8, .sender_scale = 0.5f, .steps = 20});
}

double bits_per_parameter(const Sizes& sizes, double fraction) {
  const auto table = table_of(sizes);
  auto d = normal_delta(table, 7, 3e-3f);
  const Compressed compressed = compress_all(table, d, {.fraction = fraction, .steps = 10});
  const double bytes =
      static_cast<double>(header_size) + static_cast<double>(compressed.payload.size());
  return 8 * bytes / static_cast<double>(size_of(table));
}

TEST_CASE(
    "a delta costs at most half a bit a parameter at k = 1/16, and 1.25 at 1/4, header and "
    "signature counted") {
  for (const Sizes& sizes : {demo_sizes, tiny_sizes}) {
    const double sparse = bits_per_parameter(sizes, 1.0 / 16);
    const double full = bits_per_parameter(sizes, 1.0 / 4);
    MESSAGE("parameters ", size_of(table_of(sizes)), ": bits ", sparse, " and ", full);
    CHECK(sparse <= 0.50);
    CHECK(full <= 1.25);
  }
}

TEST_CASE("the share of parameters that is kept is the share that was asked for") {
  const auto table = table_of(demo_sizes);
  for (const double fraction : {1.0 / 64, 1.0 / 32, 1.0 / 16, 1.0 / 8, 1.0 / 4, 1.0}) {
    auto d = normal_delta(table, 3, 1e-2f);
    const Compressed compressed = compress_all(table, d, {.fraction = fraction});
    const double share =
        static_cast<double>(compressed.summary.nonzero) / static_cast<double>(d.size());
    CHECK(share <= fraction * 1.02 + 0.003);  // dense regions come on top
    CHECK(share >= fraction * 0.94);
  }
}

TEST_CASE("what was sent and what is left are what was to be sent, over many deltas") {
  const auto table = table_of(demo_sizes);
  const float scale = 0.25f;
  std::vector<float> error(size_of(table), 0.0f);
  std::vector<double> wanted(size_of(table), 0.0);
  std::vector<int32_t> base(size_of(table), 0);
  for (uint64_t round = 0; round < 8; ++round) {
    auto d = normal_delta(table, 100 + round, 2e-3f);
    for (size_t i = 0; i < d.size(); ++i) {
      wanted[i] += double{d[i]};
      d[i] += error[i];
    }
    const Compressed compressed =
        compress_all(table, d, {.fraction = 1.0 / 8, .sender_scale = scale});
    apply_delta(table, compressed.payload, 1, base, {});
    error = d;
  }
  double worst = 0;
  for (size_t i = 0; i < base.size(); ++i) {
    const double sent = base[i] * fixed_lsb / double{scale};
    worst = std::max(worst, std::abs(sent + double{error[i]} - wanted[i]));
  }
  CHECK(worst < 1e-8);
}

TEST_CASE("sign and size of what is sent follow d") {
  const auto table = table_of(demo_sizes);
  const auto d = normal_delta(table, 5, 1e-2f);
  auto e = d;
  const Compressed compressed = compress_all(table, e, {.fraction = 1.0 / 16});
  const auto values = values_of(table, compressed.payload);
  double before = 0, after = 0;
  for (const model::Region& region : table) {
    if (region.is_dense()) continue;
    for (size_t i = region.offset; i < region.offset + region.count; ++i) {
      if (values[i] != 0) CHECK((values[i] > 0) == (d[i] > 0));
      before += double{d[i]} * d[i];
      after += double{e[i]} * e[i];
    }
  }
  CHECK(after <
        0.72 * before);  // the sixteenth that is kept holds 30 % of a normal distribution's energy
  CHECK(after > 0.60 * before);
}

TEST_CASE("a dense region is sent whole, each of its values to about a hundredth of the largest") {
  const auto table = table_of(demo_sizes);
  const auto d = normal_delta(table, 6, 1e-2f);
  auto e = d;
  (void)compress_all(table, e, {.fraction = 1.0 / 64});
  for (const model::Region& region : table) {
    if (!region.is_dense()) continue;
    for (size_t i = region.offset; i < region.offset + region.count; ++i)
      CHECK(std::abs(e[i]) < 1e-3);
  }
}

TEST_CASE(
    "a region whose d is zero is not in the delta, nor one that is skipped, and both keep their "
    "d") {
  const auto table = table_of(demo_sizes);
  auto d = normal_delta(table, 8, 1e-2f);
  std::vector<uint8_t> skip(table.size(), 0);
  const model::Region& idle = table[5];
  const model::Region& secret = table[7];
  std::fill_n(d.begin() + idle.offset, idle.count, 0.0f);
  skip[secret.id] = 1;
  const auto before = d;
  const Compressed compressed = compress(table, d, tokens_of(table), skip, {.fraction = 1.0 / 16});
  const auto values = values_of(table, compressed.payload);
  for (const auto& [id, tokens] : compressed.summary.region_tokens) {
    CHECK(id != idle.id);
    CHECK(id != secret.id);
    CHECK(tokens == 10 + id);
  }
  CHECK(compressed.summary.region_tokens.size() == table.size() - 2);
  for (const model::Region* region : {&idle, &secret}) {
    for (size_t i = region->offset; i < region->offset + region->count; ++i) {
      CHECK(values[i] == 0);
      CHECK(d[i] == before[i]);
    }
  }
}

TEST_CASE("nothing worth sending makes no payload") {
  const auto table = small_table();
  std::vector<float> d(size_of(table), 0.0f);
  CHECK(compress_all(table, d, {}).payload.empty());
  std::fill(d.begin(), d.end(), 1e-12f);  // far below the base's resolution
  CHECK(compress_all(table, d, {.fraction = 1}).payload.empty());
  CHECK(d[0] == 1e-12f);
}

TEST_CASE("equal magnitudes are cut at the share, so that they are sent in turns") {
  const auto table = table_of(demo_sizes);
  std::vector<float> d(size_of(table), 1e-3f);
  for (int round = 0; round < 4; ++round) {
    const Compressed compressed = compress_all(table, d, {.fraction = 1.0 / 4});
    CHECK(compressed.summary.nonzero <= size_of(table) / 4 + 1000);
    CHECK(compressed.summary.nonzero >= size_of(table) / 5);
  }
  for (const float value : d) CHECK(std::abs(value) < 1e-4f);
}

TEST_CASE("the payload stays within its budget, and beyond reason nothing is sent and d is kept") {
  const auto table = table_of(demo_sizes);
  for (const uint64_t budget : {20000u, 5000u, 2000u, 600u}) {
    auto d = normal_delta(table, 9, 1e-2f);
    const Compressed compressed =
        compress_all(table, d, {.fraction = 1.0 / 4, .payload_bytes_max = budget});
    CHECK(compressed.payload.size() <= budget);
    CHECK(compressed.payload.size() >= budget / 2);
  }
  const auto before = normal_delta(table, 9, 1e-2f);
  auto d = before;
  CHECK(compress_all(table, d, {.fraction = 1.0 / 4, .payload_bytes_max = 50}).payload.empty());
  CHECK(d == before);
}

TEST_CASE("a sender clips its delta to the reference norm and says what it was") {
  const auto table = table_of(demo_sizes);
  auto d = normal_delta(table, 10, 1e-2f);
  auto e = d;
  const Compressed free = compress_all(table, e, {.fraction = 1.0 / 16, .sender_scale = 0.5f});
  CHECK(free.summary.raw_norm == doctest::Approx(free.summary.norm));
  for (const double share : {0.999, 0.5, 0.01}) {
    const double reference = free.summary.norm * share;
    e = d;
    const Compressed clipped = compress_all(
        table, e, {.fraction = 1.0 / 16, .sender_scale = 0.5f, .reference_norm = reference});
    CHECK(clipped.summary.norm <= reference);
    CHECK(clipped.summary.norm > 0.9 * reference);
    CHECK(clipped.summary.raw_norm == doctest::Approx(free.summary.norm).epsilon(0.03));
  }
}

TEST_CASE("a summary says what the delta holds") {
  const auto table = small_table();
  const Compressed compressed = small_delta();
  const auto values = values_of(table, compressed.payload);
  double energy = 0;
  uint64_t nonzero = 0;
  for (const int32_t value : values) {
    energy += double{value * fixed_lsb} * (value * fixed_lsb);
    nonzero += value != 0;
  }
  const DeltaSummary summary = *inspect_delta(table, compressed.payload);
  CHECK(summary.norm == doctest::Approx(std::sqrt(energy)).epsilon(1e-9));
  CHECK(summary.nonzero == nonzero);
  CHECK(summary.steps == 20);
  CHECK(summary.sender_scale == 0.5f);
  REQUIRE(summary.region_norms.size() == 3);
  double sum = 0;
  for (const double norm : summary.region_norms) sum += norm * norm;
  CHECK(std::sqrt(sum) == doctest::Approx(summary.norm));
}

TEST_CASE("a delta's bytes are the committed ones") {
  const Compressed compressed = small_delta();
  CHECK(hex(compressed.payload) == golden("delta", compressed.payload));
}

TEST_CASE("a delta's layout is the one that is written down, worked out by hand") {
  const auto table = small_table();
  std::vector<float> d(size_of(table), 0.0f);
  d[532 + 2] = 0x1p-4f;  // the last region, id 2
  d[532 + 7] = -0x1p-4f;
  const Compressed compressed = compress_all(table, d, {.fraction = 0.01, .steps = 3});
  // 0x1p-4 is 2^20 units: code 160. Norm: sqrt(2)/16. Blocks of 256 and 44: counts 2 and 0; the
  // mean is 1. The gaps are 2 and 4; 2^r * 4 >= 256 gives r = 6: "1" then six bits.
  const std::string bits =
      "10000000"  // typical count 1
      "000"
      "00000101"  // first code 160
      "000"
      "001"  // z(2 - 1) = 2
      "1"    // the first code again
      "1010000"
      "1001000"  // gaps
      "0"
      "1"    // signs
      "01";  // z(0 - 1) = 1
  Bytes expected = {2, 0, 0, 0x80, 0x3f};
  const auto norm = std::bit_cast<uint32_t>(static_cast<float>(std::sqrt(2.0) / 16));
  for (int twice = 0; twice < 2; ++twice) {
    for (int i = 0; i < 4; ++i) expected.push_back(static_cast<uint8_t>(norm >> (8 * i)));
  }
  expected = wire_test::joined(
      {expected, {3, 0, 1, 2, 12}});  // steps, interval, regions, ids skipped, tokens
  for (size_t i = 0; i < bits.size(); i += 8) {
    unsigned byte = 0;
    for (size_t j = i; j < std::min(i + 8, bits.size()); ++j)
      byte |= (bits[j] == '1' ? 1u : 0u) << (j - i);
    expected.push_back(static_cast<uint8_t>(byte));
  }
  CHECK(hex(compressed.payload) == hex(expected));
  const auto values = values_of(table, expected);
  CHECK(values[534] == 1 << 20);
  CHECK(values[539] == -(1 << 20));
}

TEST_CASE("every code stands for the power of two that it names, rounded") {
  for (unsigned code = 0; code <= delta_format::sparse_code_max; ++code) {
    const double exact = std::exp2(code / 8.0);
    CHECK(std::abs(delta_format::code_values[code] - exact) <= 0.5 + exact * 1e-9);
  }
}

TEST_CASE("every truncation of a delta is refused, and so is a byte too many") {
  const auto table = small_table();
  Bytes payload = small_delta().payload;
  for (size_t size = 0; size < payload.size(); ++size) {
    CHECK_FALSE(inspect_delta(table, ByteView(payload).first(size)).has_value());
  }
  payload.push_back(0);
  CHECK(inspect_delta(table, payload).error() == DropReason::malformed);
}

TEST_CASE(
    "a damaged delta is refused, or is another sound delta whose norm was stated within a "
    "thousandth") {
  const auto table = small_table();
  for (uint64_t seed = 1; seed < 4; ++seed) {
    const Bytes payload = small_delta(seed).payload;
    uint64_t accepted = 0;
    for (size_t bit = 0; bit < payload.size() * 8; ++bit) {
      Bytes wrong = payload;
      wrong[bit / 8] = static_cast<uint8_t>(wrong[bit / 8] ^ 1u << bit % 8);
      auto summary = inspect_delta(table, wrong);
      if (!summary) continue;
      ++accepted;
      double energy = 0;
      for (const int32_t value : values_of(table, wrong))
        energy += double{value * fixed_lsb} * (value * fixed_lsb);
      CHECK(std::sqrt(energy) == doctest::Approx(summary->norm).epsilon(1e-9));
      CHECK(summary->raw_norm >= summary->norm * (1 - 1e-3));
    }
    CHECK(accepted >
          0);  // signs, tokens and steps carry no redundancy; the frame's signature guards them
  }
}

TEST_CASE("each lie in a delta's head has its own reason") {
  const auto table = small_table();
  const Bytes payload = small_delta().payload;
  const auto with = [&](size_t offset, float value) {
    Bytes wrong = payload;
    const auto bits = std::bit_cast<uint32_t>(value);
    for (size_t i = 0; i < 4; ++i) wrong[offset + i] = static_cast<uint8_t>(bits >> (8 * i));
    auto summary = inspect_delta(table, wrong);
    REQUIRE_FALSE(summary.has_value());
    return summary.error();
  };
  const float infinity = INFINITY, nan = NAN;
  for (const float scale : {0.0f, -0.5f, 1.5f, infinity, nan})
    CHECK(with(1, scale) == DropReason::bad_scale);
  for (const float norm : {0.0f, infinity, nan, -1.0f}) {
    CHECK(with(5, norm) == DropReason::bad_norm);
    CHECK(with(9, norm) == DropReason::bad_norm);
  }
  Bytes wrong = payload;
  wrong[0] = 1;
  CHECK(inspect_delta(table, wrong).error() == DropReason::bad_version);
  wrong = payload;
  wrong[15] = 4;  // regions, of which the table has three
  CHECK(inspect_delta(table, wrong).error() == DropReason::unknown_region);
  wrong = payload;
  wrong[16] = 3;  // an id beyond the table
  CHECK(inspect_delta(table, wrong).error() == DropReason::unknown_region);
  CHECK(inspect_delta(table, Bytes(size_t{payload_size_max} + 1)).error() == DropReason::oversized);
}

TEST_CASE("Rice codes and bit runs come back as they went in, across every border of words") {
  Bytes bytes;
  BitWriter writer(bytes);
  for (uint32_t value = 0; value <= 512; ++value) {
    writer.put(value & 1, 1);
    writer.put_rice(value, value % 8);
  }
  writer.pad();
  BitReader reader(bytes);
  for (uint32_t value = 0; value <= 512; ++value) {
    CHECK(reader.take(1) == (value & 1));
    CHECK(reader.take_rice(value % 8, 512) == value);
  }
  CHECK(reader.is_padded());
  CHECK_FALSE(reader.is_overrun());
  CHECK(reader.bytes_read() == bytes.size());
  CHECK(reader.take_rice(3, 512) == 513);  // zeros for ever
}

}  // namespace
}  // namespace starling::swarm
