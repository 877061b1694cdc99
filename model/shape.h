#pragma once
// The shape of a model: its sizes, its presets, and where each tensor lies in the flat parameter
// vector.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/delta.h"
#include "model/result.h"

namespace starling::model {

inline constexpr uint32_t byte_symbols = 256;
// Symbols beyond the bytes; 8 in all, the unnamed ones reserved for senses to come.
enum ControlSymbol : uint16_t {
  symbol_begin = 256,
  symbol_end = 257,
  symbol_image = 258,
  symbol_audio = 259
};
inline constexpr uint32_t vocabulary = 264;
// Stands among input symbols for a position whose input is a vector from outside; never a target.
inline constexpr uint16_t symbol_given = 0xffff;

// What decides which regions are awake.
enum class Selection : uint8_t {
  context,  // the slow mean of what has been read, every `chunk` tokens
  token,    // each token's own normed MLP input, at every token
};

// Per layer, the MLP regions that this machine computes, as bits; empty: all. The always awake ones
// are in every set.
using HostedSet = std::vector<uint64_t>;

// What a channel's decay is.
enum class Decay : uint8_t {
  data,   // a gate computed from each token, around a learned time constant
  fixed,  // literal MCSD: the predefined time constant of the channel, which does not learn; no
          // gate
};

struct Shape {
  uint32_t width = 128;       // D
  uint32_t layers = 4;        // L
  uint32_t channels = 256;    // E, half decay (global), half slope (local)
  uint32_t mlp_width = 384;   // M, all regions together
  uint32_t regions = 16;      // R; 1 means a dense MLP
  uint32_t always_awake = 4;  // S
  uint32_t selected = 2;      // k of the other R - S
  uint32_t chunk = 64;        // C, tokens between choices
  uint32_t context_tau = 64;  // tokens, time constant of the selector's slow context
  Selection selection = Selection::context;
  Decay decay = Decay::data;
  float hysteresis = 0;  // 0..1, added to the score of a region that is awake when choosing
  friend bool operator==(const Shape&, const Shape&) = default;
};

// "demo" (157 k parameters), "tiny" (1 M), "small" (5 M), "base" (20 M).
std::optional<Shape> shape_of_preset(std::string_view preset);
std::vector<std::string_view> preset_names();
std::string describe(
    const Shape& shape);  // one line, every field; two shapes are equal iff the lines are
// The shape of a text such as "tiny,regions=32,selection=token,mlp=1024": a preset (tiny when there
// is none), then fields that differ from it, by their names in `describe` or short (mlp, awake,
// tau), in any order, parted by commas or spaces; the line of `describe` is such a text. The error
// names what is wrong with the text or with the shape.
Result<Shape, std::string> shape_from(std::string_view text);
uint64_t parameter_count(const Shape& shape);
RegionTable region_table(const Shape& shape);
// The parameters every node of this shape starts from. Bit-identical on every machine: integer
// random numbers and IEEE basic arithmetic only (no libm). Every value is a multiple of 2^-24
// exactly representable in float.
std::vector<float> genesis(const Shape& shape, uint64_t seed);

}  // namespace starling::model
