#pragma once
// The node's identity: an Ed25519 key in libsodium's guarded memory, stored in identity.key (mode
// 0600, created once, never replaced). A missing part, a wrong mode or a foreign owner is refused
// with the fix; never a new identity.
#include <memory>
#include <string>

#include "model/result.h"
#include "swarm/envelope.h"

namespace starling::node {

class Identity {
 public:
  // Errors are lines for the user: what, where, the fix.
  static Result<Identity, std::string> create(
      const std::string& path);  // O_EXCL: refuses to overwrite
  static Result<Identity, std::string> load(const std::string& path);
  Identity(Identity&&) noexcept;
  Identity& operator=(Identity&&) noexcept;
  ~Identity();

  const swarm::PublicKey& public_key() const;
  swarm::PeerId id() const;
  swarm::Signer signer() const;  // valid while this identity lives

 private:
  struct Secret;
  explicit Identity(std::unique_ptr<Secret> secret);
  std::unique_ptr<Secret> secret_;
};

}  // namespace starling::node
