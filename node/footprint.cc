#include "node/footprint.h"

#include <algorithm>
#include <thread>

#include "node/region_names.h"

namespace starling::node {

namespace {

constexpr uint64_t mib = 1u << 20;
// The program, its libraries, gRPC's threads and buffers, the database's cache. Measured: a node
// alone with the demo preset, learning and asked, is resident with 37 MiB, 13 of them the other
// parts.
constexpr uint64_t process_bytes = 32 * mib;

uint64_t rounded_up_mib(uint64_t bytes) { return (bytes + mib - 1) / mib; }

}  // namespace

model::TrainerOptions trainer_options(const model::Shape& shape, const Config& config) {
  // Late deltas make first moments harmful (prototype: .9 to .5 gains 2.5 % of the loss); alone the
  // customary value serves.
  model::TrainerOptions options;
  options.beta1 = config.swarm.exchange ? 0.5f : 0.9f;
  options.threads = config.model.threads;
  options.working_set = config.model.working_set;
  options.hosted = hosted_set(shape, config.model);
  options.dropout = static_cast<float>(config.learn.dropout);
  options.dropout_seed = config.learn.seed;
  // One row at a time where a row's activations are large: small then learns within 200 MiB.
  if (config.model.preset == "small" || config.model.preset == "base") options.micro_rows = 1;
  return options;
}

std::vector<MemoryPart> memory_parts(const model::Shape& shape, const Config& config) {
  const uint64_t vector_bytes = model::parameter_count(shape) * sizeof(float);
  const uint64_t learning = model::Trainer::memory_bytes(shape, trainer_options(shape, config),
                                                         config.learn.rows, config.learn.length);
  // In 8 bits, with the small tensors in fp32, at most half as much.
  const uint64_t copy_bytes = config.serve.weights == "int8" ? vector_bytes / 2 : vector_bytes;
  return {{"learning", learning},
          {"the swarm's sum, what is unsent, a delta in the making", 3 * vector_bytes},
          // The published copy, the next one while an answer still reads the last, and what it is
          // made from.
          {"answering", 2 * copy_bytes + vector_bytes},
          // At half size, moments and own progress that the swarm does not hold; room to score.
          {"undoing", (config.swarm.exchange ? 4 : 5) * vector_bytes / 2},
          {"samples", config.learn.memory_mib * mib},
          {"program and links", process_bytes}};
}

uint64_t memory_mib(const std::vector<MemoryPart>& parts) {
  uint64_t bytes = 0;
  for (const MemoryPart& part : parts) bytes += part.bytes;
  return rounded_up_mib(bytes);
}

std::string memory_text(const std::vector<MemoryPart>& parts) {
  std::string text;
  for (const MemoryPart& part : parts) {
    text += (text.empty() ? "" : ", ") + part.name + " " +
            std::to_string(rounded_up_mib(part.bytes)) + " MiB";
  }
  return text;
}

uint32_t core_count() { return std::max(1u, std::thread::hardware_concurrency()); }

std::string device_problem(const model::Shape& shape, const Config& config) {
  if (config.model.threads > core_count()) {
    return "model.threads: " + std::to_string(config.model.threads) +
           " is more than this machine's " + std::to_string(core_count()) + " cores";
  }
  const std::vector<MemoryPart> parts = memory_parts(shape, config);
  if (memory_mib(parts) <= config.limits.memory_mib) return "";
  return "limits.memory_mib: preset " + config.model.preset + " needs up to " +
         std::to_string(memory_mib(parts)) + " MiB (" + memory_text(parts) + "), the limit is " +
         std::to_string(config.limits.memory_mib) +
         "; raise it, or lower model.preset, learn.rows, learn.length or learn.memory_mib";
}

}  // namespace starling::node
