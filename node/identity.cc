// Grammar of identity.key (ASCII, 237 bytes, lower-case hexadecimal):
//   file     = title seed public checksum
//   title    = "starling-identity-v1" LF
//   seed     = "seed " 64 hex LF          ; Ed25519 seed (RFC 8032)
//   public   = "public " 64 hex LF        ; of that seed: a flipped bit of the seed is noticed
//   checksum = "checksum " 64 hex LF      ; BLAKE2b-256 of all lines before
// The file is written beside its place, fsynced and moved there without replacing, so that neither
// a crash nor a second process leaves half a key. Every buffer that holds the seed is libsodium's
// guarded, locked memory.
#include "node/identity.h"

#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "node/file.h"

namespace starling::node {

namespace {

constexpr std::string_view title = "starling-identity-v1\n";
constexpr std::string_view seed_word = "seed ";
constexpr std::string_view public_word = "public ";
constexpr std::string_view checksum_word = "checksum ";
constexpr size_t hex_size = 64;
constexpr size_t seed_at = title.size() + seed_word.size();
constexpr size_t public_at = seed_at + hex_size + 1 + public_word.size();
constexpr size_t summed_size = public_at + hex_size + 1;
constexpr size_t checksum_at = summed_size + checksum_word.size();
constexpr size_t text_size = checksum_at + hex_size + 1;

struct SodiumFree {
  void operator()(uint8_t* bytes) const { sodium_free(bytes); }
};
using GuardedBytes = std::unique_ptr<uint8_t[], SodiumFree>;

GuardedBytes guarded(size_t size) {
  return GuardedBytes(static_cast<uint8_t*>(sodium_malloc(size)));
}

constexpr const char* no_guarded_memory =
    "cannot reserve locked memory for the identity key; raise the limit (ulimit -l) or free some "
    "memory";

void put_hex(uint8_t* to, const uint8_t* from) {
  constexpr std::string_view digits = "0123456789abcdef";
  for (size_t i = 0; i < hex_size / 2; ++i) {
    *to++ = static_cast<uint8_t>(digits[from[i] >> 4]);
    *to++ = static_cast<uint8_t>(digits[from[i] & 15]);
  }
}

bool take_hex(uint8_t* to, const uint8_t* from) {
  for (size_t i = 0; i < hex_size; ++i) {
    const uint8_t c = from[i];
    const bool is_digit = c >= '0' && c <= '9';
    if (!is_digit && (c < 'a' || c > 'f')) return false;
    const auto value = static_cast<uint8_t>(is_digit ? c - '0' : c - 'a' + 10);
    to[i / 2] =
        i % 2 == 0 ? static_cast<uint8_t>(value << 4) : static_cast<uint8_t>(to[i / 2] | value);
  }
  return true;
}

void put_word(uint8_t* text, size_t at, std::string_view word) {
  std::memcpy(text + at, word.data(), word.size());
}
bool has_word(const uint8_t* text, size_t at, std::string_view word) {
  return std::memcmp(text + at, word.data(), word.size()) == 0;
}

void checksum(const uint8_t* text, uint8_t* digest) {
  crypto_generichash(digest, crypto_generichash_BYTES, text, summed_size, nullptr, 0);
}

// `secret` is libsodium's 64 bytes: seed, then public key.
void render(uint8_t* text, const uint8_t* secret) {
  std::memset(text, '\n', text_size);
  put_word(text, 0, title);
  put_word(text, title.size(), seed_word);
  put_hex(text + seed_at, secret);
  put_word(text, public_at - public_word.size(), public_word);
  put_hex(text + public_at, secret + crypto_sign_SEEDBYTES);
  put_word(text, summed_size, checksum_word);
  uint8_t digest[crypto_generichash_BYTES];
  checksum(text, digest);
  put_hex(text + checksum_at, digest);
}

// Null, or what is wrong with the text. `secret` is filled on success.
const char* parse(const uint8_t* text, uint8_t* secret) {
  if (!has_word(text, 0, title)) return "it does not begin with \"starling-identity-v1\"";
  uint8_t stated[crypto_generichash_BYTES];
  uint8_t digest[crypto_generichash_BYTES];
  checksum(text, digest);
  if (!has_word(text, summed_size, checksum_word) || !take_hex(stated, text + checksum_at) ||
      text[text_size - 1] != '\n' || sodium_memcmp(stated, digest, sizeof digest) != 0) {
    return "its checksum is wrong";
  }
  uint8_t stated_public[crypto_sign_PUBLICKEYBYTES];
  auto seed = guarded(crypto_sign_SEEDBYTES);
  if (!seed) return no_guarded_memory;
  if (!has_word(text, title.size(), seed_word) || !take_hex(seed.get(), text + seed_at) ||
      !has_word(text, public_at - public_word.size(), public_word) ||
      !take_hex(stated_public, text + public_at) || text[seed_at + hex_size] != '\n' ||
      text[summed_size - 1] != '\n') {
    return "its lines are malformed";
  }
  uint8_t real_public[crypto_sign_PUBLICKEYBYTES];
  crypto_sign_seed_keypair(real_public, secret, seed.get());
  if (sodium_memcmp(stated_public, real_public, sizeof real_public) != 0) {
    return "its public key does not belong to its seed";
  }
  return nullptr;
}

std::string damaged(const std::string& path, const std::string& what) {
  return path + ": damaged identity: " + what +
         "; restore this file from a backup, it cannot be made anew";
}

// Null text: the file may be used.
std::string permission_fault(const std::string& path, const struct stat& facts) {
  if (facts.st_uid != ::geteuid()) {
    return path + ": belongs to uid " + std::to_string(facts.st_uid) +
           ", but this process runs as uid " + std::to_string(::geteuid()) +
           "; run as its owner, or: chown " + std::to_string(::geteuid()) + " " + path;
  }
  if ((facts.st_mode & 077) != 0) {
    char mode[8];
    std::snprintf(mode, sizeof mode, "%04o", static_cast<unsigned>(facts.st_mode & 07777));
    return path + ": mode " + mode + " opens the secret key to other users; run: chmod 600 " + path;
  }
  return {};
}

}  // namespace

struct Identity::Secret {
  GuardedBytes bytes;
  swarm::PublicKey public_key{};

  // Null when there is no guarded memory.
  static std::unique_ptr<Secret> make() {
    auto secret = std::make_unique<Secret>();
    secret->bytes = guarded(crypto_sign_SECRETKEYBYTES);
    if (!secret->bytes) return nullptr;
    return secret;
  }
  // From here on a stray write into the key stops the process.
  void seal() {
    std::memcpy(public_key.data(), bytes.get() + crypto_sign_SEEDBYTES, public_key.size());
    sodium_mprotect_readonly(bytes.get());
  }
};

Identity::Identity(std::unique_ptr<Secret> secret) : secret_(std::move(secret)) {}
Identity::Identity(Identity&&) noexcept = default;
Identity& Identity::operator=(Identity&&) noexcept = default;
Identity::~Identity() = default;

Result<Identity, std::string> Identity::create(const std::string& path) {
  if (sodium_init() < 0)
    return Unexpected{std::string("libsodium cannot start: no source of random numbers")};
  auto secret = Secret::make();
  auto text = guarded(text_size);
  if (!secret || !text) return Unexpected{std::string(no_guarded_memory)};
  swarm::PublicKey key;
  crypto_sign_keypair(key.data(), secret->bytes.get());
  secret->seal();
  render(text.get(), secret->bytes.get());
  auto created = create_file(path, {text.get(), text_size}, 0600);
  if (!created && created.error().number == EEXIST) {
    return Unexpected{
        path + ": there is a key already, and keys are never replaced; choose another directory"};
  }
  if (!created) return Unexpected{created.error().message};
  return Identity(std::move(secret));
}

Result<Identity, std::string> Identity::load(const std::string& path) {
  if (sodium_init() < 0)
    return Unexpected{std::string("libsodium cannot start: no source of random numbers")};
  auto file = open_regular(path);
  if (!file && file.error().number == ENOENT) {
    return Unexpected{
        path + ": missing; restore it from a backup, or run starling init in an empty directory"};
  }
  if (!file) return Unexpected{file.error().message};
  struct stat facts {};
  if (::fstat(file->descriptor(), &facts) != 0) return Unexpected{file_error("read", path, errno)};
  const std::string fault = permission_fault(path, facts);
  if (!fault.empty()) return Unexpected{fault};
  const auto size = static_cast<uint64_t>(facts.st_size);
  if (size < text_size)
    return Unexpected{damaged(path, "truncated to " + std::to_string(size) + " bytes")};
  if (size > text_size) return Unexpected{damaged(path, "it is longer than an identity")};

  auto secret = Secret::make();
  auto text = guarded(text_size);
  if (!secret || !text) return Unexpected{std::string(no_guarded_memory)};
  auto read = read_exactly(*file, path, 0, {text.get(), text_size});
  if (!read) return Unexpected{read.error()};
  const char* wrong = parse(text.get(), secret->bytes.get());
  if (wrong == no_guarded_memory) return Unexpected{std::string(wrong)};
  if (wrong != nullptr) return Unexpected{damaged(path, wrong)};
  secret->seal();
  return Identity(std::move(secret));
}

const swarm::PublicKey& Identity::public_key() const { return secret_->public_key; }
swarm::PeerId Identity::id() const { return swarm::peer_id_of(secret_->public_key); }
swarm::Signer Identity::signer() const { return swarm::Signer(secret_->bytes.get()); }

}  // namespace starling::node
