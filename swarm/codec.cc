// message   = %x01 hello / %x02 members / %x03 heartbeat / %x04 pull / %x05 offer / %x06
// chunk-request / %x07 chunk
//           / %x08 goodbye / %x09 news / %x0a witness / %x0b join / %x0c shuffle / %x0d shuffled
//           / %x0e disconnect / %x0f suspicion
// hello     = version-min:int version-max:int features:int fingerprint:16 software:text record
// extension:bytes     ; version-min <= version-max
// members   = count:int *record digest:16
// record    = membership name:text
// count:int *address:text epoch:int incarnation:int left:flag signature:64
//             ; signature: Ed25519 by the member over  %x12 "starling-member-v1"
//             record-without-signature
// heartbeat = sent:int echo:int delay:int step:int bits-per-byte:f32 told wants:flag
// base-hash:32 base-count:int learning:flag      told      = %x01 vector / %x00 hash:16
// vector    = count:int *stream                          ; streams
// strictly increasing by (origin, epoch) stream    = origin:20 epoch:int contiguous:int bitmap:int
// ; not both zero; no number above 2^63 pull      = count:int *key key       = origin:20 epoch:int
// seq:int                ; seq from 1 offer     = hash:32 file-hash:32 size:int vector
// chunk-request = file-hash:32 index:int                 ; index: 32 bits
// chunk     = file-hash:32 index:int size:int bytes
// goodbye   = reason:text
// news      = digest:32 count:int *item      item = size:int bytes          ; see admissions.cc
// witness   = count:int *sighting            sighting = key hash:8
// join      = joiner:20 hops:int             shuffle  = token:int hops:int sample
// shuffled  = token:int sample               sample   = count:int *peer:20
// disconnect = ""                            suspicion = count:int *suspect
// suspect   = peer:20 epoch:int incarnation:int
//
// int  = LEB128 in its shortest form            text = size:int bytes, UTF-8 without control
// characters (wire.h) flag = %x00 / %x01                            f32  = little endian, finite
// Bounds are those of message.h. A message ends where its payload ends. Every rule has one
// encoding, so that what is accepted is exactly what encode_message makes.
#include "swarm/codec.h"

#include "swarm/wire.h"

namespace starling::swarm {
namespace {

constexpr std::string_view member_domain = "starling-member-v1";
constexpr uint64_t seq_max = uint64_t{1} << 63;  // leaves room for the bitmap's numbers

void write_vector(const VersionVector& vector, Writer& writer) {
  assert(vector.streams().size() <= streams_per_message_max);
  writer.varint(vector.streams().size());
  for (const auto& [stream, seen] : vector.streams()) {
    assert(seen.contiguous <= seq_max && (seen.contiguous > 0 || seen.bitmap != 0));
    writer.raw(stream.origin.bytes);
    writer.varint(stream.epoch);
    writer.varint(seen.contiguous);
    writer.varint(seen.bitmap);
  }
}

Stream read_stream(Reader& reader) {
  Stream stream;
  stream.origin.bytes = reader.array<20>();
  stream.epoch = reader.varint();
  return stream;
}

VersionVector read_vector(Reader& reader) {
  VersionVector vector;
  Stream last;
  const uint64_t count = reader.varint(streams_per_message_max);
  for (uint64_t i = 0; i < count && !reader.fault(); ++i) {
    const Stream stream = read_stream(reader);
    Seen seen;
    seen.contiguous = reader.varint(seq_max);
    seen.bitmap = reader.varint();
    const bool is_ordered = i == 0 || last < stream;
    const bool is_empty = seen.contiguous == 0 && seen.bitmap == 0;
    if (!is_ordered || is_empty) reader.fail(DropReason::malformed);
    vector.set(stream, seen);
    last = stream;
  }
  return vector;
}

void write_bytes(const Bytes& bytes, size_t size_max, Writer& writer) {
  assert(bytes.size() <= size_max);
  writer.varint(bytes.size());
  writer.raw(bytes);
}
Bytes read_bytes(Reader& reader, size_t size_max) {
  const ByteView bytes = reader.raw(reader.varint(size_max));
  return {bytes.begin(), bytes.end()};
}

// Everything of a record that its signature covers.
void write_record_fields(const MemberRecord& record, Writer& writer) {
  assert(record.addresses.size() <= addresses_max);
  writer.raw(encode(record.membership));
  writer.text(record.name, name_size_max);
  writer.varint(record.addresses.size());
  for (const std::string& address : record.addresses) writer.text(address, address_size_max);
  writer.varint(record.epoch);
  writer.varint(record.incarnation);
  writer.flag(record.left);
}

void write_record(const MemberRecord& record, Writer& writer) {
  write_record_fields(record, writer);
  writer.raw(record.signature);
}

MemberRecord read_record(Reader& reader) {
  MemberRecord record;
  const ByteView membership = reader.raw(membership_size_of(reader.rest()));
  if (!reader.fault()) {
    if (auto decoded = decode_membership(membership)) {
      record.membership = *decoded;
    } else {
      reader.fail(DropReason::malformed);
    }
  }
  record.name = reader.text(name_size_max);
  const uint64_t count = reader.varint(addresses_max);
  for (uint64_t i = 0; i < count && !reader.fault(); ++i)
    record.addresses.push_back(reader.text(address_size_max));
  record.epoch = reader.varint();
  record.incarnation = reader.varint();
  record.left = reader.flag();
  record.signature = reader.array<64>();
  return record;
}

void write(const Hello& hello, Writer& writer) {
  assert(hello.version_min <= hello.version_max);
  writer.varint(hello.version_min);
  writer.varint(hello.version_max);
  writer.varint(hello.features);
  writer.raw(hello.fingerprint);
  writer.text(hello.software, software_size_max);
  write_record(hello.self, writer);
  write_bytes(hello.extension, extension_size_max, writer);
}
void read(Reader& reader, Hello& hello) {
  hello.version_min = static_cast<uint32_t>(reader.varint(UINT32_MAX));
  hello.version_max = static_cast<uint32_t>(reader.varint(UINT32_MAX));
  if (hello.version_min > hello.version_max) reader.fail(DropReason::malformed);
  hello.features = reader.varint();
  hello.fingerprint = reader.array<16>();
  hello.software = reader.text(software_size_max);
  hello.self = read_record(reader);
  hello.extension = read_bytes(reader, extension_size_max);
}

void write(const Members& members, Writer& writer) {
  assert(members.records.size() <= members_per_message_max);
  writer.varint(members.records.size());
  for (const MemberRecord& record : members.records) write_record(record, writer);
  writer.raw(members.digest);
}
void read(Reader& reader, Members& members) {
  const uint64_t count = reader.varint(members_per_message_max);
  for (uint64_t i = 0; i < count && !reader.fault(); ++i)
    members.records.push_back(read_record(reader));
  members.digest = reader.array<16>();
}

void write(const Heartbeat& heartbeat, Writer& writer) {
  assert(std::isfinite(heartbeat.bits_per_byte));
  writer.varint(heartbeat.sent_ms);
  writer.varint(heartbeat.echo_ms);
  writer.varint(heartbeat.echo_delay_ms);
  writer.varint(heartbeat.step);
  writer.f32(heartbeat.bits_per_byte);
  writer.flag(heartbeat.have.has_value());
  if (heartbeat.have) {
    write_vector(*heartbeat.have, writer);
  } else {
    writer.raw(heartbeat.have_hash);
  }
  writer.flag(heartbeat.wants_have);
  writer.raw(heartbeat.base_hash);
  writer.varint(heartbeat.base_count);
  writer.flag(heartbeat.is_learning);
}
void read(Reader& reader, Heartbeat& heartbeat) {
  heartbeat.sent_ms = reader.varint();
  heartbeat.echo_ms = reader.varint();
  heartbeat.echo_delay_ms = reader.varint();
  heartbeat.step = reader.varint();
  heartbeat.bits_per_byte = reader.finite_f32();
  if (reader.flag()) {
    heartbeat.have = read_vector(reader);
  } else {
    heartbeat.have_hash = reader.array<16>();
  }
  heartbeat.wants_have = reader.flag();
  heartbeat.base_hash = reader.array<32>();
  heartbeat.base_count = reader.varint();
  heartbeat.is_learning = reader.flag();
}

void write_key(const DeltaKey& key, Writer& writer) {
  assert(key.seq > 0);
  writer.raw(key.stream.origin.bytes);
  writer.varint(key.stream.epoch);
  writer.varint(key.seq);
}
DeltaKey read_key(Reader& reader) {
  DeltaKey key;
  key.stream = read_stream(reader);
  key.seq = reader.varint();
  if (key.seq == 0) reader.fail(DropReason::malformed);
  return key;
}

void write(const Pull& pull, Writer& writer) {
  assert(pull.keys.size() <= pull_keys_max);
  writer.varint(pull.keys.size());
  for (const DeltaKey& key : pull.keys) write_key(key, writer);
}
void read(Reader& reader, Pull& pull) {
  const uint64_t count = reader.varint(pull_keys_max);
  for (uint64_t i = 0; i < count && !reader.fault(); ++i) pull.keys.push_back(read_key(reader));
}

void write(const SnapshotOffer& offer, Writer& writer) {
  writer.raw(offer.hash);
  writer.raw(offer.file_hash);
  writer.varint(offer.size);
  write_vector(offer.have, writer);
}
void read(Reader& reader, SnapshotOffer& offer) {
  offer.hash = reader.array<32>();
  offer.file_hash = reader.array<32>();
  offer.size = reader.varint();
  offer.have = read_vector(reader);
}

void write(const ChunkRequest& request, Writer& writer) {
  writer.raw(request.file_hash);
  writer.varint(request.index);
}
void read(Reader& reader, ChunkRequest& request) {
  request.file_hash = reader.array<32>();
  request.index = static_cast<uint32_t>(reader.varint(UINT32_MAX));
}

void write(const Chunk& chunk, Writer& writer) {
  writer.raw(chunk.file_hash);
  writer.varint(chunk.index);
  write_bytes(chunk.bytes, chunk_size_max, writer);
}
void read(Reader& reader, Chunk& chunk) {
  chunk.file_hash = reader.array<32>();
  chunk.index = static_cast<uint32_t>(reader.varint(UINT32_MAX));
  chunk.bytes = read_bytes(reader, chunk_size_max);
}

// A reason may quote a system's or a library's text: what does not fit is made to fit.
void write(const Goodbye& goodbye, Writer& writer) {
  writer.text(make_plain_text(goodbye.reason, reason_size_max), reason_size_max);
}
void read(Reader& reader, Goodbye& goodbye) { goodbye.reason = reader.text(reason_size_max); }

void write(const AdmissionNews& news, Writer& writer) {
  assert(news.items.size() <= admission_items_max);
  writer.raw(news.digest);
  writer.varint(news.items.size());
  for (const Bytes& item : news.items) {
    assert(item.size() <= admission_item_size_max);
    writer.varint(item.size());
    writer.raw(item);
  }
}
void read(Reader& reader, AdmissionNews& news) {
  news.digest = reader.array<32>();
  const uint64_t count = reader.varint(admission_items_max);
  for (uint64_t i = 0; i < count && !reader.fault(); ++i) {
    const ByteView item = reader.raw(reader.varint(admission_item_size_max));
    news.items.emplace_back(item.begin(), item.end());
  }
}

void write(const Witness& witness, Writer& writer) {
  assert(witness.seen.size() <= sightings_max);
  writer.varint(witness.seen.size());
  for (const Sighting& sighting : witness.seen) {
    write_key(sighting.key, writer);
    writer.raw(sighting.hash);
  }
}
void read(Reader& reader, Witness& witness) {
  const uint64_t count = reader.varint(sightings_max);
  for (uint64_t i = 0; i < count && !reader.fault(); ++i) {
    Sighting sighting;
    sighting.key = read_key(reader);
    sighting.hash = reader.array<8>();
    witness.seen.push_back(sighting);
  }
}

void write(const JoinWalk& walk, Writer& writer) {
  writer.raw(walk.joiner.bytes);
  writer.varint(walk.hops);
}
void read(Reader& reader, JoinWalk& walk) {
  walk.joiner.bytes = reader.array<20>();
  walk.hops = static_cast<uint32_t>(reader.varint(walk_hops_bound));
}

void write_sample(const std::vector<PeerId>& sample, Writer& writer) {
  assert(sample.size() <= shuffle_sample_max);
  writer.varint(sample.size());
  for (const PeerId& peer : sample) writer.raw(peer.bytes);
}
std::vector<PeerId> read_sample(Reader& reader) {
  std::vector<PeerId> sample;
  const uint64_t count = reader.varint(shuffle_sample_max);
  for (uint64_t i = 0; i < count && !reader.fault(); ++i)
    sample.push_back(PeerId{reader.array<20>()});
  return sample;
}

void write(const ShuffleWalk& walk, Writer& writer) {
  writer.varint(walk.token);
  writer.varint(walk.hops);
  write_sample(walk.sample, writer);
}
void read(Reader& reader, ShuffleWalk& walk) {
  walk.token = reader.varint();
  walk.hops = static_cast<uint32_t>(reader.varint(walk_hops_bound));
  walk.sample = read_sample(reader);
}

void write(const ShuffleAnswer& answer, Writer& writer) {
  writer.varint(answer.token);
  write_sample(answer.sample, writer);
}
void read(Reader& reader, ShuffleAnswer& answer) {
  answer.token = reader.varint();
  answer.sample = read_sample(reader);
}

void write(const Disconnect&, Writer&) {}
void read(Reader&, Disconnect&) {}

void write(const Suspicion& suspicion, Writer& writer) {
  assert(suspicion.suspects.size() <= suspects_max);
  writer.varint(suspicion.suspects.size());
  for (const Suspect& suspect : suspicion.suspects) {
    writer.raw(suspect.peer.bytes);
    writer.varint(suspect.epoch);
    writer.varint(suspect.incarnation);
  }
}
void read(Reader& reader, Suspicion& suspicion) {
  const uint64_t count = reader.varint(suspects_max);
  for (uint64_t i = 0; i < count && !reader.fault(); ++i) {
    Suspect suspect;
    suspect.peer.bytes = reader.array<20>();
    suspect.epoch = reader.varint();
    suspect.incarnation = reader.varint();
    suspicion.suspects.push_back(suspect);
  }
}

template <typename T>
Message read_as(Reader& reader) {
  T message;
  read(reader, message);
  return message;
}

Message read_message(Reader& reader) {
  const uint8_t tag = reader.u8();
  switch (tag) {
    case 1:
      return read_as<Hello>(reader);
    case 2:
      return read_as<Members>(reader);
    case 3:
      return read_as<Heartbeat>(reader);
    case 4:
      return read_as<Pull>(reader);
    case 5:
      return read_as<SnapshotOffer>(reader);
    case 6:
      return read_as<ChunkRequest>(reader);
    case 7:
      return read_as<Chunk>(reader);
    case 8:
      return read_as<Goodbye>(reader);
    case 9:
      return read_as<AdmissionNews>(reader);
    case 10:
      return read_as<Witness>(reader);
    case 11:
      return read_as<JoinWalk>(reader);
    case 12:
      return read_as<ShuffleWalk>(reader);
    case 13:
      return read_as<ShuffleAnswer>(reader);
    case 14:
      return read_as<Disconnect>(reader);
    case 15:
      return read_as<Suspicion>(reader);
    default:  // a kind that a later version added; no version has a kind 0
      reader.fail(tag == 0 ? DropReason::malformed : DropReason::unknown_kind);
      return Goodbye{};
  }
}
static_assert(std::variant_size_v<Message> == 15,
              "the tag of a message is its place in Message, from 1");

}  // namespace

Bytes encode_message(const Message& message) {
  Writer writer;
  writer.u8(static_cast<uint8_t>(message.index() + 1));
  std::visit([&](const auto& content) { write(content, writer); }, message);
  return writer.take();
}

Result<Message, DropReason> decode_message(ByteView bytes) {
  Reader reader(bytes);
  Message message = read_message(reader);
  if (const auto fault = reader.finish()) return Unexpected{*fault};
  return message;
}

Bytes encode(const VersionVector& vector) {
  Writer writer;
  write_vector(vector, writer);
  return writer.take();
}

ShortHash hash_of(const VersionVector& vector) { return short_hash(blake2b(encode(vector))); }

Result<VersionVector, DropReason> decode_version_vector(ByteView bytes) {
  Reader reader(bytes);
  VersionVector vector = read_vector(reader);
  if (const auto fault = reader.finish()) return Unexpected{*fault};
  return vector;
}

MemberRecord sign_record(MemberRecord record, const Signer& signer) {
  Writer writer;
  write_record_fields(record, writer);
  record.signature = signer.sign(member_domain, writer.bytes());
  return record;
}

bool is_authentic(const MemberRecord& record, const SwarmId& swarm) {
  if (!is_plain_text(record.name, name_size_max) || record.addresses.size() > addresses_max)
    return false;
  for (const std::string& address : record.addresses) {
    if (!is_plain_text(address, address_size_max)) return false;
  }
  if (!check(record.membership, swarm)) return false;
  Writer writer;
  write_record_fields(record, writer);
  return verify(member_domain, writer.bytes(), record.signature, record.membership.identity);
}

}  // namespace starling::swarm
