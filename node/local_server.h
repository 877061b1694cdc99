#pragma once
// The local API: the Daemon interface as gRPC, on a unix socket in the node's directory. Nothing is
// decided here.
#include <memory>
#include <string>

#include "node/daemon.h"
#include "node/home.h"

namespace starling::node {

inline constexpr size_t local_upload_size_max = 64u << 20;  // bytes, one learn or eval
inline constexpr size_t local_chunk_size = 256u << 10;      // bytes, one piece of it
inline constexpr uint32_t local_watchers_max = 8;

struct LocalServerOptions {
  std::string directory;  // api.sock is made here (0600); only the owner may write to it
  std::string api;  // config node.api: "" or host:port on the loopback, served besides the socket
  uint32_t requests_max = 4;  // ask, learn, teach and evaluate at once
};

class LocalServer {
 public:
  // Requires the directory's HomeLock: a socket found there is a dead node's and is replaced.
  // `daemon` outlives the server. With `api`, api.token (0600) is written anew.
  // Errors: unreachable (address in use), permission (others may write to the directory),
  // cannot_create.
  static Result<std::unique_ptr<LocalServer>, HomeError> start(const LocalServerOptions& options,
                                                               Daemon& daemon);
  // Ends every call, then waits for the daemon's answers that are under way.
  virtual ~LocalServer() = default;
  virtual int port() const = 0;  // of the TCP address; 0: none
};

}  // namespace starling::node
