// Devices that compute a part of the model, or have less memory than the others.
#include "sim/equipment.h"

#include <doctest/doctest.h>

#include <bit>

#include "model/selector.h"
#include "sim/launcher.h"
#include "tests/sim/folder.h"
#include "tests/sim/world_run.h"

namespace starling::sim {
namespace {

std::string problem_of(const std::string& yaml) {
  const auto scenario = parse_scenario(yaml, "x.yaml");
  return scenario ? "" : scenario.error().message;
}

bool is_hosted(const Device& device, const model::Region& region) {
  const model::HostedSet& hosted = device.equipment.hosted;
  return region.kind != model::RegionKind::mlp || hosted.empty() ||
         (hosted[region.layer] >> region.index & 1) != 0;
}

std::string trace_of(const std::vector<std::string>& words) {
  Signals signals;
  std::vector<std::string> command = {STARLING_SIM_PROGRAM, "run"};
  command.insert(command.end(), words.begin(), words.end());
  const Output said = run(command, std::chrono::seconds(120), signals);
  INFO(said.text, said.errors);
  CHECK(said.exit.code == 0);
  return said.text.substr(said.text.rfind("trace "));
}

}  // namespace

TEST_CASE("what is hosted is what is always awake and as many others as were asked for") {
  const model::Shape shape = *shape_of(parse_scenario("learn: {model: demo}\n", "")->learn);
  Rng rng(3);
  const uint64_t awake = model::awake_set(shape);
  bool is_another = false;
  const model::HostedSet first = draw_hosted(shape, 2, rng);
  for (int i = 0; i < 20; ++i) {
    const model::HostedSet hosted = draw_hosted(shape, 2, rng);
    REQUIRE(hosted.size() == shape.layers);
    for (const uint64_t of_layer : hosted) {
      CHECK((of_layer & awake) == awake);
      CHECK(std::popcount(of_layer & ~awake) == 2);
      CHECK((of_layer >> shape.regions) == 0);
    }
    is_another = is_another || hosted != first;
  }
  CHECK(is_another);
}

TEST_CASE("less memory means fewer rows, then shorter ones, and at last none") {
  const model::Shape shape = *shape_of(Scenario().learn);
  const auto bytes = [&](uint32_t rows, uint32_t length) {
    return model::Trainer::memory_bytes(shape, trainer_options(), rows, length);
  };
  const Equipment usual = usual_equipment(Scenario().learn);
  REQUIRE(usual.rows == 8);
  REQUIRE(usual.length == 128);
  CHECK(fitted(shape, usual, bytes(8, 128))->rows == 8);
  CHECK(fitted(shape, usual, bytes(8, 128) - 1)->rows == 4);
  const auto one = fitted(shape, usual, bytes(1, 128));
  CHECK(one->rows == 1);
  CHECK(one->length == 128);
  const auto shorter = fitted(shape, usual, bytes(1, 128) - 1);
  CHECK(shorter->rows == 1);
  CHECK(shorter->length == 64);
  CHECK(fitted(shape, usual, bytes(1, 16))->length == 16);
  CHECK_FALSE(fitted(shape, usual, bytes(1, 16) - 1));
}

TEST_CASE("equipment that cannot be is refused with its line") {
  CHECK(problem_of("learn: {kind: synthetic}\ndevices: {hosting_share: 0.5}\n") ==
        "x.yaml:2: devices.hosting_share: needs a learn.kind that has a model, not synthetic");
  CHECK(problem_of("devices:\n  hosting_share: 0.5\n  hosted_regions: 3\n") ==
        "x.yaml:3: devices.hosted_regions: must be less than the 3 that a layer of learn.model "
        "micro can choose from");
  CHECK(problem_of("devices: {small_share: 0.5}\n") ==
        "x.yaml:1: devices.small_memory_mib: must be at least 2, as even one row of 16 symbols "
        "takes so much with learn.model micro");
  CHECK(problem_of("devices: {small_share: 0.5, small_memory_mib: 2}\n").empty());
  CHECK(problem_of("devices: {hosting_share: 0.5, hosted_regions: 2}\n").empty());
}

TEST_CASE("who hosts a part learns and sends nothing of the rest, and holds the sum of all") {
  const std::string yaml = micro + "run: {nodes: 6}\ndevices: {hosting_share: 0.5}\n";
  const Run run(yaml);
  run.check_all();
  CHECK(run.happened("devices_hosting_part") == 3);
  CHECK(run.world.checker.outcomes().at("sends_what_it_hosts").checks > 0);
  CHECK(run.world.checker.outcomes().at("same_base_everywhere").checks > 0);
  size_t left_out = 0, chosen = 0;
  for (const auto& device : run.world.devices) {
    const std::vector<float> activity = device->learner().activity();
    for (const model::Region& region : run.course.table) {
      if (region.kind != model::RegionKind::mlp) continue;
      if (is_hosted(*device, region)) {
        chosen += activity[region.id] > 0 ? 1 : 0;
        continue;
      }
      ++left_out;
      CHECK(activity[region.id] == 0);
      // The others' learning of it is in its sum all the same.
      bool has_moved = false;
      for (size_t i = region.offset; i < region.offset + region.count; ++i)
        has_moved =
            has_moved || device->learner().exchange().base().value(i) != run.course.genesis[i];
      CHECK(has_moved);
    }
    CHECK(device->learner().snapshot().hosted == device->equipment.hosted);
    CHECK(device->learner().shared_snapshot().hosted.empty());
  }
  CHECK(left_out == 6);  // two of four, of three nodes
  CHECK(chosen > 6);
  Run parallel(yaml, 1, 2);
  Run serial(yaml, 1, 1);
  CHECK(serial.world.trace() == parallel.world.trace());
}

TEST_CASE("a delta with a region that its sender does not host is seen") {
  Run run(micro + "run: {nodes: 2}\ndevices: {hosting_share: 0.5}\n");
  const Device& device = *run.world.devices[1];
  REQUIRE_FALSE(device.equipment.hosted.empty());
  swarm::DeltaSummary summary;
  for (const model::Region& region : run.course.table)
    summary.region_tokens.push_back({region.id, 1});
  run.world.checker.published(run.world, 1, summary, 0);
  const auto& seen = run.world.checker.outcomes().at("sends_what_it_hosts");
  CHECK(seen.failures == 2);
  CHECK(seen.first.find(", which it does not host") != std::string::npos);
}

TEST_CASE("devices with less memory learn from fewer rows, and are resumed with them") {
  const model::Shape shape = *shape_of(Scenario().learn);
  const uint64_t least = model::Trainer::memory_bytes(shape, trainer_options(), 1, 32);
  const std::string memory = std::to_string(static_cast<double>(least + 16) / (1 << 20));
  const std::string devices = "devices: {small_share: 0.5, small_memory_mib: " + memory;
  const Run run(micro + "run: {nodes: 4}\n" + devices + "}\n");
  run.check_all();
  CHECK(run.happened("devices_small") == 2);
  size_t small = 0;
  for (const auto& device : run.world.devices) {
    const Equipment& its = device->equipment;
    const bool is_less = its.rows == 1 && its.length == 32;
    small += is_less ? 1 : 0;
    if (!is_less) CHECK(its.rows == 2);
    if (!is_less) CHECK(its.length == 64);
  }
  CHECK(small == 2);

  Folder folder;
  const std::string kept = folder / "run.checkpoint";
  const std::string scenario =
      folder.write("small.yaml", micro + "run: {nodes: 4}\n" + devices + ", hosting_share: 0.5}\n");
  const std::string whole = trace_of({scenario});
  trace_of({scenario, "--until", "2", "--checkpoint", kept});
  CHECK(trace_of({scenario, "--resume", kept}) == whole);
}

}  // namespace starling::sim
