// top: a running node at a glance, again and again.
#include <poll.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <deque>
#include <iostream>

#include "node/cli_verbs.h"
#include "node/screen.h"
#include "node/table.h"

namespace starling::node {

namespace {

using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

constexpr double answer_s = 3;         // for each call: what comes later is not live
constexpr double events_wait_s = 0.1;  // a stream has no end: so long it is listened to
constexpr size_t events_shown_max = 6;
constexpr size_t neighbours_shown_max = 12;

// What the node said at one moment.
struct Sight {
  Clock::time_point at;
  v1::GetStatusResponse status;
  v1::ListMembersResponse members;
};

// Per second, between two sights; none before the second one, and where a counter began anew.
struct Rates {
  std::optional<double> tokens, sent_bytes, received_bytes;
};

Rates rates_between(const std::optional<Sight>& before, const Sight& now) {
  if (!before) return {};
  const double seconds = std::chrono::duration<double>(now.at - before->at).count();
  const auto rate = [seconds](uint64_t from, uint64_t to) -> std::optional<double> {
    if (to < from || seconds <= 0) return std::nullopt;
    return static_cast<double>(to - from) / seconds;
  };
  const auto& was = before->status;
  const auto& is = now.status;
  return {rate(was.model().tokens(), is.model().tokens()),
          rate(was.swarm().sent_bytes(), is.swarm().sent_bytes()),
          rate(was.swarm().received_bytes(), is.swarm().received_bytes())};
}

std::string rate_text(std::optional<double> bytes_per_s) {
  return bytes_per_s ? size_text(static_cast<uint64_t>(*bytes_per_s)) + "/s" : "-";
}

// Looks, keeping the connections and the last events between one look and the next.
class Watcher {
 public:
  Watcher(LocalClient client, LocalClient events)
      : client_(std::move(client)), event_client_(std::move(events)) {}

  Answer<Sight> look() {
    Sight sight{.at = Clock::now(), .status = {}, .members = {}};
    auto status = client_.status();
    if (!status) return Unexpected{status.error()};
    sight.status = std::move(*status);
    auto members = client_.members();
    if (!members) return Unexpected{members.error()};
    sight.members = std::move(*members);
    return sight;
  }
  // The last ones, the latest last. A node that has no place for another watcher shows none.
  const std::deque<v1::WatchEventsResponse>& events() {
    v1::WatchEventsRequest request;
    request.set_after_seq(last_seq_);
    (void)event_client_.watch(request, [this](const v1::WatchEventsResponse& event) {
      last_seq_ = event.seq();
      events_.push_back(event);
      if (events_.size() > events_shown_max) events_.pop_front();
      return true;
    });
    return events_;
  }

 private:
  LocalClient client_, event_client_;
  uint64_t last_seq_ = 0;
  std::deque<v1::WatchEventsResponse> events_;
};

std::string head(const Cli& cli, const Sight& sight, const Rates& rates) {
  const auto& status = sight.status;
  const auto& model = status.model();
  const auto& swarm = status.swarm();
  const double since = static_cast<double>(std::time(nullptr) - status.since());
  std::string out =
      coloured(cli, status.name(), "1") + " is " + coloured(cli, status.state(), "1") + " for " +
      duration_text(std::max(since, 0.0)) + ", at " + time_text(std::time(nullptr)) + "\n";
  const auto line = [&](const char* what, const std::string& text) {
    out += std::string("  ") + what + (text.empty() ? "-" : text) + "\n";
  };
  line("why      ", status.reason());
  line("next     ", status.next());
  line("model    ", model.preset() + ", step " + count_text(model.step()) + ", loss " +
                        (model.has_loss() ? number_text(model.loss(), 3) : "-") + " bits, " +
                        (model.has_bits_per_byte() ? number_text(model.bits_per_byte(), 3) : "-") +
                        " bits per byte, " +
                        (rates.tokens ? count_text(static_cast<uint64_t>(*rates.tokens)) : "-") +
                        " tokens/s");
  line("traffic  ", "up " + rate_text(rates.sent_bytes) + " (" + size_text(swarm.sent_bytes()) +
                        "), down " + rate_text(rates.received_bytes) + " (" +
                        size_text(swarm.received_bytes()) + ")");
  line("deltas   ", count_text(swarm.published()) + " published, " + count_text(swarm.accepted()) +
                        " accepted, " + count_text(swarm.held()) + " held, " +
                        count_text(swarm.refused()) + " refused");
  line("uses     ", size_text(status.resources().memory_bytes()) + " of memory, " +
                        number_text(status.resources().cpu_percent(), 0) + " % of a core");
  return out;
}

std::string neighbours(const Cli& cli, const Sight& sight) {
  std::vector<std::vector<std::string>> rows;
  uint64_t links = 0;
  for (const auto& member : sight.members.members()) {
    if (!member.linked()) continue;
    if (++links > neighbours_shown_max) continue;
    rows.push_back({presentable(cli, member.name()), member.address(), member.state(),
                    member.has_rtt_ms() ? number_text(member.rtt_ms(), 1) + " ms" : "-",
                    number_text(member.score(), 1), std::to_string(member.step()),
                    member.has_last_delta_s() ? duration_text(member.last_delta_s()) : "-"});
  }
  std::string out = "\n" + count_text(sight.status.swarm().members(), "member") + ", " +
                    count_text(links, "neighbour") + "\n";
  if (rows.empty()) return out;
  out += render_table({"NAME", "ADDRESS", "STATE", "RTT", "SCORE", "STEP", "LAST-DELTA"}, rows);
  if (links > rows.size()) out += "and " + count_text(links - rows.size()) + " more\n";
  return out;
}

std::string event_lines(const Cli& cli, const std::deque<v1::WatchEventsResponse>& events) {
  std::string out = events.empty() ? "" : "\n";
  for (const auto& event : events) out += presentable(cli, event_line(event)) + "\n";
  return out;
}

void print_line(Cli& cli, const Sight& sight, const Rates& rates) {
  const auto value = [](std::optional<double> rate) { return rate ? Json(*rate) : Json(); };
  Json line = json_of(sight.status);
  line["time"] = std::time(nullptr);
  line["tokens_per_s"] = value(rates.tokens);
  line["sent_bytes_per_s"] = value(rates.sent_bytes);
  line["received_bytes_per_s"] = value(rates.received_bytes);
  print_json(cli, line);
}

void wait_plainly(Clock::time_point time) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(time - Clock::now());
  if (left.count() > 0) ::poll(nullptr, 0, static_cast<int>(left.count()));
}

// Until the count is full, the person ends it, or the node does not answer any more.
Answer<Done> follow(Cli& cli, const TopArguments& arguments, Screen* screen) {
  const double wait_s = cli.options.timeout_s.value_or(answer_s);
  auto client = LocalClient::connect(cli.options.directory, wait_s);
  if (!client) return Unexpected{client.error()};
  auto events = LocalClient::connect(cli.options.directory, events_wait_s);
  if (!events) return Unexpected{events.error()};
  Watcher watcher(std::move(*client), std::move(*events));
  std::optional<Sight> before;
  const auto interval = std::chrono::duration_cast<Clock::duration>(
      std::chrono::duration<double>(arguments.interval_s));
  for (uint64_t count = 1;; ++count) {
    const auto next = Clock::now() + interval;
    auto sight = watcher.look();
    if (!sight) return Unexpected{sight.error()};
    const Rates rates = rates_between(before, *sight);
    if (cli.options.is_json) {
      print_line(cli, *sight, rates);
    } else {
      const std::string lines =
          head(cli, *sight, rates) + neighbours(cli, *sight) + event_lines(cli, watcher.events());
      if (screen != nullptr) {
        screen->show(lines + "\nq ends\n");
      } else {
        cli.console.out << lines << std::endl;
      }
    }
    before = std::move(*sight);
    const bool is_last = arguments.count_max > 0 && count >= arguments.count_max;
    if (is_last || !cli.console.out.good()) return Done{};
    if (screen == nullptr) {
      wait_plainly(next);
    } else if (!screen->wait_until(next)) {
      return Done{};
    }
  }
}

}  // namespace

ExitCode top_verb(Cli& cli, const TopArguments& arguments) {
  std::optional<Screen> screen;
  if (cli.console.is_out_terminal && !cli.options.is_json)
    screen.emplace(cli.console.out, cli.console.is_in_terminal);
  const auto done = follow(cli, arguments, screen ? &*screen : nullptr);
  screen.reset();  // before an error is said, which would go with the picture
  if (!done) return fail(cli, done.error());
  return ExitCode::ok;
}

}  // namespace starling::node
