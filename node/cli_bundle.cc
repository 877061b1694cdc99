// export, import: deltas in a file, from one member to another that no link reaches.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "node/cli_verbs.h"
#include "node/file.h"
#include "node/local_server.h"
#include "swarm/bundle.h"
#include "swarm/codec.h"

namespace starling::node {

namespace {

using Json = nlohmann::ordered_json;

// An encoded version vector: what the maker of that bundle had.
Answer<std::string> had_by(const std::string& bundle) {
  std::ifstream file(bundle, std::ios::binary);
  if (!file)
    return Unexpected{
        HomeError{ExitCode::bad_data, bundle + ": cannot be read: " + std::strerror(errno)}};
  swarm::BundleReader reader;
  std::string piece(local_chunk_size, '\0');
  while (!reader.head() &&
         (file.read(piece.data(), static_cast<std::streamsize>(piece.size())) || file.gcount())) {
    const auto count = static_cast<size_t>(file.gcount());
    const auto parts = reader.take(
        std::vector<uint8_t>(piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(count)));
    if (!parts)
      return Unexpected{HomeError{ExitCode::bad_data,
                                  bundle + ": " + std::string(bundle_error_text(parts.error()))}};
  }
  if (!reader.head())
    return Unexpected{
        HomeError{ExitCode::bad_data,
                  bundle + ": " + std::string(bundle_error_text(swarm::BundleError::truncated))}};
  const swarm::Bytes vector = swarm::encode(reader.head()->have);
  return std::string(vector.begin(), vector.end());
}

// A file that is there under its name only when all of it is on disk.
class NewFile {
 public:
  explicit NewFile(const std::string& path)
      : path_(path),
        temporary_(temporary_path(path)),
        file_(::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)) {
    if (!file_.is_open()) error_ = file_error("create", temporary_, errno);
  }
  ~NewFile() {
    if (file_.is_open()) unlink(temporary_.c_str());
  }
  bool add(const std::string& bytes) {
    if (!error_.empty()) return false;
    const auto done =
        write_all(file_, temporary_, std::vector<uint8_t>(bytes.begin(), bytes.end()));
    if (!done) error_ = done.error();
    size_ += bytes.size();
    return error_.empty();
  }
  Answer<Done> finish(bool is_forced) {
    if (error_.empty()) {
      if (const auto synced = sync_file(file_, temporary_); !synced) error_ = synced.error();
    }
    if (!error_.empty()) return Unexpected{HomeError{ExitCode::cannot_create, error_}};
    if (!is_forced) {
      const auto moved = move_new_file(temporary_, path_);
      if (!moved) return Unexpected{HomeError{ExitCode::cannot_create, moved.error().message}};
    } else if (rename(temporary_.c_str(), path_.c_str()) != 0) {
      return Unexpected{HomeError{ExitCode::cannot_create, file_error("write", path_, errno)}};
    }
    file_.close();
    return Done{};
  }
  const std::string& error() const { return error_; }
  uint64_t size() const { return size_; }

 private:
  std::string path_, temporary_;
  File file_;
  std::string error_;
  uint64_t size_ = 0;  // bytes
};

std::string counted(uint64_t count, const char* what) {
  return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

void print(Cli& cli, const v1::ExportedDeltas& done, const std::string& file, uint64_t bytes) {
  if (cli.options.is_json) {
    return print_json(cli, {{"file", file},
                            {"bytes", bytes},
                            {"deltas", done.deltas()},
                            {"members", done.members()},
                            {"folded", done.folded()}});
  }
  cli.console.out << "wrote " << presentable(cli, file) << ": " << counted(done.deltas(), "delta")
                  << " of " << counted(done.members(), "member") << ", " << bytes << " bytes\n";
  if (done.folded() == 0) return;
  say(cli, counted(done.folded(), "older delta") +
               " are not in it: the log no longer holds them. Whoever lacks them too must link to "
               "a member once");
}

void print(Cli& cli, const v1::ImportDeltasResponse& done) {
  uint64_t refused = 0;
  Json reasons = Json::object();
  std::string listed;
  for (const auto& [reason, count] : std::map<std::string, uint64_t>(
           done.refused_by_reason().begin(), done.refused_by_reason().end())) {
    refused += count;
    reasons[reason] = count;
    listed += (listed.empty() ? "" : ", ") + reason + " " + std::to_string(count);
  }
  if (cli.options.is_json) {
    return print_json(cli, {{"new", done.added()},
                            {"known", done.known()},
                            {"refused", refused},
                            {"refused_by_reason", reasons}});
  }
  cli.console.out << done.added() << " new, " << done.known() << " known, " << refused
                  << " refused\n";
  if (!listed.empty()) say(cli, "refused: " + listed);
}

}  // namespace

ExitCode export_verb(Cli& cli, const ExportArguments& arguments) {
  if (!arguments.is_forced && access(arguments.file.c_str(), F_OK) == 0) {
    return fail(cli, {ExitCode::cannot_create,
                      arguments.file + ": is there already; give another name, or --force"});
  }
  v1::ExportDeltasRequest request;
  if (!arguments.since.empty()) {
    const auto had = had_by(arguments.since);
    if (!had) return fail(cli, had.error());
    request.set_since(*had);
  }
  auto client = connect(cli);
  if (!client) return fail(cli, client.error());
  NewFile file(arguments.file);
  if (!file.error().empty()) return fail(cli, {ExitCode::cannot_create, file.error()});
  const auto done =
      client->export_deltas(request, [&file](const std::string& bytes) { return file.add(bytes); });
  if (!file.error().empty()) return fail(cli, {ExitCode::cannot_create, file.error()});
  if (!done) return fail(cli, done.error());
  if (const auto kept = file.finish(arguments.is_forced); !kept) return fail(cli, kept.error());
  print(cli, *done, arguments.file, file.size());
  return ExitCode::ok;
}

ExitCode import_verb(Cli& cli, const std::string& path) {
  const auto file = open_regular(path);
  if (!file) return fail(cli, {ExitCode::bad_data, file.error().message});
  auto client = connect(cli);
  if (!client) return fail(cli, client.error());
  std::string error;
  std::string piece(local_chunk_size, '\0');
  const auto next = [&]() -> std::optional<std::string> {
    const ssize_t count = read(file->descriptor(), piece.data(), piece.size());
    if (count < 0) error = file_error("read", path, errno);
    if (count <= 0) return std::nullopt;
    return piece.substr(0, static_cast<size_t>(count));
  };
  const auto done = client->import_deltas(next);
  if (!error.empty()) return fail(cli, {ExitCode::bad_data, error});
  if (!done) return fail(cli, {done.error().code, path + ": " + done.error().message});
  print(cli, *done);
  return ExitCode::ok;
}

}  // namespace starling::node
