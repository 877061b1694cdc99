#include "node/delta_store.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <set>
#include <utility>

#include "node/delta_segment.h"
#include "node/file.h"

namespace starling::node {

namespace {

constexpr uint64_t segment_size_max = 8u << 20;  // bytes; then the next one is begun
constexpr uint64_t segment_size_min =
    64u << 10;  // of a log with a small bound, which has 16 segments at least
constexpr uint64_t segment_file_size_max =
    uint64_t{segment_size_max} + 2 * record_frame_size_max;  // else not ours
constexpr uint64_t overrun_factor_max = 2;  // append refuses beyond this multiple of bytes_max

std::string segment_name(uint64_t number) {
  char name[32];
  std::snprintf(name, sizeof name, "%08llu.seg", static_cast<unsigned long long>(number));
  return name;
}

// 0: not a name of ours.
uint64_t segment_number(const std::string& name) {
  if (name.size() < 12 || name.size() > 20 || name.substr(name.size() - 4) != ".seg") return 0;
  uint64_t number = 0;
  for (const char c : name.substr(0, name.size() - 4)) {
    if (c < '0' || c > '9') return 0;
    number = number * 10 + static_cast<uint64_t>(c - '0');
  }
  return segment_name(number) == name ? number : 0;
}

std::string key_text(const swarm::DeltaKey& key) {
  return "delta " + std::to_string(key.seq) + " of " + swarm::short_string(key.stream.origin) +
         " (epoch " + std::to_string(key.stream.epoch) + ")";
}

std::string mib(uint64_t bytes) { return std::to_string((bytes + (1u << 19)) >> 20) + " MiB"; }

struct Place {
  uint64_t segment = 0;  // number
  uint64_t offset = 0;   // of the record
  uint32_t frame_size = 0;
  std::array<uint8_t, 16> hash{};
};

}  // namespace

struct DeltaStore::Parts {
  std::string directory;
  uint64_t bytes_max = 0;
  uint64_t segment_size = 0;  // bytes
  std::array<uint8_t, 16> swarm{};

  mutable std::mutex mutex;  // guards everything below
  std::map<swarm::DeltaKey, Place> index;
  std::map<uint64_t, uint64_t> segments;  // number to bytes on disk
  uint64_t total = 0;                     // bytes of all segments
  uint64_t current = 0;  // number of the segment being written; 0: the next append begins one
  File file;             // of `current`
  std::set<uint64_t> unsynced;  // numbers
  std::string sync_fault;

  std::string path(uint64_t number) const { return directory + "/" + segment_name(number); }
  void scan(uint64_t number, bool is_last, std::vector<std::string>& reports);
  void cut_tail(uint64_t number, uint64_t size, std::vector<std::string>& reports);
  Result<Done, std::string> begin_segment();
  Result<Done, std::string> write_record(const swarm::Bytes& record);
  bool is_covered(uint64_t number, const swarm::VersionVector& covered) const;
  std::vector<swarm::DeltaKey> drop(uint64_t number);
};

// Reads one segment into the index. A fault of one file is a report, and the other segments are
// used.
void DeltaStore::Parts::scan(uint64_t number, bool is_last, std::vector<std::string>& reports) {
  const std::string file_path = path(number);
  auto bytes = read_file(file_path, segment_file_size_max);
  if (!bytes) {
    reports.push_back(bytes.error().message + "; its deltas are pulled again");
    segments[number] = file_size(file_path);
    return;
  }
  const SegmentScan found = scan_segment(*bytes);
  uint64_t foreign = 0;
  for (const SegmentScan::Found& record : found.records) {
    if (record.head.swarm != swarm) {
      ++foreign;
      continue;
    }
    // A key that was written twice was damaged the first time: the later one counts.
    index[record.head.key] = {number, record.offset, record.head.frame_size, record.head.hash};
  }
  segments[number] = bytes->size();
  for (const SegmentScan::Gap& gap : found.gaps) {
    const bool is_tail = gap.offset + gap.size == bytes->size();
    if (is_last && is_tail && !found.is_given_up) {
      cut_tail(number, gap.offset, reports);
    } else {
      reports.push_back(file_path + ": " + std::to_string(gap.size) + " damaged bytes at " +
                        std::to_string(gap.offset) + " skipped; what they held is pulled again");
    }
  }
  if (foreign != 0) {
    reports.push_back(file_path + ": " + std::to_string(foreign) +
                      " deltas of another swarm skipped");
  }
  if (is_last && !found.is_given_up && segments[number] < segment_size) current = number;
}

// What a crash left of an unfinished record.
void DeltaStore::Parts::cut_tail(uint64_t number, uint64_t size,
                                 std::vector<std::string>& reports) {
  const std::string file_path = path(number);
  const uint64_t cut = segments[number] - size;
  if (::truncate(file_path.c_str(), static_cast<off_t>(size)) == 0) {
    segments[number] = size;
    reports.push_back(file_path + ": cut " + std::to_string(cut) +
                      " bytes of an unfinished record at its end");
  } else {
    reports.push_back(file_error("cut the unfinished record off", file_path, errno));
  }
}

DeltaStore::DeltaStore(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
DeltaStore::~DeltaStore() = default;

Result<std::unique_ptr<DeltaStore>, std::string> DeltaStore::open(
    const std::string& directory, uint64_t bytes_max, const std::array<uint8_t, 16>& swarm,
    std::vector<std::string>& reports) {
  auto made = make_directory(directory);
  if (!made) return Unexpected{made.error()};
  auto names = list_directory(directory);
  if (!names) return Unexpected{names.error().message};
  auto parts = std::make_unique<Parts>();
  parts->directory = directory;
  parts->bytes_max = bytes_max;
  parts->segment_size = std::clamp(bytes_max / 16, segment_size_min, segment_size_max);
  parts->swarm = swarm;
  std::vector<uint64_t> numbers;
  for (const std::string& name : *names) {
    if (const uint64_t number = segment_number(name)) numbers.push_back(number);
  }
  std::sort(numbers.begin(), numbers.end());
  for (const uint64_t number : numbers) {
    parts->scan(number, number == numbers.back(), reports);
    parts->total += parts->segments[number];
  }
  if (parts->current != 0) {
    const std::string path = parts->path(parts->current);
    parts->file = File(::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
    if (!parts->file.is_open()) return Unexpected{file_error("write", path, errno)};
    parts->unsynced.insert(parts->current);
  }
  return std::unique_ptr<DeltaStore>(new DeltaStore(std::move(parts)));
}

Result<Done, std::string> DeltaStore::Parts::begin_segment() {
  const uint64_t number = segments.empty() ? 1 : segments.rbegin()->first + 1;
  const std::string file_path = path(number);
  File made(::open(file_path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!made.is_open()) return Unexpected{file_error("create", file_path, errno)};
  file = std::move(made);
  current = number;
  segments[number] = 0;
  unsynced.insert(number);
  return Done{};
}

// Whole or not at all: what a full disk took of the record is cut off again.
Result<Done, std::string> DeltaStore::Parts::write_record(const swarm::Bytes& record) {
  const uint64_t before = segments[current];
  auto written = write_all(file, path(current), record);
  if (!written) {
    if (::ftruncate(file.descriptor(), static_cast<off_t>(before)) != 0) {
      current =
          0;  // the next record goes to a new segment; this tail is skipped when the log is opened
      file.close();
    }
    return written;
  }
  segments[current] = before + record.size();
  total += record.size();
  unsynced.insert(current);
  return Done{};
}

Result<Done, std::string> DeltaStore::append(const swarm::DeltaKey& key, swarm::ByteView frame) {
  const auto opened =
      frame.size() <= record_frame_size_max
          ? swarm::open(frame, parts_->swarm)
          : Result<swarm::Opened, swarm::DropReason>(Unexpected{swarm::DropReason::oversized});
  if (!opened) {
    return Unexpected{"the log does not take " + key_text(key) + ": " +
                      std::string(swarm::drop_reason_name(opened.error()))};
  }
  const swarm::FrameHeader& header = opened->header;
  if (header.kind != swarm::FrameKind::delta ||
      swarm::peer_id_of(header.origin) != key.stream.origin || header.epoch != key.stream.epoch ||
      header.seq != key.seq) {
    return Unexpected{"the log does not take " + key_text(key) + ": the frame is another one"};
  }
  RecordHead head;
  head.frame_size = static_cast<uint32_t>(frame.size());
  head.swarm = parts_->swarm;
  head.key = key;
  std::copy_n(header.payload_hash.begin(), head.hash.size(), head.hash.begin());
  const swarm::Bytes record = encode_record(head, frame);

  std::lock_guard lock(parts_->mutex);
  if (!parts_->sync_fault.empty()) return Unexpected{std::exchange(parts_->sync_fault, {})};
  if (parts_->index.contains(key)) return Done{};
  if (parts_->total + record.size() > overrun_factor_max * parts_->bytes_max) {
    return Unexpected{"the log " + parts_->directory + " holds " + mib(parts_->total) +
                      ", its bound is " + mib(parts_->bytes_max) +
                      " and no snapshot covers its oldest deltas yet; raise limits.disk_mib"};
  }
  const bool is_full = parts_->current != 0 && parts_->segments[parts_->current] != 0 &&
                       parts_->segments[parts_->current] + record.size() > parts_->segment_size;
  if (parts_->current == 0 || is_full) {
    auto begun = parts_->begin_segment();
    if (!begun) return begun;
  }
  const Place place{parts_->current, parts_->segments[parts_->current], head.frame_size, head.hash};
  auto written = parts_->write_record(record);
  if (written) parts_->index[key] = place;
  return written;
}

Result<swarm::Bytes, std::string> DeltaStore::read(const swarm::DeltaKey& key) const {
  File file;
  Place place;
  std::string path;
  {
    // Opened under the lock: a segment that trim unlinks afterwards can still be read.
    std::lock_guard lock(parts_->mutex);
    const auto found = parts_->index.find(key);
    if (found == parts_->index.end()) {
      return Unexpected{key_text(key) + " is not in the log " + parts_->directory};
    }
    place = found->second;
    path = parts_->path(place.segment);
    auto opened = open_regular(path);
    if (!opened) return Unexpected{opened.error().message};
    file = std::move(*opened);
  }
  swarm::Bytes frame(place.frame_size);
  auto read = read_exactly(file, path, place.offset + record_head_size, frame);
  if (read) {
    const auto opened = swarm::open(frame, parts_->swarm);
    if (opened && swarm::peer_id_of(opened->header.origin) == key.stream.origin &&
        opened->header.epoch == key.stream.epoch && opened->header.seq == key.seq) {
      return frame;
    }
    read = Unexpected{path + ": " + key_text(key) + " is damaged on disk; it is pulled again"};
  }
  std::lock_guard lock(parts_->mutex);
  const auto found = parts_->index.find(key);
  if (found != parts_->index.end() && found->second.offset == place.offset &&
      found->second.segment == place.segment) {
    parts_->index.erase(found);
  }
  return Unexpected{read.error()};
}

std::vector<DeltaStore::Entry> DeltaStore::entries() const {
  std::lock_guard lock(parts_->mutex);
  std::vector<std::pair<const swarm::DeltaKey*, const Place*>> order;
  for (const auto& [key, place] : parts_->index) order.emplace_back(&key, &place);
  std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
    return std::pair(a.second->segment, a.second->offset) <
           std::pair(b.second->segment, b.second->offset);
  });
  std::vector<Entry> entries;
  entries.reserve(order.size());
  for (const auto& [key, place] : order) entries.push_back({*key, place->hash, place->frame_size});
  return entries;
}

bool DeltaStore::Parts::is_covered(uint64_t number, const swarm::VersionVector& covered) const {
  return std::all_of(index.begin(), index.end(), [&](const auto& item) {
    return item.second.segment != number || covered.contains(item.first);
  });
}

std::vector<swarm::DeltaKey> DeltaStore::Parts::drop(uint64_t number) {
  std::vector<swarm::DeltaKey> dropped;
  for (auto item = index.begin(); item != index.end();) {
    if (item->second.segment != number) {
      ++item;
      continue;
    }
    dropped.push_back(item->first);
    item = index.erase(item);
  }
  ::unlink(path(number).c_str());
  total -= segments[number];
  segments.erase(number);
  unsynced.erase(number);
  return dropped;
}

std::vector<swarm::DeltaKey> DeltaStore::trim(const swarm::VersionVector& covered) {
  std::lock_guard lock(parts_->mutex);
  std::vector<swarm::DeltaKey> dropped;
  while (parts_->total > parts_->bytes_max && !parts_->segments.empty()) {
    const uint64_t oldest = parts_->segments.begin()->first;
    if (oldest == parts_->current || !parts_->is_covered(oldest, covered)) break;
    const auto keys = parts_->drop(oldest);
    dropped.insert(dropped.end(), keys.begin(), keys.end());
  }
  return dropped;
}

uint64_t DeltaStore::bytes() const {
  std::lock_guard lock(parts_->mutex);
  return parts_->total;
}

void DeltaStore::sync() {
  std::set<uint64_t> numbers;
  {
    std::lock_guard lock(parts_->mutex);
    numbers.swap(parts_->unsynced);
  }
  // Without the lock: an fsync may take a second on a memory card, and the protocol thread appends
  // meanwhile.
  for (const uint64_t number : numbers) {
    const std::string path = parts_->path(number);
    auto file = open_regular(path);
    if (!file && file.error().number == ENOENT) continue;  // trimmed meanwhile
    auto synced =
        file ? sync_file(*file, path) : Result<Done, std::string>(Unexpected{file.error().message});
    if (synced) continue;
    std::lock_guard lock(parts_->mutex);
    parts_->unsynced.insert(number);
    parts_->sync_fault = synced.error();
  }
  Result<Done, std::string> synced = Done{};
  if (!numbers.empty()) synced = sync_directory(parts_->directory);
  if (!synced) {
    std::lock_guard lock(parts_->mutex);
    parts_->sync_fault = synced.error();
  }
}

}  // namespace starling::node
