#include "sim/images.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <memory>

namespace starling::sim {
namespace {

constexpr uint8_t type_bytes = 8;

struct Idx {
  std::vector<uint32_t> sizes;  // of each dimension
  std::vector<uint8_t> values;
};

struct Closer {
  void operator()(gzFile file) const { gzclose(file); }
};
using File = std::unique_ptr<gzFile_s, Closer>;

Unexpected<Failure> fail(std::string message) {
  return Unexpected{Failure{ExitCode::bad_data, std::move(message)}};
}

// Bytes read; fewer than asked for where the file ends, below 0 where it is damaged.
int64_t read(gzFile file, std::span<uint8_t> bytes) {
  const int got = gzread(file, bytes.data(), static_cast<unsigned>(bytes.size()));
  int damage = Z_OK;
  gzerror(file, &damage);
  return damage == Z_OK || damage == Z_STREAM_END ? got : -1;
}

std::string hex(std::span<const uint8_t> bytes) {
  std::string text;
  char pair[4];
  for (const uint8_t byte : bytes) {
    std::snprintf(pair, sizeof pair, "%s%02x", text.empty() ? "" : " ", byte);
    text += pair;
  }
  return text;
}

uint32_t big_endian(std::span<const uint8_t, 4> bytes) {
  return uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 | uint32_t{bytes[2]} << 8 | bytes[3];
}

// The sizes, and nothing of the values yet.
Result<Idx, Failure> read_header(gzFile file, const std::string& path, uint8_t dimensions) {
  const std::array<uint8_t, 4> expected = {0, 0, type_bytes, dimensions};
  std::array<uint8_t, 4> word{};
  int64_t got = read(file, word);
  if (got < 0) return fail(path + " is damaged: it cannot be unpacked; fetch it again");
  if (got < 4 || word != expected) {
    return fail(path + " begins with " + hex(std::span(word).first(static_cast<size_t>(got))) +
                " where idx " + (dimensions == 1 ? "labels" : "images") + " begin with " +
                hex(expected) + "; give the file as it was published");
  }
  Idx idx;
  uint64_t values = 1;
  for (uint8_t i = 0; i < dimensions; ++i) {
    got = read(file, word);
    if (got < 4) return fail(path + " ends within its header; fetch it again");
    idx.sizes.push_back(big_endian(word));
    values *= idx.sizes.back();
    if (values == 0) return fail(path + " says that it is empty; give a file with images");
    if (values > idx_values_max) {
      return fail(path + " says that it has more than " + std::to_string(idx_values_max >> 20) +
                  " MiB of values; give a smaller one");
    }
  }
  idx.values.resize(values);
  return idx;
}

Result<Idx, Failure> read_idx(const std::string& path, uint8_t dimensions) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error))
    return fail("no such file: " + path + "; check learn.images and learn.labels");
  const File file(gzopen(path.c_str(), "rb"));
  if (file == nullptr) return fail("cannot read " + path + "; check that you may open it");
  auto idx = read_header(file.get(), path, dimensions);
  if (!idx) return idx;
  const int64_t got = read(file.get(), idx->values);
  if (got < 0) return fail(path + " is damaged: it cannot be unpacked; fetch it again");
  if (static_cast<uint64_t>(got) < idx->values.size()) {
    return fail(path + " says that it has " + std::to_string(idx->values.size()) +
                " values but ends after " + std::to_string(got) + "; fetch it again");
  }
  std::array<uint8_t, 1> more{};
  if (read(file.get(), more) != 0) {
    return fail(path + " goes on after the " + std::to_string(idx->values.size()) +
                " values that it says it has; fetch it again");
  }
  return idx;
}

}  // namespace

Result<Images, Failure> read_images(const std::string& images_path,
                                    const std::string& labels_path) {
  auto images = read_idx(images_path, 3);
  if (!images) return Unexpected{images.error()};
  auto labels = read_idx(labels_path, 1);
  if (!labels) return Unexpected{labels.error()};
  if (images->sizes[0] != labels->sizes[0]) {
    return fail(images_path + " has " + std::to_string(images->sizes[0]) + " images but " +
                labels_path + " has " + std::to_string(labels->sizes[0]) +
                " labels; give two files that belong together");
  }
  if (std::min(images->sizes[1], images->sizes[2]) < letters_side) {
    return fail(images_path + " has images of " + std::to_string(images->sizes[1]) + " x " +
                std::to_string(images->sizes[2]) + " pixels; at least " +
                std::to_string(letters_side) + " x " + std::to_string(letters_side) +
                " are needed");
  }
  return Images{.height = images->sizes[1],
                .width = images->sizes[2],
                .pixels = std::move(images->values),
                .labels = std::move(labels->values)};
}

std::string letters_of(const Images& images, size_t index) {
  constexpr size_t side = letters_side, levels = 8;
  const std::span<const uint8_t> pixels = images.pixels_of(index);
  std::string letters;
  for (size_t row = 0; row < side; ++row) {
    for (size_t column = 0; column < side; ++column) {
      size_t sum = 0, count = 0;
      for (size_t y = row * images.height / side; y < (row + 1) * images.height / side; ++y) {
        for (size_t x = column * images.width / side; x < (column + 1) * images.width / side;
             ++x, ++count)
          sum += pixels[y * images.width + x];
      }
      // Means of strokes are far from white: seven steps of 28, and all that is brighter.
      letters += static_cast<char>('a' + std::min(levels - 1, sum / count / 28));
    }
  }
  return letters;
}

}  // namespace starling::sim
