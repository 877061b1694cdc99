#pragma once
// gRPC settings that both ends of a connection between peers must agree on.

namespace starling::node {

inline constexpr int metadata_size_max = 4096;  // bytes
inline constexpr int keepalive_interval_ms = 30000;
inline constexpr int keepalive_timeout_ms = 10000;
inline constexpr int message_size_extra = 16;  // bytes around a frame in its message
inline constexpr char link_metadata_key[] =
    "starling-link";  // sent by the server once the stream is the link

}  // namespace starling::node
