// swarm_bench [--json] [--preset P] [--seconds S]: what a delta costs, in time and in bits.
// Speeds count every parameter of the model once: a delta of a million parameters encoded in a
// millisecond is a thousand million a second. Encode is compress(), decode is inspect_delta(), both
// at k = 1/16; apply adds it to base and x. Bits count the frame's header and signature.
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include <sodium.h>

#include "model/shape.h"
#include "swarm/base.h"
#include "tests/swarm/delta_fixture.h"

namespace {
using namespace starling;
using namespace starling::swarm;

using Clock = std::chrono::steady_clock;

struct Options {
  std::string preset = "tiny";
  double seconds = 1;  // per figure
  bool json = false;
};

// Calls `work` for about `seconds` and gives calls a second of the best tenth, which is what an
// undisturbed core does.
template <typename Work>
double best_rate(double seconds, Work work) {
  double best = 0;
  for (int tenth = 0; tenth < 10; ++tenth) {
    const auto start = Clock::now();
    double elapsed = 0;
    int calls = 0;
    while (elapsed < seconds / 10) {
      work();
      ++calls;
      elapsed = std::chrono::duration<double>(Clock::now() - start).count();
    }
    best = std::max(best, calls / elapsed);
  }
  return best;
}

struct Figures {
  double encode = 0, decode = 0, verify = 0, apply = 0;
  std::vector<double> bits;
};
constexpr double shares[] = {1.0 / 32, 1.0 / 16, 1.0 / 8, 1.0 / 4};

Figures measure(const model::RegionTable& table, double seconds) {
  const auto parameters = static_cast<double>(delta_test::size_of(table));
  const std::vector<float> d = delta_test::normal_delta(table, 1, 3e-3f);
  std::vector<float> work = d;
  Figures figures;
  for (const double share : shares) {
    work = d;
    const Compressed compressed = delta_test::compress_all(table, work, {.fraction = share});
    const double size = static_cast<double>(compressed.payload.size()) + header_size;
    figures.bits.push_back(8 * size / parameters);
  }
  // d is copied for each turn; the copy's share of the time is measured and taken away.
  const double copy =
      1 / best_rate(seconds / 4, [&] { std::copy(d.begin(), d.end(), work.begin()); });
  Compressed compressed;
  const double encode = 1 / best_rate(seconds, [&] {
                          std::copy(d.begin(), d.end(), work.begin());
                          compressed =
                              delta_test::compress_all(table, work, {.fraction = 1.0 / 16});
                        });
  figures.encode = parameters / (encode - copy);
  figures.decode = parameters * best_rate(seconds, [&] {
                     if (!inspect_delta(table, compressed.payload)) std::abort();
                   });
  Base base(table, std::vector<int32_t>(d.size(), 0));
  figures.apply = parameters * best_rate(seconds, [&] { base.apply(compressed.payload, work); });

  std::array<uint8_t, 32> seed{};
  std::array<uint8_t, 64> secret{};
  PublicKey key{};
  crypto_sign_seed_keypair(key.data(), secret.data(), seed.data());
  FrameHeader header;
  header.kind = FrameKind::delta;
  header.seq = 1;
  const Bytes frame = seal(header, compressed.payload, Signer(secret.data()));
  figures.verify = best_rate(seconds, [&] {
    if (!swarm::open(frame, header.swarm)) std::abort();
  });
  return figures;
}

void print(const Figures& figures, bool json) {
  const char* format =
      json ? "{\"encode_parameters_per_second\": %.0f, \"decode_parameters_per_second\": %.0f, "
             "\"bits_per_parameter\": {\"1/32\": %.4f, \"1/16\": %.4f, \"1/8\": %.4f, \"1/4\": "
             "%.4f}, "
             "\"verify_per_second\": %.0f, \"apply_parameters_per_second\": %.0f}\n"
           : "encode  %14.0f parameters/s\ndecode  %14.0f parameters/s\n"
             "bits a parameter at k 1/32 %.3f, 1/16 %.3f, 1/8 %.3f, 1/4 %.3f\n"
             "verify  %14.0f frames/s\napply   %14.0f parameters/s\n";
  std::printf(format, figures.encode, figures.decode, figures.bits[0], figures.bits[1],
              figures.bits[2], figures.bits[3], figures.verify, figures.apply);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const bool has_value = i + 1 < argc;
    if (argument == "--json") {
      options.json = true;
    } else if (argument == "--preset" && has_value) {
      options.preset = argv[++i];
    } else if (argument == "--seconds" && has_value && std::atof(argv[i + 1]) > 0) {
      options.seconds = std::atof(argv[++i]);
    } else {
      std::fprintf(stderr,
                   "usage: swarm_bench [--json] [--preset demo|tiny|small|base] [--seconds S]\n");
      return 64;
    }
  }
  const auto shape = model::shape_of_preset(options.preset);
  if (!shape) {
    std::fprintf(stderr, "swarm_bench: no preset \"%s\"; try demo, tiny, small or base\n",
                 options.preset.c_str());
    return 64;
  }
  print(measure(model::region_table(*shape), options.seconds), options.json);
  return 0;
}
