// Grammar of a bundle (integers little-endian):
//   bundle = head *part end
//   head   = "starling-deltas" %x01 swarm:16 fingerprint:16 size:u32 vector   ; codec.cc
//   part   = kind:u8 size:u32 bytes                     ; %x01 a message, %x02 the frame of a delta
//   end    = %x00 size:u32 chain:32                     ; size is 32
// chain: BLAKE2b-256 of the head, then for each part BLAKE2b-256 of the chain so far and
// BLAKE2b-256 of the part. So a part that was changed, lost, added or moved is found, and no more
// than a part has to be held to find it.
#include "swarm/bundle.h"

#include <algorithm>
#include <cassert>

#include "swarm/codec.h"
#include "swarm/wire.h"

namespace starling::swarm {

namespace {

constexpr std::string_view magic = "starling-deltas";
constexpr uint8_t version = 1;
constexpr size_t head_fixed_size = 16 + 16 + 16 + 4;
constexpr size_t part_head_size = 5;
constexpr uint8_t end_kind = 0;
constexpr size_t vector_size_max = 16 + streams_per_message_max * 64;  // bytes, generously

Digest chained(const Digest& chain, ByteView part) {
  Writer writer;
  writer.raw(chain);
  writer.raw(blake2b(part));
  return blake2b(writer.bytes());
}

size_t size_max_of(uint8_t kind) {
  if (kind == static_cast<uint8_t>(BundlePartKind::message)) return bundle_message_size_max;
  if (kind == static_cast<uint8_t>(BundlePartKind::delta)) return bundle_part_size_max;
  return kind == end_kind ? Digest{}.size() : 0;
}

}  // namespace

std::string_view bundle_error_text(BundleError error) {
  switch (error) {
    case BundleError::not_a_bundle:
      return "this is no file that starling export wrote";
    case BundleError::bad_version:
      return "a later version of starling wrote this file; update this one";
    case BundleError::truncated:
      return "the file was cut off; copy it again";
    case BundleError::damaged:
      return "the file is damaged; copy it again";
    case BundleError::malformed:
      return "the file does not have the form that starling export writes";
  }
  assert(false);
  return "";
}

Bytes BundleWriter::head(const BundleHead& head) {
  const Bytes vector = encode(head.have);
  Writer writer;
  for (const char c : magic) writer.u8(static_cast<uint8_t>(c));
  writer.u8(version);
  writer.raw(head.swarm);
  writer.raw(head.fingerprint);
  writer.u32(static_cast<uint32_t>(vector.size()));
  writer.raw(vector);
  chain_ = blake2b(writer.bytes());
  return writer.take();
}

Bytes BundleWriter::part(BundlePartKind kind, ByteView bytes) {
  assert(bytes.size() <= size_max_of(static_cast<uint8_t>(kind)));
  Writer writer;
  writer.u8(static_cast<uint8_t>(kind));
  writer.u32(static_cast<uint32_t>(bytes.size()));
  writer.raw(bytes);
  chain_ = chained(chain_, writer.bytes());
  return writer.take();
}

Bytes BundleWriter::end() {
  Writer writer;
  writer.u8(end_kind);
  writer.u32(static_cast<uint32_t>(chain_.size()));
  writer.raw(chain_);
  return writer.take();
}

std::optional<BundleError> BundleReader::read_head(ByteView& rest) {
  const size_t seen = std::min(rest.size(), magic.size());
  if (!std::equal(rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(seen), magic.begin()))
    return BundleError::not_a_bundle;
  if (rest.size() > magic.size() && rest[magic.size()] != version) return BundleError::bad_version;
  if (rest.size() < head_fixed_size) return std::nullopt;
  BundleHead head;
  Reader reader(rest.subspan(magic.size() + 1));
  head.swarm = reader.array<16>();
  head.fingerprint = reader.array<16>();
  const size_t size = reader.u32();
  if (size > vector_size_max) return BundleError::malformed;
  if (rest.size() < head_fixed_size + size) return std::nullopt;
  auto have = decode_version_vector(reader.raw(size));
  if (!have) return BundleError::malformed;
  head.have = *std::move(have);
  chain_ = blake2b(rest.first(head_fixed_size + size));
  rest = rest.subspan(head_fixed_size + size);
  head_ = std::move(head);
  return std::nullopt;
}

std::optional<BundleError> BundleReader::read_parts(ByteView& rest,
                                                    std::vector<BundlePart>& parts) {
  while (!is_ended_ && rest.size() >= part_head_size) {
    Reader reader(rest);
    const uint8_t kind = reader.u8();
    const size_t size = reader.u32();
    if (kind > static_cast<uint8_t>(BundlePartKind::delta) || size > size_max_of(kind))
      return BundleError::malformed;
    if (rest.size() < part_head_size + size) return std::nullopt;
    const ByteView bytes = reader.raw(size);
    if (kind == end_kind) {
      if (!std::equal(bytes.begin(), bytes.end(), chain_.begin(), chain_.end()))
        return BundleError::damaged;
      is_ended_ = true;
    } else {
      chain_ = chained(chain_, rest.first(part_head_size + size));
      parts.push_back({static_cast<BundlePartKind>(kind), {bytes.begin(), bytes.end()}});
    }
    rest = rest.subspan(part_head_size + size);
  }
  if (is_ended_ && !rest.empty()) return BundleError::malformed;
  return std::nullopt;
}

Result<std::vector<BundlePart>, BundleError> BundleReader::take(ByteView bytes) {
  if (error_) return Unexpected{*error_};
  waiting_.insert(waiting_.end(), bytes.begin(), bytes.end());
  ByteView rest = waiting_;
  std::vector<BundlePart> parts;
  if (!head_) error_ = read_head(rest);
  if (!error_ && head_) error_ = read_parts(rest, parts);
  if (error_) return Unexpected{*error_};
  waiting_.erase(waiting_.begin(), waiting_.end() - static_cast<std::ptrdiff_t>(rest.size()));
  return parts;
}

Result<Done, BundleError> BundleReader::finish() const {
  if (error_) return Unexpected{*error_};
  if (!is_ended_) return Unexpected{BundleError::truncated};
  return Done{};
}

}  // namespace starling::swarm
