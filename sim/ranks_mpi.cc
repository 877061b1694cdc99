// The same over MPI. Every exchange begins with one reduction that is alike for all of them, so
// that processes that have come apart notice it there and do not wait for each other for ever.
#include <mpi.h>

#include <array>
#include <cstdio>
#include <cstdlib>

#include "sim/plan.h"
#include "sim/ranks.h"

namespace starling::sim {
namespace {

constexpr int chunk_max = 1 << 30;  // bytes of one broadcast: MPI counts in int

bool is_started_by_mpi() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK"}) {
    if (std::getenv(name) != nullptr) return true;
  }
  return false;
}

uint64_t word_of(const std::string& text) {
  const swarm::Digest digest =
      swarm::blake2b({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  uint64_t word = 0;
  for (size_t i = 0; i < 8; ++i) word |= uint64_t{digest[i]} << (8 * i);
  return word;
}

bool is_equal_everywhere(uint64_t word) {
  std::array<uint64_t, 2> largest = {word, ~word};
  MPI_Allreduce(MPI_IN_PLACE, largest.data(), 2, MPI_UINT64_T, MPI_MAX, MPI_COMM_WORLD);
  return largest[0] == ~largest[1];
}

}  // namespace

struct Ranks::Session {
  ~Session() { MPI_Finalize(); }
};

Ranks::Ranks() = default;
Ranks::~Ranks() = default;
Ranks::Ranks(Ranks&&) noexcept = default;
Ranks& Ranks::operator=(Ranks&&) noexcept = default;

Ranks Ranks::join() {
  Ranks ranks;
  if (!is_started_by_mpi()) return ranks;
  int level = 0, rank = 0, count = 1;
  MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &level);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &count);
  ranks.session_ = std::make_unique<Session>();
  ranks.rank_ = static_cast<uint32_t>(rank);
  ranks.count_ = static_cast<uint32_t>(count);
  return ranks;
}

void Ranks::meet(uint64_t place) const {
  if (is_equal_everywhere(place)) return;
  std::fprintf(
      stderr,
      "starling sim: process %u of %u is elsewhere in the run than the others; start all of "
      "them on the same build and the same files\n",
      rank_, count_);
  MPI_Abort(MPI_COMM_WORLD, static_cast<int>(ExitCode::internal));
}

void Ranks::merge(uint64_t place, std::span<uint64_t> words) const {
  if (is_alone()) return;
  meet(place << 32 | words.size());
  if (words.empty()) return;
  MPI_Allreduce(MPI_IN_PLACE, words.data(), static_cast<int>(words.size()), MPI_UINT64_T, MPI_BOR,
                MPI_COMM_WORLD);
}

void Ranks::share(uint64_t place, uint32_t node, swarm::Bytes& bytes) const {
  if (is_alone()) return;
  meet(place << 32 | node);
  const int owner = static_cast<int>(node % count_);
  uint64_t size = bytes.size();
  MPI_Bcast(&size, 1, MPI_UINT64_T, owner, MPI_COMM_WORLD);
  bytes.resize(size);
  for (uint64_t at = 0; at < size; at += chunk_max) {
    const auto part = static_cast<int>(std::min<uint64_t>(chunk_max, size - at));
    MPI_Bcast(bytes.data() + at, part, MPI_BYTE, owner, MPI_COMM_WORLD);
  }
}

bool Ranks::is_same(const std::string& what) const {
  return is_alone() || is_equal_everywhere(word_of(what));
}

bool Ranks::is_any(bool flag) const {
  if (is_alone()) return flag;
  uint64_t any = flag ? 1 : 0;
  MPI_Allreduce(MPI_IN_PLACE, &any, 1, MPI_UINT64_T, MPI_MAX, MPI_COMM_WORLD);
  return any != 0;
}

}  // namespace starling::sim
