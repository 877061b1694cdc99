#include "sim/baselines.h"

#include <algorithm>
#include <cassert>

#include "model/parallel.h"
#include "sim/chance.h"
#include "sim/mixing.h"

namespace starling::sim {
namespace {

constexpr float statistics_rate_alone = 0.3f;  // as in a node without a swarm
constexpr float beta1_alone = 0.9f;
constexpr size_t probes_max = 8;

double mean_of(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return values.empty() ? 0 : sum / static_cast<double>(values.size());
}

// What is done between two exchanges' steps, and how many models each node sends for it, mean.
struct Meeting {
  std::function<void()> act;  // none: nothing
  double models_sent = -1;    // -1: nobody sends
};

// All nodes' students, moved on together one exchange at a time.
class Class {
 public:
  Class(const Course& course, const Lessons& lessons, const BaselineOptions& options)
      : course_(course), lessons_(lessons), options_(options) {}

  void enrol(const Lessons::Own& own, uint32_t rows, uint64_t seed) {
    students_.push_back(std::make_unique<Student>(
        course_, own,
        Student::Options{.beta1 = beta1_alone,
                         .equipment = {.hosted = {}, .rows = rows, .length = course_.learn.length},
                         .seed = seed}));
  }

  // The meeting is after each exchange's steps. False: stopped.
  bool learn(const Meeting& meeting, Standing& standing) {
    const uint64_t steps = last_step(), interval = course_.learn.steps_per_exchange;
    uint64_t probe_at = 0;
    for (uint64_t step = 0; step < steps; step += interval) {
      if (step >= probe_at) {
        standing.points.push_back(point_at(step, meeting));
        probe_at += std::max<uint64_t>(1, steps / course_.learn.probes);
      }
      const uint64_t count = std::min(interval, steps - step);
      each([&](Student& student) {
        for (uint64_t i = 0; i < count; ++i)
          (void)student.step(learning_rate(course_.learn, step + i, {.swarm_step = step + i}));
        student.trainer.end_exchange(statistics_rate_alone);
        student.trainer.release_scratch();
      });
      if (meeting.act) meeting.act();
      const double done = static_cast<double>(step) / static_cast<double>(steps);
      if (!options_.watch(done)) return false;
    }
    return true;
  }

  std::vector<double> mean() const {
    std::vector<double> sum(course_.genesis.size(), 0);
    for (const auto& student : students_) {
      const std::span<const float> x = std::as_const(student->trainer).parameters();
      for (size_t i = 0; i < sum.size(); ++i) sum[i] += static_cast<double>(x[i]);
    }
    for (double& value : sum) value /= static_cast<double>(students_.size());
    return sum;
  }

  void give_everyone(std::span<const double> values) {
    each([&](Student& student) {
      const std::span<float> x = student.trainer.parameters();
      for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(values[i]);
    });
  }

  // Everyone at once: what goes into an average is what its owner had before.
  void mix(const std::vector<std::vector<Share>>& shares) {
    std::vector<std::vector<float>> before;
    for (const auto& student : students_) {
      const std::span<const float> x = std::as_const(student->trainer).parameters();
      before.emplace_back(x.begin(), x.end());
    }
    model::parallel_for(static_cast<uint32_t>(size()), options_.threads, [&](uint32_t node) {
      const std::span<float> x = students_[node]->trainer.parameters();
      for (size_t i = 0; i < x.size(); ++i) {
        double sum = 0;
        for (const Share& share : shares[node])
          sum += share.weight * static_cast<double>(before[share.node][i]);
        x[i] = static_cast<float>(sum);
      }
    });
  }

  std::vector<std::vector<double>> scores(size_t count, bool is_short) {
    count = std::min(count, students_.size());
    std::vector<std::vector<double>> rows(count);
    model::parallel_for(static_cast<uint32_t>(count), options_.threads, [&](uint32_t i) {
      const std::span<const float> x = std::as_const(students_[i]->trainer).parameters();
      rows[i] = score({*course_.shape, {x.begin(), x.end()}, 0}, lessons_, is_short);
    });
    return rows;
  }
  size_t size() const { return students_.size(); }
  uint64_t last_step() const {
    const uint64_t all = course_.learn.steps;
    return options_.steps_max == 0 ? all : std::min(all, options_.steps_max);
  }
  Standing::Point point_at(uint64_t step, const Meeting& meeting) {
    std::vector<double> means;
    for (const auto& row : scores(probes_max, true)) means.push_back(mean_of(row));
    const uint64_t interval = course_.learn.steps_per_exchange;
    const auto meetings = static_cast<double>((step + interval - 1) / interval);
    const double model_bytes = sizeof(float) * static_cast<double>(course_.genesis.size());
    const auto steps = static_cast<double>(step);
    return {
        .steps = steps,
        .quality = mean_of(means),
        .second = steps * course_.learn.step_ms / 1000,
        .sent_bytes = meeting.models_sent < 0 ? -1 : meeting.models_sent * meetings * model_bytes};
  }

 private:
  void each(const std::function<void(Student&)>& body) {
    model::parallel_for(static_cast<uint32_t>(students_.size()), options_.threads,
                        [&](uint32_t i) { body(*students_[i]); });
  }
  const Course& course_;
  const Lessons& lessons_;
  const BaselineOptions& options_;
  std::vector<std::unique_ptr<Student>> students_;
};

Lessons::Own everything(const Lessons& lessons) {
  Lessons::Own all;
  for (const Lessons::Own& own : lessons.nodes) {
    all.pairs.insert(all.pairs.end(), own.pairs.begin(), own.pairs.end());
    all.text += own.text;
  }
  return all;
}

// Requires: `all` outlives it.
Meeting coming_together(const std::string& name, const Course& course, Class& all, uint64_t seed) {
  if (name == "fedavg") return {[&all] { all.give_everyone(all.mean()); }, 1};
  if (name == "fedavg_momentum") {
    const Server::Options options{.rate = course.learn.server_rate,
                                  .momentum = course.learn.server_momentum};
    return {[&all, server = Server(course.genesis, options)]() mutable {
              server.step(all.mean());
              all.give_everyone(server.x());
            },
            1};
  }
  if (name == "dpsgd") {
    Rng rng = rng_for(seed, Purpose::graph);
    const auto nodes = static_cast<uint32_t>(all.size());
    const Graph graph = regular_graph(nodes, course.learn.dpsgd_neighbours, rng);
    double ends = 0;
    for (const auto& neighbours : graph) ends += static_cast<double>(neighbours.size());
    return {[&all, shares = metropolis_weights(graph)] { all.mix(shares); }, ends / nodes};
  }
  assert(name == "alone" || name == "centralised");
  return {};
}

}  // namespace

Standing run_baseline(const std::string& name, const Course& course, const Lessons& lessons,
                      const BaselineOptions& options) {
  Standing standing{.name = name, .matrix = {}, .points = {}};
  Class all(course, lessons, options);
  const auto nodes = static_cast<uint32_t>(lessons.nodes.size());
  if (name == "centralised") {
    all.enrol(everything(lessons), course.learn.rows * nodes,
              rng_for(options.seed, Purpose::learner, nodes).next());
  } else {
    for (uint32_t node = 0; node < nodes; ++node)
      all.enrol(lessons.nodes[node], course.learn.rows,
                rng_for(options.seed, Purpose::learner, node).next());
  }
  const Meeting meeting = coming_together(name, course, all, options.seed);
  standing.is_complete = all.learn(meeting, standing);
  const bool is_one_model = name == "fedavg" || name == "fedavg_momentum";
  standing.matrix = all.scores(is_one_model ? 1 : all.size(), false);
  standing.points.push_back(all.point_at(all.last_step(), meeting));
  return standing;
}

Quality quality(const std::vector<std::vector<double>>& matrix, const Lessons& lessons,
                const std::vector<uint8_t>& is_left_out) {
  double own = 0, others = 0;
  size_t own_count = 0, other_count = 0;
  for (size_t node = 0; node < lessons.nodes.size(); ++node) {
    const auto& row = matrix.size() == 1 ? matrix[0] : matrix[node];
    if (!is_left_out.empty() && is_left_out[node] != 0) continue;
    for (size_t task = 0; task < row.size(); ++task) {
      const bool is_own = lessons.is_own(node, task);
      (is_own ? own : others) += row[task];
      ++(is_own ? own_count : other_count);
    }
  }
  const auto mean = [](double sum, size_t count) {
    return count == 0 ? -1 : sum / static_cast<double>(count);
  };
  return {mean(own + others, own_count + other_count), mean(own, own_count),
          mean(others, other_count)};
}

}  // namespace starling::sim
