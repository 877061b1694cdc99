// A bundle read in pieces of any size, cut off, damaged, and with parts that do not belong.
#include <doctest/doctest.h>

#include "swarm/bundle.h"
#include "tests/swarm/wire_fixture.h"

namespace starling::swarm::wire_test {
namespace {

BundleHead some_head() { return {filled<16>(3), filled<16>(4), some_vector()}; }

std::vector<BundlePart> some_parts() {
  return {{BundlePartKind::message, {1, 2, 3}},
          {BundlePartKind::delta, Bytes(1000, 7)},
          {BundlePartKind::delta, {}}};
}

Bytes bundle_of(const std::vector<BundlePart>& parts) {
  BundleWriter writer;
  Bytes bytes = writer.head(some_head());
  for (const BundlePart& part : parts) bytes = joined({bytes, writer.part(part.kind, part.bytes)});
  return joined({bytes, writer.end()});
}

// The parts, or why not, when it comes in pieces of `piece_size`.
Result<std::vector<BundlePart>, BundleError> read_all(ByteView bytes, size_t piece_size) {
  BundleReader reader;
  std::vector<BundlePart> all;
  for (size_t at = 0; at < bytes.size(); at += piece_size) {
    auto parts = reader.take(bytes.subspan(at, std::min(piece_size, bytes.size() - at)));
    if (!parts) {
      CHECK(reader.take(bytes).error() == parts.error());  // nothing more is read
      return Unexpected{parts.error()};
    }
    for (BundlePart& part : *parts) all.push_back(std::move(part));
  }
  const auto whole = reader.finish();
  if (!whole) return Unexpected{whole.error()};
  REQUIRE(reader.head());
  CHECK(reader.head()->swarm == some_head().swarm);
  CHECK(reader.head()->fingerprint == some_head().fingerprint);
  CHECK(reader.head()->have == some_head().have);
  return all;
}

TEST_CASE("a bundle comes back whole, in whatever pieces it is read") {
  const Bytes bytes = bundle_of(some_parts());
  for (const size_t piece_size : {size_t{1}, size_t{7}, size_t{100}, bytes.size()}) {
    const auto parts = read_all(bytes, piece_size);
    REQUIRE(parts);
    REQUIRE(parts->size() == some_parts().size());
    for (size_t i = 0; i < parts->size(); ++i) {
      CHECK((*parts)[i].kind == some_parts()[i].kind);
      CHECK((*parts)[i].bytes == some_parts()[i].bytes);
    }
  }
}

TEST_CASE("a bundle that was cut off anywhere is truncated") {
  const Bytes bytes = bundle_of(some_parts());
  for (size_t size = 0; size < bytes.size(); ++size) {
    const auto parts = read_all(ByteView(bytes).first(size), 64);
    REQUIRE_FALSE(parts);
    CHECK(parts.error() == BundleError::truncated);
  }
}

TEST_CASE("a bundle of which any byte was changed is not read to its end") {
  const Bytes bytes = bundle_of(some_parts());
  for (size_t at = 0; at < bytes.size(); ++at) {
    Bytes changed = bytes;
    changed[at] ^= 0x40;
    CHECK_FALSE(read_all(changed, 64));
  }
}

TEST_CASE("parts that were moved, doubled or left out are found") {
  BundleWriter writer;
  const Bytes head = writer.head(some_head());
  const Bytes a = writer.part(BundlePartKind::delta, Bytes{1});
  const Bytes b = writer.part(BundlePartKind::delta, Bytes{2});
  const Bytes end = writer.end();
  CHECK(read_all(joined({head, a, b, end}), 64));
  for (const Bytes& wrong : {joined({head, b, a, end}), joined({head, a, end}),
                             joined({head, a, b, b, end}), joined({head, end})}) {
    const auto parts = read_all(wrong, 64);
    REQUIRE_FALSE(parts);
    CHECK(parts.error() == BundleError::damaged);
  }
}

TEST_CASE("what is no bundle, of a later version, too large or goes on after its end is refused") {
  const Bytes bytes = bundle_of(some_parts());
  const size_t head_size = BundleWriter().head(some_head()).size();
  const auto error_of = [](const Bytes& wrong) {
    const auto parts = read_all(wrong, wrong.size());
    REQUIRE_FALSE(parts);
    CHECK_FALSE(bundle_error_text(parts.error()).empty());
    return parts.error();
  };
  CHECK(error_of(bytes_of("PK\x03\x04 something else")) == BundleError::not_a_bundle);
  Bytes later = bytes;
  later[15] = 2;
  CHECK(error_of(later) == BundleError::bad_version);
  CHECK(error_of(joined({bytes, {0}})) == BundleError::malformed);
  Bytes unknown = bytes;
  unknown[head_size] = 9;
  CHECK(error_of(unknown) == BundleError::malformed);
  Bytes huge = bytes;  // a size of almost four GiB is refused before anything waits for it
  for (size_t i = 1; i <= 4; ++i) huge[head_size + i] = 0xff;
  CHECK(error_of(huge) == BundleError::malformed);
}

}  // namespace
}  // namespace starling::swarm::wire_test
