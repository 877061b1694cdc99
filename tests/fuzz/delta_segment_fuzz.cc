// A segment of the log of any bytes: records and gaps together are the whole of it. And a whole
// record between any two heaps of rubbish: it is found, unless the search was given up.
#include <algorithm>
#include <cassert>

#include "node/delta_segment.h"

namespace {
using namespace starling;

node::SegmentScan expect_complete(const swarm::Bytes& bytes) {
  const auto scan = node::scan_segment(bytes);
  uint64_t at = 0;
  auto gap = scan.gaps.begin();
  const auto skip_gap = [&] {
    if (gap == scan.gaps.end() || gap->offset != at) return;
    assert(gap->size > 0);
    at += gap->size;
    ++gap;
  };
  for (const auto& record : scan.records) {
    skip_gap();
    assert(record.offset == at);
    const auto head = node::decode_record(swarm::ByteView(bytes).subspan(at));
    assert(head && head->key == record.head.key);
    const auto frame =
        swarm::ByteView(bytes).subspan(at + node::record_head_size, head->frame_size);
    const auto again = node::encode_record(*head, frame);
    assert(std::equal(again.begin(), again.end(), bytes.begin() + static_cast<ptrdiff_t>(at)));
    at += head->record_size();
  }
  skip_gap();
  assert(at == bytes.size() && gap == scan.gaps.end());
  return scan;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const swarm::ByteView input(bytes, size);
  expect_complete({input.begin(), input.end()});

  if (size < 2) return 0;
  const size_t front_size = std::min<size_t>(bytes[0] * 4u, size - 1);
  const auto front = input.subspan(1, front_size);
  const auto rest = input.subspan(1 + front_size);
  const auto frame = rest.first(rest.size() / 2);
  node::RecordHead head;
  head.frame_size = static_cast<uint32_t>(frame.size());
  head.key.seq = 77;
  const auto record = node::encode_record(head, frame);
  swarm::Bytes buried(front.begin(), front.end());
  buried.insert(buried.end(), record.begin(), record.end());
  const auto back = rest.subspan(frame.size());
  buried.insert(buried.end(), back.begin(), back.end());
  const auto scan = expect_complete(buried);
  const bool is_found =
      std::any_of(scan.records.begin(), scan.records.end(), [&](const auto& found) {
        return found.offset <= front.size() &&
               found.offset + found.head.record_size() >= front.size() + record.size();
      });
  assert(is_found || scan.is_given_up);
  return 0;
}
