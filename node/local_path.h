#pragma once
// A unix socket's name holds 107 bytes, and gRPC reads its addresses as URIs; a directory's path
// may be longer and hold anything. So the socket is named through an open descriptor of its
// directory.
#include <string>

namespace starling::node {

inline constexpr const char* api_socket_name = "api.sock";

class LocalPath {
 public:
  explicit LocalPath(const std::string& directory);
  LocalPath(LocalPath&& other) noexcept;
  LocalPath& operator=(LocalPath&& other) noexcept;
  ~LocalPath();
  bool is_open() const { return fd_ >= 0; }  // else errno says why
  int fd() const { return fd_; }
  // A name below it. Short; valid in this process while this object lives.
  std::string below(const std::string& name) const;
  std::string socket() const { return below(api_socket_name); }

 private:
  int fd_ = -1;
};

}  // namespace starling::node
