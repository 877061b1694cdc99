#pragma once
// The first bytes of a connection, looked at before anything else is: is this a TLS client that
// offers TLS 1.3? Our server prefers 1.3, so a client that offers it gets it, and TLS itself
// detects a downgrade: this check is how 1.3 is asserted, as gRPC 1.51 has no setting for it. It
// also keeps everything that is not TLS away from gRPC. Source: RFC 8446, sections 4.1.2, 4.2.1
// and 5.1.
#include <cstddef>
#include <cstdint>
#include <span>

namespace starling::node {

inline constexpr size_t client_hello_size_max = 8u << 10;  // bytes; ours take about 300

enum class HelloVerdict : uint8_t {
  incomplete,  // so far it may become one; `size` bytes are needed to go on
  tls13,
  old_tls,  // TLS, but 1.3 is not offered
  not_tls,
};
struct HelloCheck {
  HelloVerdict verdict = HelloVerdict::not_tls;
  size_t size =
      0;  // incomplete: bytes needed in all, more than were given, at most client_hello_size_max
};
// Thread: pure, any. A hello split over several records is taken for not_tls; no client of ours
// does that.
HelloCheck check_client_hello(std::span<const uint8_t> bytes);

}  // namespace starling::node
