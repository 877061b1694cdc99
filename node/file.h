#pragma once
// Files as the directory of a node needs them: whole small files read with a bound, replaced so
// that a reader (and a power cut) sees the old or the new one, never a mixture. Errors are lines
// for the user: what, where, what to do. Thread: any; nothing is shared.
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "model/result.h"
#include "swarm/bytes.h"

namespace starling::node {

// Owns a file descriptor.
class File {
 public:
  File() = default;
  explicit File(int descriptor) : descriptor_(descriptor) {}
  File(File&& other) noexcept : descriptor_(other.release()) {}
  File& operator=(File&& other) noexcept;
  ~File() { close(); }

  bool is_open() const { return descriptor_ >= 0; }
  int descriptor() const { return descriptor_; }
  int release();
  void close();

 private:
  int descriptor_ = -1;
};

// "cannot write PATH: No space left on device; free some space there". `number` is an errno.
std::string file_error(const std::string& action, const std::string& path, int number);

// Regular files only, never blocks on a pipe. `number` is 0 or the errno, for those who tell a
// missing file apart.
struct FileError {
  int number = 0;
  std::string message;
};
Result<File, FileError> open_regular(const std::string& path);

// Fills `bytes` from `offset`; a file that ends before is an error.
Result<Done, std::string> read_exactly(const File& file, const std::string& path, uint64_t offset,
                                       std::span<uint8_t> bytes);
Result<swarm::Bytes, FileError> read_file(const std::string& path, uint64_t size_max);

Result<Done, std::string> write_all(const File& file, const std::string& path,
                                    swarm::ByteView bytes);
Result<Done, std::string> sync_file(const File& file, const std::string& path);
Result<Done, std::string> sync_directory(const std::string& directory);
std::string directory_of(const std::string& path);

// Both write a temporary file beside `path`, fsync it, move it, fsync the directory; the temporary
// file is gone when they fail. create_file refuses a path that exists (EEXIST), atomically.
// Requires: one thread at a time per path.
Result<Done, std::string> replace_file(const std::string& path, swarm::ByteView bytes,
                                       uint32_t mode);
Result<Done, FileError> create_file(const std::string& path, swarm::ByteView bytes, uint32_t mode);
// Moves a file that is already on disk to a name that nothing has (else EEXIST), and fsyncs the
// directory.
Result<Done, FileError> move_new_file(const std::string& from, const std::string& to);
// path + ".tmp" + process id, which keeps two processes that write the same path apart.
std::string temporary_path(const std::string& path);
// The temporary files that a crash left in `directory`. Requires: nobody writes there (the home's
// lock, or the only owner).
void remove_temporaries(const std::string& directory);

// Names without "." and "..", sorted.
Result<std::vector<std::string>, FileError> list_directory(const std::string& directory);
uint64_t file_size(const std::string& path);  // bytes; 0: there is none
// The directory and its parents, 0700; one that exists stays as it is.
Result<Done, std::string> make_directory(const std::string& directory);

}  // namespace starling::node
