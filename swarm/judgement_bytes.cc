// judgement = version floor:int 3*usual:f64 standings count:int *(peer newest:int)
//             count:int *record count:int *cut count:int *final count:int *peer
// version   = %x04
// standings = count:int *(peer agreement:f64 held:flag share:int)
// record    = interval:int origin:20 epoch:int seq:int digest:64 norm:f64 vote:f64
//             divisor:int
// cut       = index:int stale:flag usual:f64 reference:f64 count:int *peer *f64 ; count squared
//             ; dot products
// final     = origin:20 epoch:int seq:int divisor:int                  ; not 1
// All lists in strictly increasing order of their keys; int, flag as in codec.cc; peer is 20 bytes.
#include "swarm/judgement.h"

#include <bit>
#include <cmath>

namespace starling::swarm {
namespace {

constexpr uint8_t format_version = 4;

void write_f64(Writer& writer, double value) { writer.u64(std::bit_cast<uint64_t>(value)); }
double read_f64(Reader& reader) {
  const double value = std::bit_cast<double>(reader.u64());
  if (!std::isfinite(value)) reader.fail(DropReason::malformed);
  return std::isfinite(value) ? value : 0;
}
PeerId read_peer(Reader& reader) { return PeerId{reader.array<20>()}; }

// Puts a key at the end of a sorted container, or fails.
template <typename Container, typename... Value>
void append(Reader& reader, Container& container, Value&&... value) {
  const size_t size = container.size();
  const auto at = container.emplace_hint(container.end(), std::forward<Value>(value)...);
  if (container.size() == size || std::next(at) != container.end())
    reader.fail(DropReason::malformed);
}

void write_standings(Writer& writer, const Standings& standings) {
  writer.varint(standings.size());
  for (const auto& [peer, standing] : standings) {
    writer.raw(peer.bytes);
    write_f64(writer, standing.agreement);
    writer.flag(standing.is_held);
    writer.varint(standing.share);
  }
}

Standings read_standings(Reader& reader) {
  Standings standings;
  const uint64_t count = reader.varint(origins_judged_max);
  for (uint64_t i = 0; i < count && !reader.fault(); ++i) {
    const PeerId peer = read_peer(reader);
    Standing standing{.agreement = read_f64(reader), .is_held = reader.flag()};
    standing.share = static_cast<uint32_t>(reader.varint(origins_judged_max));
    if (standing.share == 0) reader.fail(DropReason::malformed);
    append(reader, standings, peer, standing);
  }
  return standings;
}

}  // namespace

Bytes Judgement::encode() const {
  Writer writer;
  writer.u8(format_version);
  writer.varint(floor_);
  for (const double usual : usuals_) write_f64(writer, usual);
  write_standings(writer, settled_);
  writer.varint(newest_.size());
  for (const auto& [peer, newest] : newest_) {
    writer.raw(peer.bytes);
    writer.varint(newest);
  }
  writer.varint(records_.size());
  for (const auto& [place, record] : records_) {
    const auto& [interval, key] = place;
    writer.varint(interval);
    writer.raw(key.stream.origin.bytes);
    writer.varint(key.stream.epoch);
    writer.varint(key.seq);
    writer.u64(record.digest);
    write_f64(writer, record.norm);
    write_f64(writer, record.vote);
    writer.varint(record.divisor);
  }
  writer.varint(cuts_.size());
  for (const auto& [index, cut] : cuts_) {
    writer.varint(index);
    writer.flag(cut.is_stale);
    write_f64(writer, cut.usual);
    write_f64(writer, cut.reference);
    writer.varint(cut.products.origins.size());
    for (const PeerId& peer : cut.products.origins) writer.raw(peer.bytes);
    for (const double dot : cut.products.dots) write_f64(writer, dot);
  }
  writer.varint(final_.size());
  for (const auto& [key, divisor] : final_) {
    writer.raw(key.stream.origin.bytes);
    writer.varint(key.stream.epoch);
    writer.varint(key.seq);
    writer.varint(divisor);
  }
  writer.varint(expelled_.size());
  for (const PeerId& peer : expelled_) writer.raw(peer.bytes);
  return writer.take();
}

void Judgement::read(Reader& reader) {
  if (reader.u8() != format_version) reader.fail(DropReason::bad_version);
  floor_ = reader.varint(interval_max);
  for (double& usual : usuals_) usual = read_f64(reader);
  settled_ = read_standings(reader);
  for (uint64_t count = reader.varint(origins_judged_max); count > 0 && !reader.fault(); --count) {
    const PeerId peer = read_peer(reader);
    append(reader, newest_, peer, reader.varint(interval_max));
  }
  for (uint64_t count = reader.varint(judgement_records_max); count > 0 && !reader.fault();
       --count) {
    Place place;
    place.first = reader.varint(interval_max);
    place.second.stream.origin = read_peer(reader);
    place.second.stream.epoch = reader.varint();
    place.second.seq = reader.varint();
    Record record{.digest = reader.u64()};
    record.norm = read_f64(reader);
    record.vote = read_f64(reader);
    record.divisor = static_cast<uint32_t>(reader.varint(absent));
    if (last_cut_over(place.first) <= floor_) reader.fail(DropReason::malformed);
    append(reader, records_, place, record);
  }
  for (uint64_t count = reader.varint(horizon_intervals); count > 0 && !reader.fault(); --count) {
    const uint64_t index = reader.varint(interval_max);
    Cut cut;
    cut.is_stale = reader.flag();
    cut.usual = read_f64(reader);
    cut.reference = read_f64(reader);
    const uint64_t origins = reader.varint(origins_judged_max);
    std::set<PeerId> sorted;
    for (uint64_t i = 0; i < origins && !reader.fault(); ++i) {
      cut.products.origins.push_back(read_peer(reader));
      append(reader, sorted, cut.products.origins.back());
    }
    for (uint64_t i = 0; i < origins * origins && !reader.fault(); ++i)
      cut.products.dots.push_back(read_f64(reader));
    if (index <= floor_) reader.fail(DropReason::malformed);
    append(reader, cuts_, index, std::move(cut));
  }
  for (uint64_t count = reader.varint(judgement_records_max); count > 0 && !reader.fault();
       --count) {
    DeltaKey key{.stream = {.origin = read_peer(reader)}};
    key.stream.epoch = reader.varint(UINT64_MAX);
    key.seq = reader.varint(UINT64_MAX);
    const auto divisor = static_cast<uint32_t>(reader.varint(absent - 1));
    if (divisor == 1) reader.fail(DropReason::malformed);
    append(reader, final_, key, divisor);
  }
  for (uint64_t count = reader.varint(origins_judged_max); count > 0 && !reader.fault(); --count)
    append(reader, expelled_, read_peer(reader));
}

Result<Done, DropReason> Judgement::decode(ByteView bytes) {
  Reader reader(bytes);
  Judgement next(*table_, rules_);
  next.read(reader);
  if (const auto fault = reader.finish()) return Unexpected{*fault};
  next.last_ = next.floor_;
  next.count_anew();
  *this = std::move(next);
  return Done{};
}

}  // namespace starling::swarm
