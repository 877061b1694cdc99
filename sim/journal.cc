#include "sim/journal.h"

#include <algorithm>
#include <cstdio>

#include "sim/trace.h"
#include "sim/world.h"

namespace starling::sim {
namespace {

constexpr double sent_bytes_per_parameter = 2;  // kept in a delta, at most about
constexpr uint64_t fixed_delta_bytes = 1024;

swarm::ByteView view_of(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

void absorb(Trace& trace, const std::vector<model::Pair>& pairs, const std::string& text) {
  trace.absorb(pairs.size());
  for (const model::Pair& pair : pairs) {
    trace.absorb(view_of(pair.prompt));
    trace.absorb(view_of(pair.answer));
  }
  trace.absorb(view_of(text));
}

}  // namespace

RunIdentity identity_of(const Scenario& scenario, const Lessons& lessons, uint64_t seed) {
  Scenario named = scenario;
  named.run.nodes = Scenario().run.nodes;
  // Files may lie elsewhere now: what is in them counts.
  for (std::string* path :
       {&named.learn.images, &named.learn.labels, &named.learn.table, &named.faults.churn_trace})
    path->clear();
  named.learn.texts.clear();
  Trace keys, pieces;
  keys.absorb(view_of(to_yaml(named)));
  for (const ChurnChange& change : scenario.faults.churn) {
    keys.absorb(static_cast<uint64_t>(micros_of_s(change.second)));
    keys.absorb(uint64_t{change.node} << 1 | (change.is_up ? 1 : 0));
  }
  for (const Lessons::Own& own : lessons.nodes) absorb(pieces, own.pairs, own.text);
  for (const Lessons::Test& test : lessons.tests) absorb(pieces, test.pairs, test.text);
  return {
      .nodes = scenario.run.nodes, .seed = seed, .scenario = keys.hex(), .lessons = pieces.hex()};
}

uint64_t run_checkpoint_size(const Scenario& scenario) {
  const Course course = make_course(scenario);
  if (!course.shape) return 4096;
  const uint64_t nodes = scenario.run.nodes, parameters = course.genesis.size();
  const bool has_disks = scenario.faults.until_s > 0 || scenario.run.log_deltas_max > 0;
  const uint64_t learner = parameters * 16 * (has_disks ? 2 : 1);  // error, weights, two moments
  const double share = std::min(scenario.learn.budget_fraction, 1.0 / static_cast<double>(nodes));
  const auto delta = fixed_delta_bytes + static_cast<uint64_t>(sent_bytes_per_parameter * share *
                                                               static_cast<double>(parameters));
  const uint64_t exchanges = scenario.learn.steps / scenario.learn.steps_per_exchange + 1;
  return nodes * (learner + exchanges * delta);
}

Journal::Journal(Options options, std::optional<RunCheckpoint> resumed)
    : options_(std::move(options)), is_replaying_(resumed.has_value()) {
  if (resumed) record_ = std::move(*resumed);
  record_.identity = options_.identity;
  record_.nodes.resize(options_.identity.nodes);
  places_.resize(is_replaying_ ? options_.identity.nodes : 0);
  next_save_ = micros_of_s(options_.every_s);
}

bool Journal::step(World& world) {
  if (is_replaying_) return world.events < record_.events || arrive(world);
  if (!options_.path.empty() && world.now >= next_save_) save(world);
  return true;
}

void Journal::finish(World& world, bool is_stopped) {
  if (failure_) return;
  // The checkpoint of a run's end.
  if (is_replaying_ && world.events == record_.events && !arrive(world)) return;
  if (is_replaying_ && !is_stopped)
    differ("it came to its end after " + std::to_string(world.events) + " events, before the " +
           std::to_string(record_.events) + " of the checkpoint");
  if (!is_replaying_ && !options_.path.empty()) save(world);
}

// ---- Back to where it was

// Empty when all that can be compared is the same.
std::string Journal::difference(const World& world) const {
  if (world.events != record_.events || world.trace_so_far() != record_.trace)
    return "its first " + std::to_string(record_.events) +
           " events are not those of the checkpoint";
  // One quality more than asked for was looked at when the run was stopped there.
  const size_t asked = record_.qualities.size();
  if (qualities_ > asked || qualities_ + 1 < asked) return "it has been asked at other times";
  for (size_t node = 0; node < places_.size(); ++node) {
    const Place& place = places_[node];
    const RunCheckpoint::Node& was = record_.nodes[node];
    if (place.is_beyond || place.slices != was.slices.size() ||
        place.publications != was.publications.size())
      return "node " + std::to_string(node) + " has learned otherwise";
  }
  return {};
}

bool Journal::arrive(World& world) {
  std::string found = difference(world);
  for (const auto& device : world.devices) {
    RunCheckpoint::Node& was = record_.nodes[device->index];
    if (found.empty() && !device->appear(was))
      found = "node " + std::to_string(device->index) + " does not fit";
    was.learner.reset();
    was.disk.reset();
  }
  if (world.ranks().is_any(!found.empty()))
    return differ(found.empty() ? "another process says so" : found), false;
  record_.qualities.resize(qualities_);
  is_replaying_ = false;
  next_save_ = world.now + micros_of_s(options_.every_s);
  return true;
}

void Journal::differ(const std::string& how) {
  failure_ = Failure{ExitCode::bad_data,
                     options_.resumed_from + ": this run is not the one that wrote it: " + how +
                         "; it was written by another build or on another kind of CPU: resume it "
                         "there, or start anew without --resume"};
}

// ---- What came of learning

Gain Journal::next_slice(uint32_t node) {
  Place& place = places_[node];
  const auto& slices = record_.nodes[node].slices;
  place.is_beyond = place.is_beyond || place.slices == slices.size();
  return place.is_beyond ? Gain() : slices[place.slices++];
}

Publication Journal::next_publication(uint32_t node) {
  Place& place = places_[node];
  const auto& publications = record_.nodes[node].publications;
  place.is_beyond = place.is_beyond || place.publications == publications.size();
  return place.is_beyond ? Publication() : publications[place.publications++];
}

double Journal::next_quality() {
  const size_t at = qualities_++;
  return at < record_.qualities.size() ? record_.qualities[at] : -1;
}

void Journal::add_slice(uint32_t node, const Gain& gain) {
  record_.nodes[node].slices.push_back(gain);
}

void Journal::add_publication(uint32_t node, Publication publication) {
  record_.nodes[node].publications.push_back(std::move(publication));
}

void Journal::add_quality(double quality) { record_.qualities.push_back(quality); }

// ---- Writing

// The learners as they stand, in the process that writes.
void Journal::gather(World& world) {
  const Ranks& ranks = world.ranks();
  for (const auto& device : world.devices) {
    RunCheckpoint::Node& node = record_.nodes[device->index];
    if (ranks.owns(device->index)) device->tell_presence(node);
    if (ranks.is_alone() || !world.course->shape) continue;
    swarm::Bytes bytes = encode_presence(node);
    ranks.share(world.events, device->index, bytes);
    if (ranks.is_first()) decode_presence(bytes, node);
  }
}

void Journal::save(World& world) {
  next_save_ = world.now + micros_of_s(options_.every_s);
  record_.events = world.events;
  record_.micros = static_cast<uint64_t>(world.now);
  record_.trace = world.trace_so_far();
  gather(world);
  const auto written = world.ranks().is_first() ? write_run_checkpoint(record_, options_.path)
                                                : Result<Done, Failure>(Done{});
  for (RunCheckpoint::Node& node : record_.nodes) {
    node.learner.reset();
    node.disk.reset();
  }
  // The run is worth more than this file; the one before is still there.
  if (!written)
    std::fprintf(stderr, "\nstarling sim: %s; the run goes on\n", written.error().message.c_str());
}

}  // namespace starling::sim
