#pragma once
// Labelled images from two idx files, plain or gzipped, as MNIST is published. Grammar of idx:
//   00 00 08 D          values are bytes, in D dimensions: 3 for images, 1 for labels
//   u32 x D             big-endian sizes: count, and for images height and width
//   u8 ...              as many as the sizes say, the last dimension the quickest
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "model/result.h"
#include "sim/plan.h"

namespace starling::sim {

inline constexpr uint64_t idx_values_max = 256ull << 20;  // of one file
inline constexpr uint32_t letters_side = 8;               // an image as text is 8 x 8 letters

struct Images {
  uint32_t height = 0, width = 0;
  std::vector<uint8_t> pixels;  // (count, height, width)
  std::vector<uint8_t> labels;  // (count)

  size_t count() const { return labels.size(); }
  std::span<const uint8_t> pixels_of(size_t index) const {
    const size_t size = size_t{height} * width;
    return std::span(pixels).subspan(index * size, size);
  }
};

// Errors: bad_data for a file that is missing, damaged, of another format or of another length than
// it says, for two files that do not belong together, and for images smaller than 8 x 8.
Result<Images, Failure> read_images(const std::string& images_path, const std::string& labels_path);

// The image as 64 letters, row by row: the mean of each cell's pixels, from a (dark) to h.
std::string letters_of(const Images& images, size_t index);

}  // namespace starling::sim
