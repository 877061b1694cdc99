#include "sim/run_checkpoint.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "swarm/wire.h"

namespace starling::sim {
namespace {

using swarm::Reader;
using swarm::Writer;

constexpr std::string_view magic = "STARLRUN";
constexpr size_t front_size = 8 + 4 + 8;  // magic, version, size
constexpr size_t digest_size = 32;
constexpr size_t hash_letters = 32;
constexpr uint32_t nodes_most = 10'000;
static_assert(std::endian::native == std::endian::little);  // floats go as they are in memory

swarm::ByteView view_of(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// ---- Writing

void put(Writer& out, double value) { out.u64(std::bit_cast<uint64_t>(value)); }

void put(Writer& out, swarm::ByteView bytes) {
  out.varint(bytes.size());
  out.raw(bytes);
}

void put(Writer& out, std::span<const std::byte> bytes) {
  put(out, swarm::ByteView(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()));
}

void put(Writer& out, const std::vector<float>& values) {
  const auto bytes = std::as_bytes(std::span(values));
  out.varint(values.size());
  out.raw({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
}

void put(Writer& out, const Learner::Sections& sections) {
  out.varint(sections.size());
  for (const auto& [name, bytes] : sections) {
    put(out, view_of(name));
    put(out, std::span(bytes));
  }
}

void put_record(Writer& out, const RunCheckpoint::Node& node) {
  out.varint(node.slices.size());
  for (const Gain& gain : node.slices) {
    put(out, gain.loss);
    out.flag(gain.is_finite);
  }
  out.varint(node.publications.size());
  for (const Publication& publication : node.publications) {
    out.flag(publication.is_finite);
    out.flag(publication.frame != nullptr);
    if (publication.frame) put(out, swarm::ByteView(*publication.frame));
  }
}

void put_presence(Writer& out, const RunCheckpoint::Node& node) {
  out.flag(node.learner.has_value());
  if (node.learner) {
    put(out, node.learner->error);
    put(out, node.learner->sections);
    put(out, std::span(node.learner->interval));
    put(out, node.learner->loss);
    out.flag(node.learner->is_broken);
  }
  out.flag(node.disk.has_value());
  if (node.disk) {
    put(out, node.disk->error);
    put(out, node.disk->sections);
  }
}

// ---- Reading; what is beyond the end is noticed by the reader, once

swarm::ByteView take_bytes(Reader& in) { return in.raw(in.varint(run_checkpoint_size_max)); }

double take_double(Reader& in) { return std::bit_cast<double>(in.u64()); }

std::string take_text(Reader& in, size_t size) {
  const swarm::ByteView bytes = in.raw(size);
  return {bytes.begin(), bytes.end()};
}

std::vector<std::byte> take_raw(Reader& in) {
  const auto bytes = std::as_bytes(take_bytes(in));
  return {bytes.begin(), bytes.end()};
}

std::vector<float> take_floats(Reader& in) {
  const swarm::ByteView bytes = in.raw(in.varint(run_checkpoint_size_max / 4) * 4);
  std::vector<float> floats(bytes.size() / 4);
  if (!floats.empty()) std::memcpy(floats.data(), bytes.data(), bytes.size());
  return floats;
}

Learner::Sections take_sections(Reader& in) {
  Learner::Sections sections;
  const uint64_t count = in.varint();
  for (uint64_t i = 0; i < count && !in.fault(); ++i) {
    const swarm::ByteView name = take_bytes(in);
    sections.emplace_back(std::string(name.begin(), name.end()), take_raw(in));
  }
  return sections;
}

void take_record(Reader& in, RunCheckpoint::Node& node) {
  const uint64_t slices = in.varint();
  for (uint64_t i = 0; i < slices && !in.fault(); ++i) {
    const double loss = take_double(in);
    node.slices.push_back({.loss = loss, .is_finite = in.flag()});
  }
  const uint64_t publications = in.varint();
  for (uint64_t i = 0; i < publications && !in.fault(); ++i) {
    Publication publication{.frame = nullptr, .is_finite = in.flag()};
    if (in.flag()) {
      const swarm::ByteView frame = take_bytes(in);
      publication.frame = std::make_shared<const swarm::Bytes>(frame.begin(), frame.end());
    }
    node.publications.push_back(std::move(publication));
  }
}

void take_presence(Reader& in, RunCheckpoint::Node& node) {
  if (in.flag()) {
    Learner::Presence& presence = node.learner.emplace();
    presence.error = take_floats(in);
    presence.sections = take_sections(in);
    presence.interval = take_raw(in);
    presence.loss = take_double(in);
    presence.is_broken = in.flag();
  }
  if (in.flag()) {
    RunCheckpoint::Saved& saved = node.disk.emplace();
    saved.error = take_floats(in);
    saved.sections = take_sections(in);
  }
}

// Empty when the bytes are a whole file of this version.
std::string fault_of(swarm::ByteView file) {
  if (file.size() < front_size + digest_size ||
      !std::equal(magic.begin(), magic.end(), file.begin()))
    return "is not a checkpoint of a simulated run, or is cut off; give another file";
  Reader in(file.subspan(magic.size()));
  const uint32_t version = in.u32();
  if (version != run_checkpoint_version)
    return "is of version " + std::to_string(version) + ", this program reads version " +
           std::to_string(run_checkpoint_version) + "; use the program that wrote it";
  const uint64_t size = in.u64();
  if (size != file.size())
    return "has " + std::to_string(file.size()) + " bytes and should have " + std::to_string(size) +
           ": it is cut off or damaged; take an older copy or start without --resume";
  const swarm::Digest digest = swarm::blake2b(file.first(file.size() - digest_size));
  if (!std::equal(digest.begin(), digest.end(), file.end() - digest_size))
    return "is damaged (its checksum is wrong); take an older copy or start without --resume";
  return {};
}

}  // namespace

swarm::Bytes encode(const RunCheckpoint& checkpoint) {
  const RunIdentity& identity = checkpoint.identity;
  assert(identity.nodes == checkpoint.nodes.size() && identity.scenario.size() == hash_letters &&
         identity.lessons.size() == hash_letters && checkpoint.trace.size() == hash_letters);
  Writer out;
  out.raw(view_of(magic));
  out.u32(run_checkpoint_version);
  out.u64(0);  // the size, once it is known
  out.u32(identity.nodes);
  out.u64(identity.seed);
  out.raw(view_of(identity.scenario));
  out.raw(view_of(identity.lessons));
  out.u64(checkpoint.events);
  out.u64(checkpoint.micros);
  out.raw(view_of(checkpoint.trace));
  out.varint(checkpoint.qualities.size());
  for (const double quality : checkpoint.qualities) put(out, quality);
  for (const RunCheckpoint::Node& node : checkpoint.nodes) {
    put_record(out, node);
    put_presence(out, node);
  }
  swarm::Bytes file = out.take();
  Writer size;
  size.u64(file.size() + digest_size);
  std::copy(size.bytes().begin(), size.bytes().end(),
            file.begin() + static_cast<std::ptrdiff_t>(front_size - 8));
  const swarm::Digest digest = swarm::blake2b(file);
  file.insert(file.end(), digest.begin(), digest.end());
  return file;
}

swarm::Bytes encode_presence(const RunCheckpoint::Node& node) {
  Writer out;
  put_presence(out, node);
  return out.take();
}

void decode_presence(swarm::ByteView bytes, RunCheckpoint::Node& node) {
  Reader in(bytes);
  take_presence(in, node);
  assert(!in.finish());
}

Result<RunCheckpoint, std::string> decode_run_checkpoint(swarm::ByteView file) {
  if (std::string fault = fault_of(file); !fault.empty()) return Unexpected{std::move(fault)};
  Reader in(file.subspan(front_size, file.size() - front_size - digest_size));
  RunCheckpoint checkpoint;
  checkpoint.identity.nodes = in.u32();
  checkpoint.identity.seed = in.u64();
  checkpoint.identity.scenario = take_text(in, hash_letters);
  checkpoint.identity.lessons = take_text(in, hash_letters);
  checkpoint.events = in.u64();
  checkpoint.micros = in.u64();
  checkpoint.trace = take_text(in, hash_letters);
  const uint64_t qualities = in.varint();
  for (uint64_t i = 0; i < qualities && !in.fault(); ++i)
    checkpoint.qualities.push_back(take_double(in));
  if (checkpoint.identity.nodes > nodes_most) in.fail(swarm::DropReason::oversized);
  for (uint32_t i = 0; i < checkpoint.identity.nodes && !in.fault(); ++i) {
    RunCheckpoint::Node& node = checkpoint.nodes.emplace_back();
    take_record(in, node);
    take_presence(in, node);
  }
  if (in.finish())
    return Unexpected{std::string(
        "holds what cannot be in a checkpoint of a run, though its checksum is right; give a file "
        "that --checkpoint has written")};
  return checkpoint;
}

}  // namespace starling::sim
