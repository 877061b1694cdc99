// A checkpoint's name is COUNTER-stepSTEP.SUFFIX, such as 00000012-step000345.ckpt. The counter
// grows by one with each file and decides which is the newest: clocks jump and steps go back after
// a rollback. The bytes: checkpoint_codec.cc.
#include "node/checkpoint_store.h"

#include <fcntl.h>
#include <sodium.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <optional>

#include "node/checkpoint_codec.h"
#include "node/file.h"

namespace starling::node {

namespace {

constexpr size_t piece_size =
    1u << 20;  // bytes hashed and written at a time, so that they are read once from memory
constexpr std::string_view unfinished = ".tmp";
constexpr std::string_view step_mark = "-step";

bool ends_with(const std::string& name, std::string_view end) {
  return name.size() >= end.size() && name.compare(name.size() - end.size(), end.size(), end) == 0;
}

// The counter of a name that file_name made; none for any other.
std::optional<uint64_t> counter_of(const std::string& name, const std::string& suffix) {
  if (!ends_with(name, suffix)) return std::nullopt;
  const std::string stem = name.substr(0, name.size() - suffix.size());
  const size_t mark = stem.find(step_mark);
  if (mark == std::string::npos || mark == 0 || mark > 18) return std::nullopt;
  const std::string counter = stem.substr(0, mark);
  const std::string step = stem.substr(mark + step_mark.size());
  const auto is_number = [](const std::string& text) {
    return !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
  };
  if (!is_number(counter) || !is_number(step)) return std::nullopt;
  return std::stoull(counter);  // at most 18 digits: it fits
}

std::string file_name(uint64_t counter, uint64_t step, const std::string& suffix) {
  char name[64];
  std::snprintf(name, sizeof name, "%08llu-step%06llu", static_cast<unsigned long long>(counter),
                static_cast<unsigned long long>(step));
  return name + suffix;
}

// Writes and hashes in one pass; nothing of the sections is copied.
class HashingWriter {
 public:
  HashingWriter(const File& file, const std::string& path) : file_(file), path_(path) {
    crypto_generichash_init(&hash_, nullptr, 0, checkpoint_digest_size);
  }
  Result<Done, std::string> write(swarm::ByteView bytes) {
    while (!bytes.empty()) {
      const swarm::ByteView piece = bytes.first(std::min(bytes.size(), piece_size));
      crypto_generichash_update(&hash_, piece.data(), piece.size());
      auto written = write_all(file_, path_, piece);
      if (!written) return written;
      bytes = bytes.subspan(piece.size());
    }
    return Done{};
  }
  Result<Done, std::string> finish() {
    swarm::Digest digest;
    crypto_generichash_final(&hash_, digest.data(), digest.size());
    return write_all(file_, path_, digest);
  }

 private:
  const File& file_;         // outlives the writer
  const std::string& path_;  // outlives the writer
  crypto_generichash_state hash_;
};

Result<Done, std::string> write_content(const File& file, const std::string& path,
                                        const CheckpointHeader& header,
                                        const std::vector<model::Section>& sections) {
  HashingWriter writer(file, path);
  auto written = writer.write(encode_checkpoint_header(header));
  for (size_t i = 0; i < sections.size() && written; ++i) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(sections[i].bytes.data());
    written = writer.write({bytes, sections[i].bytes.size()});
    const uint8_t zeros[8] = {};
    if (written) written = writer.write({zeros, (8 - sections[i].bytes.size() % 8) % 8});
  }
  if (written) written = writer.finish();
  if (written) written = sync_file(file, path);
  return written;
}

std::string hex(const Fingerprint& fingerprint) {
  char text[9];
  std::snprintf(text, sizeof text, "%02x%02x%02x%02x", fingerprint[0], fingerprint[1],
                fingerprint[2], fingerprint[3]);
  return text;
}

}  // namespace

CheckpointStore::CheckpointStore(std::string directory, std::string suffix, uint32_t kept,
                                 const std::array<uint8_t, 16>& fingerprint)
    : directory_(std::move(directory)),
      suffix_(std::move(suffix)),
      kept_(kept),
      fingerprint_(fingerprint) {
  assert(kept_ >= 1 && !suffix_.empty() && suffix_[0] == '.');
  // A directory that cannot be made is reported by the first write, which says why.
  if (!make_directory(directory_)) return;
  if (const auto names = list_directory(directory_)) {
    for (const std::string& name : *names) {
      if (ends_with(name, suffix_ + std::string(unfinished)))
        ::unlink((directory_ + "/" + name).c_str());
    }
  }
}

Result<std::string, std::string> CheckpointStore::write(
    uint64_t step, const std::vector<model::Section>& sections) {
  auto made = make_directory(directory_);
  if (!made) return Unexpected{made.error()};
  auto header = plan_checkpoint(fingerprint_, step, sections);
  if (!header)
    return Unexpected{"cannot write a checkpoint in " + directory_ + ": " + header.error()};
  const auto existing = list();
  const uint64_t counter =
      existing.empty() ? 1 : *counter_of(existing[0].substr(directory_.size() + 1), suffix_) + 1;
  const std::string path = directory_ + "/" + file_name(counter, step, suffix_);
  const std::string temporary = path + std::string(unfinished);

  File file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.is_open()) return Unexpected{file_error("create", temporary, errno)};
  auto written = write_content(file, temporary, *header, sections);
  file.close();
  if (written && ::rename(temporary.c_str(), path.c_str()) != 0) {
    written = Unexpected{file_error("create", path, errno)};
  }
  if (!written) {
    ::unlink(temporary.c_str());
    return Unexpected{written.error()};
  }
  auto synced = sync_directory(directory_);
  if (!synced) return Unexpected{synced.error()};
  // Older generations go only now that the new one is on disk under its name.
  for (size_t i = kept_ - 1; i < existing.size(); ++i) ::unlink(existing[i].c_str());
  return path;
}

Result<LoadedCheckpoint, std::string> CheckpointStore::load(const std::string& path) const {
  auto file = open_regular(path);
  if (!file) return Unexpected{file.error().message};
  const uint64_t size = file_size(path);
  LoadedCheckpoint loaded;
  loaded.path = path;
  // The header first: a foreign file of some GiB is refused without being read.
  loaded.file.resize(std::min<uint64_t>(size, checkpoint_header_size_max));
  auto read = read_exactly(*file, path, 0, loaded.file);
  if (!read) return Unexpected{read.error()};
  auto header = decode_checkpoint_header(loaded.file, size);
  if (!header) return Unexpected{path + ": " + header.error()};
  if (header->fingerprint != fingerprint_) {
    return Unexpected{path + ": of another model (fingerprint " + hex(header->fingerprint) +
                      ", this node's is " + hex(fingerprint_) + ")"};
  }
  loaded.file.resize(size);
  read = read_exactly(*file, path, 0, loaded.file);
  if (!read) return Unexpected{read.error()};
  header = check_checkpoint(loaded.file);
  if (!header) return Unexpected{path + ": " + header.error()};
  loaded.step = header->step;
  for (const CheckpointHeader::Entry& entry : header->entries) {
    const auto* bytes = reinterpret_cast<const std::byte*>(loaded.file.data() + entry.offset);
    loaded.sections.push_back({entry.name, {bytes, entry.size}});
  }
  return loaded;
}

Result<LoadedCheckpoint, std::string> CheckpointStore::load_newest(
    std::vector<std::string>& refused) const {
  const auto names = list_directory(directory_);
  if (!names && names.error().number != ENOENT) return Unexpected{names.error().message};
  for (size_t i = 0; names && i < names->size(); ++i) {
    const std::string& name = (*names)[i];
    if (!ends_with(name, suffix_) || counter_of(name, suffix_)) continue;
    refused.push_back(directory_ + "/" + name + ": not a name that this node gives");
  }
  const auto paths = list();
  for (const std::string& path : paths) {
    auto loaded = load(path);
    if (loaded) return loaded;
    refused.push_back(loaded.error());
  }
  if (paths.empty()) return Unexpected{"there is no " + suffix_ + " file in " + directory_};
  return Unexpected{"none of the " + std::to_string(paths.size()) + " " + suffix_ + " files in " +
                    directory_ + " can be used"};
}

std::vector<std::string> CheckpointStore::list() const {
  std::vector<std::pair<uint64_t, std::string>> found;
  if (const auto names = list_directory(directory_)) {
    for (const std::string& name : *names) {
      if (const auto counter = counter_of(name, suffix_))
        found.emplace_back(*counter, directory_ + "/" + name);
    }
  }
  std::sort(found.rbegin(), found.rend());
  std::vector<std::string> paths;
  for (auto& [counter, path] : found) paths.push_back(std::move(path));
  return paths;
}

uint64_t CheckpointStore::bytes() const {
  uint64_t total = 0;
  for (const std::string& path : list()) total += file_size(path);
  return total;
}

}  // namespace starling::node
