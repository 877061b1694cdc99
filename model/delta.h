#pragma once
// The one header that swarm/ may include from model/: how a model's flat parameter vector is
// divided into regions, the units that are trained, compressed, counted, hosted and shown.
#include <cstdint>
#include <string>
#include <vector>

#include "model/result.h"

namespace starling::model {

using RegionId = uint32_t;  // index into RegionTable; equal on all nodes of one model shape

enum class RegionKind : uint8_t {
  embedding = 0,  // token embedding (tied head) and the final norm
  mixing = 1,     // the norms and the recurrence (MCSD) of one layer
  mlp = 2,        // one MLP region of one layer with its selector row
  selection =
      3,  // per layer: mu, var and bias of the selector; moved by statistics, not by gradients
};

// One contiguous block [offset, offset + count) of the flat parameter vector.
struct Region {
  RegionId id = 0;
  RegionKind kind = RegionKind::embedding;
  uint32_t layer = 0;  // 0 for the embedding
  uint32_t index = 0;  // which MLP region; 0 otherwise
  uint32_t offset = 0;
  uint32_t count = 0;  // parameters
  // Dense regions are sent whole whenever they are sent (no threshold).
  bool is_dense() const { return kind == RegionKind::selection; }
};

// Regions in order of offset, without gaps; ids are 0..size-1.
using RegionTable = std::vector<Region>;

std::string region_name(
    const Region& region);  // "embedding", "mixing.2", "mlp.0.11", "selection.3"

}  // namespace starling::model
