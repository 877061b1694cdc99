#pragma once
// What a configuration will take of this machine, said before anything is taken.
#include <cstdint>
#include <string>
#include <vector>

#include "model/shape.h"
#include "model/trainer.h"
#include "node/config.h"

namespace starling::node {

// How a node of this configuration trains.
model::TrainerOptions trainer_options(const model::Shape& shape, const Config& config);

struct MemoryPart {
  std::string name;
  uint64_t bytes = 0;
};
// The most that a node holds while it learns, answers and exchanges, by part.
std::vector<MemoryPart> memory_parts(const model::Shape& shape, const Config& config);
uint64_t memory_mib(const std::vector<MemoryPart>& parts);      // the sum, rounded up
std::string memory_text(const std::vector<MemoryPart>& parts);  // "learning 28 MiB, ..."

// Cores of this machine, at least 1.
uint32_t core_count();

// Empty: the machine has what the configuration asks for. Otherwise the key, what is wrong and what
// to do, as "limits.memory_mib: ...".
std::string device_problem(const model::Shape& shape, const Config& config);

}  // namespace starling::node
