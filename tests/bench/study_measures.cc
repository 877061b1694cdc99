#include "tests/bench/study_measures.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "model/parameters.h"

namespace starling::bench {
namespace {

constexpr uint32_t rows = 2;
constexpr uint32_t length = 256;
constexpr size_t cold_stride = 2 * cold_window;  // every other window tells as much
constexpr uint32_t usage_batches = 12;
constexpr size_t switch_lead = 1024;
constexpr size_t switch_window = 256;
constexpr size_t switch_places = 3;

double bits(const model::Snapshot& snapshot, std::span<const uint8_t> text) {
  return model::score_text(snapshot, text).bits_per_byte * static_cast<double>(text.size());
}

// One window a row of consecutive parts of `text`; window `turn` of each part, from its start.
model::Batch window_of(std::span<const uint8_t> text, uint32_t turn) {
  model::Batch batch{
      .rows = rows, .length = length, .symbols = {}, .targets = {}, .weights = {}, .fresh = {}};
  const size_t part = (text.size() - 1) / rows;
  const size_t windows = part / length;
  for (uint32_t row = 0; row < rows; ++row) {
    const uint8_t* const from = text.data() + row * part + turn % windows * length;
    batch.symbols.insert(batch.symbols.end(), from, from + length);
    batch.targets.insert(batch.targets.end(), from + 1, from + 1 + length);
  }
  batch.weights.assign(batch.symbols.size(), 1.0f);
  batch.fresh.assign(rows, turn == 0 ? 1 : 0);
  return batch;
}

// (layers * regions) shares of the selected regions' tokens while the held-out part is read. A step
// at learning rate 0 changes nothing and counts whom it woke.
std::vector<double> usage_of(const model::Snapshot& snapshot, const Text& text) {
  const model::Shape& shape = snapshot.shape;
  model::Trainer trainer(shape, {.working_set = false}, snapshot.parameters);
  std::vector<double> usage(size_t{shape.layers} * shape.regions);
  for (uint32_t turn = 0; turn <= usage_batches; ++turn) {
    if (!trainer.step(window_of(text.held_out(), turn), 0)) return usage;
    if (turn == 0) (void)trainer.take_region_tokens();  // the slow context has yet to settle
  }
  const auto tokens = trainer.take_region_tokens();
  for (const model::Region& region : trainer.regions())
    if (region.kind == model::RegionKind::mlp && region.index >= model::awake_count(shape))
      usage[region.layer * shape.regions + region.index] = static_cast<double>(tokens[region.id]);
  for (size_t layer = 0; layer < shape.layers; ++layer) {
    const std::span<double> shares(usage.data() + layer * shape.regions, shape.regions);
    double sum = 0;
    for (const double share : shares) sum += share;
    for (double& share : shares) share = sum > 0 ? share / sum : 0;
  }
  return usage;
}

double effective(std::span<const double> shares) {
  double entropy = 0;
  for (const double share : shares) entropy -= share > 0 ? share * std::log(share) : 0;
  return std::exp(entropy);
}

double share_equal(std::span<const float> a, std::span<const float> b) {
  size_t equal = 0;
  for (size_t i = 0; i < a.size(); ++i)
    equal += std::memcmp(&a[i], &b[i], sizeof(float)) == 0 ? 1 : 0;
  return static_cast<double>(equal) / static_cast<double>(a.size());
}

double share_untouched(model::Trainer& trainer, const Text& text, uint32_t first_turn,
                       float learning_rate) {
  const std::vector<float> before(trainer.parameters().begin(), trainer.parameters().end());
  for (uint32_t i = 0; i < exchange_steps; ++i)
    if (!trainer.step(window_of(text.training(), first_turn + i), learning_rate)) return 0;
  return share_equal(before, trainer.parameters());
}

}  // namespace

Quality measure_quality(const model::Snapshot& snapshot, std::span<const Text> texts) {
  Quality quality;
  for (const Text& text : texts) {
    const auto held_out = text.held_out();
    quality.warm.push_back(model::score_text(snapshot, held_out).bits_per_byte);
    double sum = 0;
    size_t windows = 0;
    for (size_t at = 0; at + cold_window <= held_out.size(); at += cold_stride, ++windows)
      sum += model::score_text(snapshot, held_out.subspan(at, cold_window)).bits_per_byte;
    quality.cold.push_back(sum / static_cast<double>(windows));
  }
  return quality;
}

Usage measure_usage(const model::Snapshot& snapshot, std::span<const Text> texts) {
  const model::Shape& shape = snapshot.shape;
  if (model::awake_count(shape) == shape.regions) return {};
  std::vector<std::vector<double>> usages;
  for (const Text& text : texts) usages.push_back(usage_of(snapshot, text));
  Usage usage;
  double pairs = 0;
  for (size_t a = 0; a < usages.size(); ++a) {
    for (size_t layer = 0; layer < shape.layers; ++layer)
      usage.effective_regions +=
          effective(std::span(usages[a]).subspan(layer * shape.regions, shape.regions)) /
          static_cast<double>(usages.size() * shape.layers);
    for (size_t b = a + 1; b < usages.size(); ++b, ++pairs)
      for (size_t i = 0; i < usages[a].size(); ++i)
        usage.overlap += std::min(usages[a][i], usages[b][i]) / shape.layers;
  }
  usage.overlap = pairs > 0 ? usage.overlap / pairs : 0;
  return usage;
}

Untouched measure_untouched(const model::Snapshot& snapshot, std::span<const Text> texts,
                            float learning_rate) {
  Untouched untouched;
  for (const Text& text : texts) {
    model::Trainer trainer(snapshot.shape, {}, snapshot.parameters);
    const auto count = static_cast<double>(texts.size());
    untouched.free += share_untouched(trainer, text, 0, learning_rate) / count;
    trainer.end_exchange(0.3f);  // forms the working set
    untouched.working_set += share_untouched(trainer, text, exchange_steps, learning_rate) / count;
  }
  return untouched;
}

double measure_switch(const model::Snapshot& snapshot, std::span<const Text> texts) {
  double cost = 0, count = 0;
  for (size_t place = 0; place < switch_places; ++place) {
    std::vector<std::span<const uint8_t>> leads, windows;
    for (const Text& text : texts) {
      const auto held_out = text.held_out();
      const size_t room = held_out.size() - switch_lead - switch_window;
      const size_t at = room * place / switch_places;
      leads.push_back(held_out.subspan(at, switch_lead));
      windows.push_back(held_out.subspan(at + switch_lead, switch_window));
    }
    std::vector<double> lead_bits;
    for (const auto& lead : leads) lead_bits.push_back(bits(snapshot, lead));
    const auto bits_after = [&](size_t from, size_t to) {
      std::vector<uint8_t> text(leads[from].begin(), leads[from].end());
      text.insert(text.end(), windows[to].begin(), windows[to].end());
      return (bits(snapshot, text) - lead_bits[from]) / static_cast<double>(switch_window);
    };
    for (size_t to = 0; to < texts.size(); ++to) {
      const double steady = bits_after(to, to);
      for (size_t from = 0; from < texts.size(); ++from) {
        if (from == to) continue;
        cost += bits_after(from, to) - steady;
        ++count;
      }
    }
  }
  return count > 0 ? cost / count : 0;
}

}  // namespace starling::bench
