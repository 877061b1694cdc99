// Grammar of a checkpoint file (integers little-endian):
//   file    = header section* digest
//   header  = magic(8) version(u32) section_count(u32) fingerprint(16) step(u64) file_size(u64)
//   entry* entry   = name(64, padded with zeros) size(u64)       ; in the order of the sections,
//   names differ section = bytes(size), zeros up to a multiple of 8    ; offsets follow from the
//   sizes digest  = BLAKE2b-256 over all bytes before it
// magic = "STARCKPT", version = 1. There is one encoding of a content and the decoder takes no
// other. Names are made of a-z 0-9 . _ -, 1 to 64 of them.
#include "node/checkpoint_codec.h"

#include <cassert>
#include <cstring>

namespace starling::node {

namespace {

constexpr char magic[9] = "STARCKPT";
constexpr size_t magic_size = 8;
constexpr uint32_t format_version = 1;
constexpr size_t fixed_size = magic_size + 4 + 4 + 16 + 8 + 8;
constexpr size_t entry_size = checkpoint_name_size_max + 8;
static_assert(fixed_size % 8 == 0 && entry_size % 8 == 0, "sections begin at a multiple of 8");

uint64_t padded(uint64_t size) { return (size + 7) / 8 * 8; }

template <typename T>
void put(swarm::Bytes& bytes, T value) {
  for (size_t i = 0; i < sizeof(T); ++i) bytes.push_back(static_cast<uint8_t>(value >> (8 * i)));
}

template <typename T>
T take(swarm::ByteView bytes, size_t at) {
  T value = 0;
  for (size_t i = 0; i < sizeof(T); ++i)
    value = static_cast<T>(value | static_cast<T>(bytes[at + i]) << (8 * i));
  return value;
}

bool is_name(const std::string& name) {
  if (name.empty() || name.size() > checkpoint_name_size_max) return false;
  for (const char c : name) {
    const bool is_word =
        (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
    if (!is_word) return false;
  }
  return true;
}

// Fills offsets and file_size from names and sizes; the one place that knows the layout.
Result<Done, std::string> lay_out(CheckpointHeader& header) {
  if (header.entries.size() > checkpoint_sections_max)
    return Unexpected{std::string("more than 64 sections")};
  uint64_t at = fixed_size + entry_size * header.entries.size();
  for (size_t i = 0; i < header.entries.size(); ++i) {
    CheckpointHeader::Entry& entry = header.entries[i];
    if (!is_name(entry.name))
      return Unexpected{std::string("a section's name is empty, too long or not a-z0-9._-")};
    for (size_t j = 0; j < i; ++j) {
      if (header.entries[j].name == entry.name)
        return Unexpected{"two sections are named " + entry.name};
    }
    if (entry.size > checkpoint_size_max - at)
      return Unexpected{std::string("more than 4 GiB of sections")};
    entry.offset = at;
    at += padded(entry.size);
    if (at > checkpoint_size_max - checkpoint_digest_size) {
      return Unexpected{std::string("more than 4 GiB of sections")};
    }
  }
  header.file_size = at + checkpoint_digest_size;
  return Done{};
}

// The name in a 64-byte field; empty (which is no name) when zeros are not all at its end.
std::string take_name(swarm::ByteView field) {
  size_t size = 0;
  while (size < field.size() && field[size] != 0) ++size;
  for (size_t i = size; i < field.size(); ++i) {
    if (field[i] != 0) return {};
  }
  return {field.begin(), field.begin() + static_cast<ptrdiff_t>(size)};
}

}  // namespace

const size_t checkpoint_header_size_max = fixed_size + entry_size * checkpoint_sections_max;

Result<CheckpointHeader, std::string> plan_checkpoint(const Fingerprint& fingerprint, uint64_t step,
                                                      const std::vector<model::Section>& sections) {
  CheckpointHeader header;
  header.fingerprint = fingerprint;
  header.step = step;
  for (const model::Section& section : sections)
    header.entries.push_back({section.name, section.bytes.size(), 0});
  auto laid_out = lay_out(header);
  if (!laid_out) return Unexpected{laid_out.error()};
  return header;
}

swarm::Bytes encode_checkpoint_header(const CheckpointHeader& header) {
  assert(header.entries.size() <= checkpoint_sections_max);
  swarm::Bytes bytes(magic, magic + magic_size);
  put(bytes, format_version);
  put(bytes, static_cast<uint32_t>(header.entries.size()));
  bytes.insert(bytes.end(), header.fingerprint.begin(), header.fingerprint.end());
  put(bytes, header.step);
  put(bytes, header.file_size);
  for (const CheckpointHeader::Entry& entry : header.entries) {
    assert(is_name(entry.name));
    bytes.insert(bytes.end(), entry.name.begin(), entry.name.end());
    bytes.resize(bytes.size() + checkpoint_name_size_max - entry.name.size());
    put(bytes, entry.size);
  }
  return bytes;
}

Result<CheckpointHeader, std::string> decode_checkpoint_header(swarm::ByteView front,
                                                               uint64_t file_size) {
  if (front.size() < fixed_size)
    return Unexpected{std::string("truncated before the end of its header")};
  if (std::memcmp(front.data(), magic, magic_size) != 0)
    return Unexpected{std::string("not a checkpoint")};
  const auto version = take<uint32_t>(front, magic_size);
  if (version != format_version) {
    return Unexpected{"format version " + std::to_string(version) + ", this program reads " +
                      std::to_string(format_version)};
  }
  const auto count = take<uint32_t>(front, magic_size + 4);
  if (count > checkpoint_sections_max)
    return Unexpected{std::string("damaged: more than 64 sections")};
  if (front.size() < fixed_size + entry_size * count) {
    return Unexpected{std::string("truncated before the end of its header")};
  }
  CheckpointHeader header;
  std::memcpy(header.fingerprint.data(), front.data() + magic_size + 8, header.fingerprint.size());
  header.step = take<uint64_t>(front, magic_size + 24);
  const auto stated_size = take<uint64_t>(front, magic_size + 32);
  for (size_t i = 0; i < count; ++i) {
    const size_t at = fixed_size + entry_size * i;
    header.entries.push_back({take_name(front.subspan(at, checkpoint_name_size_max)),
                              take<uint64_t>(front, at + checkpoint_name_size_max), 0});
  }
  auto laid_out = lay_out(header);
  if (!laid_out) return Unexpected{"damaged: " + laid_out.error()};
  if (stated_size != header.file_size)
    return Unexpected{std::string("damaged: its sizes do not add up")};
  if (file_size < header.file_size) {
    return Unexpected{"truncated: " + std::to_string(file_size) + " of " +
                      std::to_string(header.file_size) + " bytes"};
  }
  if (file_size > header.file_size) return Unexpected{std::string("damaged: longer than it says")};
  return header;
}

Result<CheckpointHeader, std::string> check_checkpoint(swarm::ByteView file) {
  auto header = decode_checkpoint_header(
      file.first(std::min(file.size(), checkpoint_header_size_max)), file.size());
  if (!header) return header;
  for (const CheckpointHeader::Entry& entry : header->entries) {
    for (uint64_t at = entry.offset + entry.size; at < entry.offset + padded(entry.size); ++at) {
      if (file[at] != 0) return Unexpected{std::string("damaged: padding is not zero")};
    }
  }
  const swarm::ByteView content = file.first(file.size() - checkpoint_digest_size);
  const swarm::Digest digest = swarm::blake2b(content);
  if (std::memcmp(digest.data(), file.data() + content.size(), digest.size()) != 0) {
    return Unexpected{std::string("damaged: its checksum is wrong")};
  }
  return header;
}

}  // namespace starling::node
