#include "swarm/judgement.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "swarm/accept.h"

namespace starling::swarm {
namespace {

constexpr uint64_t clock_steps_max = 4 * horizon_intervals;  // the floor follows at the next update

uint64_t cut_before(uint64_t interval) { return interval / cut_stride; }
uint64_t first_cut_over(uint64_t interval) { return (interval + cut_stride - 1) / cut_stride; }
uint64_t window_begin(uint64_t cut) {
  const uint64_t end = cut * cut_stride;
  return end >= window_intervals ? end - window_intervals + 1 : 1;
}

uint64_t first_word(const Digest& digest) {
  uint64_t word = 0;
  for (int i = 0; i < 8; ++i) word |= uint64_t{digest[static_cast<size_t>(i)]} << (8 * i);
  return word;
}

double cosine(double dot, double square_a, double square_b) {
  // Differences of rounded sums may fall below nothing.
  return square_a > 0 && square_b > 0 ? dot / std::sqrt(square_a * square_b) : 0;
}

double largest(std::span<const double> values) {
  return *std::max_element(values.begin(), values.end());
}

double median_of(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// How near two must be to count as copies: nearer than the rule says, and much nearer than two
// typical ones, because honest neighbours all say nearly the same while they know nothing yet.
double copy_threshold(const Products& products, const JudgementRules& rules) {
  std::vector<double> cosines;
  const size_t count = products.origins.size();
  for (size_t i = 0; i < count; ++i) {
    for (size_t j = i + 1; j < count; ++j)
      cosines.push_back(cosine(products.at(i, j), products.at(i, i), products.at(j, j)));
  }
  return std::max(rules.copy_cosine, (1 + median_of(std::move(cosines))) / 2);
}

double median_size(const Products& products) {
  std::vector<double> sizes;
  for (size_t i = 0; i < products.origins.size(); ++i)
    sizes.push_back(std::sqrt(products.at(i, i)));
  const auto middle = sizes.begin() + static_cast<std::ptrdiff_t>((sizes.size() - 1) / 2);
  std::nth_element(sizes.begin(), middle, sizes.end());
  return *middle;
}

// As how many the i-th origin counts: the copies of it that are believed, or what its size is over
// the typical.
uint32_t share_of(const Products& products, size_t i, const Standings& standings,
                  double copy_cosine, double size_bound) {
  uint32_t share = 1;
  for (size_t j = 0; j < products.origins.size(); ++j) {
    const bool is_copy =
        i != j && cosine(products.at(i, j), products.at(i, i), products.at(j, j)) > copy_cosine;
    share += is_copy && !standings.at(products.origins[j]).is_held;
  }
  const double size = std::sqrt(products.at(i, i));
  if (size_bound <= 0 || size <= size_bound) return share;
  const double excess = std::min<double>(std::ceil(size / size_bound), origins_judged_max);
  return std::max(share, static_cast<uint32_t>(excess));
}

// Where members' data differ, their steps work against one another in the end: the cosine of
// honest ones goes as 1 / sqrt(N) then, so that few origins may disagree more, and where all
// disagree it is no one's fault. Fewer than a third can be held at once, those that agree least:
// more are not the odd ones out.
void hold_least_agreeing(const Products& products, const JudgementRules& rules,
                         Standings& standings) {
  const size_t count = products.origins.size();
  std::vector<double> agreements;
  for (const PeerId& origin : products.origins)
    agreements.push_back(standings.at(origin).agreement);
  const double usual = std::min(0.0, median_of(agreements));
  const double few =
      std::max(1.0, std::sqrt(rules.hold_below_origins / static_cast<double>(count)));
  std::vector<std::pair<double, size_t>> against;
  for (size_t i = 0; i < count; ++i) {
    Standing& standing = standings.at(products.origins[i]);
    const double border = standing.is_held ? rules.release_above : few * rules.hold_below;
    if (agreements[i] < usual + border) against.push_back({agreements[i], i});
    standing.is_held = false;
  }
  std::sort(against.begin(), against.end());
  against.resize(std::min(against.size(), (count - 1) / 3));
  for (const auto& [agreement, i] : against) standings.at(products.origins[i]).is_held = true;
}

}  // namespace

Standings judge(const Products& products, Standings before, const JudgementRules& rules) {
  const size_t count = products.origins.size();
  if (count < origins_judged_min) return before;
  std::vector<double> weights(count);
  for (size_t i = 0; i < count; ++i) {
    const Standing& standing = before[products.origins[i]];
    weights[i] = standing.is_held ? 0 : 1.0 / standing.share;
  }
  std::vector<double> row(count);
  double total = 0;
  for (size_t i = 0; i < count; ++i) {
    for (size_t j = 0; j < count; ++j) row[i] += weights[j] * products.at(i, j);
    total += weights[i] * row[i];
  }
  Standings after = std::move(before);
  for (size_t i = 0; i < count; ++i) {
    Standing& standing = after[products.origins[i]];
    const double own = products.at(i, i), weight = weights[i];
    const double others = total - 2 * weight * row[i] + weight * weight * own;
    standing.agreement = (standing.agreement + cosine(row[i] - weight * own, own, others)) / 2;
  }
  hold_least_agreeing(products, rules, after);
  const double copy_cosine = copy_threshold(products, rules);
  const double size_bound = rules.size_max * median_size(products);
  for (size_t i = 0; i < count; ++i) {
    after[products.origins[i]].share = share_of(products, i, after, copy_cosine, size_bound);
  }
  return after;
}

// ---- Time

// Whether the swarm has reached an interval, given that it has reached the one before. Origins that
// lag far behind (they sleep, or are gone) are not waited for. When too few go on for two fifths,
// as after the others left for good, those few reach it by much work.
bool Judgement::is_reached(uint64_t interval) const {
  const uint64_t reached = newest_tally_.at_least(interval);
  if (reached == 0) return false;
  const uint64_t active =
      newest_tally_.at_least(interval - std::min<uint64_t>(interval, active_lag_max));
  if (5 * reached > 2 * active && (reached > 1 || active == 1)) return true;
  return records_tally_.at_least(interval) >= patience_deltas * reached;
}

uint64_t Judgement::clock() const {
  const uint64_t start = floor_ * cut_stride, end = start + clock_steps_max;
  // What everybody has reached, the swarm has.
  uint64_t interval = std::clamp(newest_tally_.lowest(), start, end);
  while (interval < end && is_reached(interval + 1)) ++interval;
  return interval;
}

uint64_t Judgement::front() const {
  return newest_.empty() ? 0 : newest_tally_.from_top((newest_.size() - 1) / 10);
}

uint64_t Judgement::next_interval(const PeerId& self) const {
  const uint64_t now = clock();
  const auto found = newest_.find(self);
  const uint64_t own = found == newest_.end() ? 0 : found->second;
  return std::max({own, std::min(std::max(own + 1, now), now + ahead_max), uint64_t{1}});
}

// ---- Deltas

uint64_t Judgement::last_cut_over(uint64_t interval) {
  return (interval + window_intervals - 1) / cut_stride;
}

// By which an interval's deltas are weighed; none: by what is settled.
const Judgement::Cut* Judgement::cut_over(uint64_t interval) const {
  const auto found = cuts_.find(std::min(last_, last_cut_over(interval)));
  return found == cuts_.end() ? nullptr : &found->second;
}

bool Judgement::is_oversized(uint64_t interval, double norm) const {
  const Cut* const cut = cut_over(interval);
  const double reference = cut == nullptr ? largest(usuals_) : cut->reference;
  return reference > 0 && norm > rules_.norm_factor * reference;
}

uint32_t Judgement::weigh(const PeerId& origin, uint64_t interval, double norm) const {
  if (is_oversized(interval, norm)) return apart;
  const Cut* const cut = cut_over(interval);
  const Standings& standings = cut == nullptr ? settled_ : cut->standings;
  const auto standing = standings.find(origin);
  if (standing == standings.end()) return 1;
  return standing->second.is_held ? apart : standing->second.share;
}

uint32_t Judgement::add(const DeltaKey& key, const DeltaSummary& summary, ByteView payload) {
  const uint64_t interval = summary.interval;
  const PeerId& origin = key.stream.origin;
  if (expelled_.contains(origin)) return apart;
  if (newest_.size() < origins_judged_max || newest_.contains(origin)) {
    const auto [newest, is_first] = newest_.emplace(origin, interval);
    if (is_first) newest_tally_.add(interval);
    if (newest->second < interval) {
      newest_tally_.remove(newest->second);
      newest_tally_.add(newest->second = interval);
    }
  }
  uint32_t divisor = weigh(origin, interval, summary.norm);
  if (interval > clock() + ahead_max + 1) {
    divisor = apart;
    weighed_to_ = std::min(weighed_to_, interval);
  }
  if (last_cut_over(interval) <= floor_ || records_.size() >= judgement_records_max) {
    settle(key, divisor);
    return divisor;
  }
  const auto [found, is_new] = records_.emplace(
      Place{interval, key},
      Record{first_word(blake2b(payload)), summary.norm, believed_norm(summary), divisor});
  if (!is_new) {  // known from a snapshot: the cuts have counted it already
    found->second.divisor = divisor;
    return divisor;
  }
  records_tally_.add(interval);
  make_stale(interval);
  return divisor;
}

// The cuts that a delta of this interval takes part in.
void Judgement::make_stale(uint64_t interval) {
  const auto last = cuts_.upper_bound(last_cut_over(interval));
  for (auto at = cuts_.lower_bound(first_cut_over(interval)); at != last; ++at)
    at->second.is_stale = true;
}

// What does not count once in full is remembered for as long as it may have to be withdrawn.
void Judgement::settle(const DeltaKey& key, uint32_t divisor) {
  if (divisor == 1) {
    final_.erase(key);
  } else if (final_.size() < judgement_records_max || final_.contains(key)) {
    final_[key] = divisor;
  }
}

// Nothing of it may stay in what is still to be decided: a node that never got its last deltas must
// come to the same decisions on the others.
std::map<DeltaKey, uint32_t> Judgement::expel(const PeerId& origin) {
  if (!expelled_.insert(origin).second) return {};
  std::map<DeltaKey, uint32_t> before = counted(origin);
  std::erase_if(records_, [&](const auto& item) {
    const auto& [interval, key] = item.first;
    if (key.stream.origin != origin) return false;
    make_stale(interval);
    return true;
  });
  std::erase_if(final_, [&](const auto& item) { return item.first.stream.origin == origin; });
  newest_.erase(origin);
  settled_.erase(origin);
  weighed_to_ = 0;
  for (auto& [index, cut] : cuts_) cut.is_settled = false;
  count_anew();
  return before;
}

std::map<DeltaKey, uint32_t> Judgement::counted(const PeerId& origin) const {
  std::map<DeltaKey, uint32_t> counted;
  for (const auto& [place, record] : records_) {
    if (place.second.stream.origin == origin && record.divisor != 1)
      counted[place.second] = record.divisor;
  }
  for (const auto& [key, divisor] : final_) {
    if (key.stream.origin == origin) counted.emplace(key, divisor);
  }
  return counted;
}

// What is usual in a cut's window; while too few have spoken in it, what was before.
double Judgement::usual_at(uint64_t cut, double before) const {
  const auto first = records_.lower_bound(Place{window_begin(cut), {}});
  const auto last = records_.lower_bound(Place{cut * cut_stride + 1, {}});
  std::vector<NormVote> votes;
  for (auto at = first; at != last; ++at)
    votes.push_back({at->first.second.stream.origin, at->second.vote});
  const double usual = usual_norm(std::move(votes));
  return usual > 0 ? usual : before;
}

// The same of a cut that was worked out. Requires: one of the last `reference_cuts` final ones, or
// a later one.
double Judgement::usual_of(uint64_t cut) const {
  return cut > floor_ ? cuts_.at(cut).usual : usuals_.at(floor_ - cut);
}

Products Judgement::measure(uint64_t cut, double reference, const PayloadSource& payloads) const {
  const auto first = records_.lower_bound(Place{window_begin(cut), {}});
  const auto last = records_.lower_bound(Place{cut * cut_stride + 1, {}});
  Writer everything;
  for (auto at = first; at != last; ++at) everything.u64(at->second.digest);
  const uint64_t key = first_word(blake2b(everything.bytes()));
  std::map<PeerId, std::vector<int64_t>> sketches;
  for (auto at = first; at != last; ++at) {
    const DeltaKey& delta = at->first.second;
    if (reference > 0 && at->second.norm > rules_.norm_factor * reference) continue;
    const std::optional<Bytes> payload = payloads(delta);
    if (!payload) continue;
    std::vector<int64_t>& sketch = sketches[delta.stream.origin];
    sketch.resize(sketch_counters);
    sketch_delta(*table_, *payload, key, sketch);
  }
  Products products;
  products.dots.resize(sketches.size() * sketches.size());
  for (const auto& [origin, a] : sketches) {
    const size_t i = products.origins.size();
    products.origins.push_back(origin);
    size_t j = 0;
    for (const auto& [other, b] : sketches) {
      if (j > i) break;
      double dot = 0;
      for (size_t k = 0; k < sketch_counters; ++k)
        dot += static_cast<double>(a[k]) * static_cast<double>(b[k]);
      products.dots[i * sketches.size() + j] = products.dots[j * sketches.size() + i] = dot;
      ++j;
    }
  }
  return products;
}

// Works out again the cuts in whose window something is new, and those after them for as long as
// they come out otherwise. Gives the first that did; one beyond the last: none.
uint64_t Judgement::update_cuts(const PayloadSource& payloads) {
  const Standings* before = &settled_;
  Usuals usuals = usuals_;
  const auto add_usual = [&](double usual) {
    std::shift_right(usuals.begin(), usuals.end(), 1);
    usuals.front() = usual;
  };
  uint64_t unsettled_to = 0;  // by a cut that has moved
  uint64_t first_moved = last_ + 1;
  for (uint64_t k = floor_ + 1; k <= last_; ++k) {
    Cut& cut = cuts_[k];
    if (cut.is_settled && !cut.is_stale && k > unsettled_to) {
      add_usual(cut.usual);
      before = &cut.standings;
      continue;
    }
    add_usual(usual_at(k, usuals.front()));
    const double usual = usuals.front(), reference = largest(usuals);
    const bool is_measured = !cut.is_stale && cut.reference == reference;
    if (rules_.is_on && !is_measured) cut.products = measure(k, reference, payloads);
    Standings standings = *before;
    if (rules_.is_on) standings = judge(cut.products, std::move(standings), rules_);
    const bool has_moved =
        cut.usual != usual || cut.reference != reference || cut.standings != standings;
    if (has_moved) {
      first_moved = std::min(first_moved, k);
      unsettled_to = k + reference_cuts - 1;
    }
    cut.is_stale = false;
    cut.is_settled = true;
    cut.usual = usual;
    cut.reference = reference;
    cut.standings = std::move(standings);
    before = &cut.standings;
  }
  // The clock may go back when origins come anew.
  for (auto at = cuts_.upper_bound(last_); at != cuts_.end(); ++at) at->second.is_settled = false;
  return first_moved;
}

// Only what a cut weighs that has moved, and what is not beyond the last window yet, can count
// otherwise than it did.
std::vector<Judgement::Change> Judgement::update(const PayloadSource& payloads) {
  const uint64_t now = clock();
  last_ = std::max(floor_, cut_before(now));
  const uint64_t first_moved = std::min(update_cuts(payloads), last_);
  const uint64_t from = std::min(weighed_to_, first_moved > 3 ? window_begin(first_moved) : 0);
  std::vector<Change> changes;
  for (auto at = records_.lower_bound(Place{from, {}}); at != records_.end(); ++at) {
    const auto& [interval, key] = at->first;
    Record& record = at->second;
    if (record.divisor == absent) continue;
    const bool is_early = interval > now + ahead_max + 1;
    const uint32_t divisor = is_early ? apart : weigh(key.stream.origin, interval, record.norm);
    if (divisor == record.divisor) continue;
    const bool is_large = divisor == apart && is_oversized(interval, record.norm);
    changes.push_back({key, record.divisor, divisor, is_large});
    record.divisor = divisor;
  }
  weighed_to_ = window_begin(last_);
  fold();
  return changes;
}

void Judgement::undo(const Change& change) {
  for (auto& [place, record] : records_) {
    if (place.second != change.key) continue;
    record.divisor = change.before;
    weighed_to_ = std::min(weighed_to_, place.first);  // it is tried again
    return;
  }
  settle(change.key, change.before);  // it became final with the last update
}

// Cuts beyond the horizon become final, and what only they weighed is forgotten.
void Judgement::fold() {
  const uint64_t now = last_ * cut_stride;
  if (now < horizon_intervals || cut_before(now - horizon_intervals) <= floor_) return;
  const uint64_t floor = cut_before(now - horizon_intervals);
  settled_ = cuts_.at(floor).standings;
  Usuals usuals{};
  for (uint64_t i = 0; i < std::min<uint64_t>(floor, reference_cuts); ++i)
    usuals[i] = usual_of(floor - i);
  usuals_ = usuals;
  floor_ = floor;
  cuts_.erase(cuts_.begin(), cuts_.upper_bound(floor_));
  auto at = records_.begin();
  for (; at != records_.end() && last_cut_over(at->first.first) <= floor_; ++at) {
    if (at->second.divisor != absent) settle(at->first.second, at->second.divisor);
  }
  records_.erase(records_.begin(), at);
  std::erase_if(newest_, [&](const auto& item) {
    return item.second + active_lag_max < floor_ * cut_stride && !settled_[item.first].is_held;
  });
  std::erase_if(settled_, [&](const auto& item) { return !newest_.contains(item.first); });
  if (!cuts_.empty()) cuts_.begin()->second.is_settled = false;
  count_anew();
}

void Judgement::count_anew() {
  newest_tally_.clear();
  records_tally_.clear();
  for (const auto& [origin, newest] : newest_) newest_tally_.add(newest);
  for (const auto& [place, record] : records_) records_tally_.add(place.first);
}

const Standings& Judgement::standings() const {
  const auto found = cuts_.find(last_);
  return found == cuts_.end() ? settled_ : found->second.standings;
}

uint64_t Judgement::apart_count() const {
  uint64_t count = 0;
  for (const auto& [place, record] : records_) count += record.divisor == apart;
  return count;
}

std::map<PeerId, uint64_t> Judgement::apart_counts() const {
  std::map<PeerId, uint64_t> counts;
  for (const auto& [place, record] : records_) {
    if (record.divisor == apart) ++counts[place.second.stream.origin];
  }
  return counts;
}

std::optional<uint32_t> Judgement::divisor_of(const DeltaKey& key) const {
  for (const auto& [place, record] : records_) {
    if (place.second == key && record.divisor != absent) return record.divisor;
  }
  return std::nullopt;
}

SortedMap<DeltaKey, uint32_t> Judgement::divisors() const {
  std::vector<std::pair<DeltaKey, uint32_t>> known;
  for (const auto& [place, record] : records_) {
    if (record.divisor != absent) known.emplace_back(place.second, record.divisor);
  }
  std::stable_sort(known.begin(), known.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  SortedMap<DeltaKey, uint32_t> divisors;
  for (const auto& [key, divisor] : known) {
    if (!divisors.contains(key)) divisors[key] = divisor;
  }
  return divisors;
}

std::vector<std::pair<DeltaKey, uint32_t>> Judgement::open_deltas() const {
  // Twice the window, so that whoever starts from a snapshot can measure again what is late.
  const uint64_t now = last_ * cut_stride;
  const uint64_t limit = now > 2 * window_intervals ? now - 2 * window_intervals : 0;
  std::map<Stream, uint64_t> first;
  for (auto at = records_.lower_bound(Place{limit + 1, {}}); at != records_.end(); ++at) {
    const DeltaKey& key = at->first.second;
    const auto [found, is_new] = first.emplace(key.stream, key.seq);
    if (!is_new) found->second = std::min(found->second, key.seq);
  }
  std::vector<std::pair<DeltaKey, uint32_t>> open;
  for (const auto& [place, record] : records_) {
    const DeltaKey& key = place.second;
    const auto found = first.find(key.stream);
    if (record.divisor == absent || found == first.end() || key.seq < found->second) continue;
    open.emplace_back(key, record.divisor);
  }
  return open;
}

void Judgement::mark_absent(const DeltaKey& key) {
  for (auto& [place, record] : records_) {
    if (place.second == key) record.divisor = absent;
  }
}

}  // namespace starling::swarm
