// status, members, regions, watch, why: looking inside a running node.
#include <algorithm>
#include <cmath>
#include <ctime>
#include <iostream>
#include <optional>

#include "node/cli_verbs.h"
#include "node/table.h"
#include "node/text_check.h"

namespace starling::node {

namespace {

using Json = nlohmann::ordered_json;

const char* colour_of(const std::string& state) {
  if (state == "learning" || state == "serving" || state == "idle") return "32";
  if (state == "degraded") return "31";
  return "33";
}

// The first group of an id: enough to tell members apart in a table.
std::string short_id(const std::string& id) {
  return id.substr(0, std::min(id.find('-'), size_t{10}));
}

std::string bits_text(bool has_value, double value) {
  return has_value ? number_text(value, 3) : "-";
}

std::string seconds_text(bool has_value, double value) {
  return has_value ? duration_text(value) : "-";
}

// Of a limit; nothing without one.
std::optional<double> share(double used, uint64_t limit) {
  if (limit == 0) return std::nullopt;
  return used / static_cast<double>(limit);
}

struct Shares {
  std::optional<double> upload, download, day;  // of the last minute's rates, and of today
};
Shares shares_of(const v1::BudgetStatus& budget) {
  const auto today = static_cast<double>(budget.sent_today() + budget.received_today());
  return {
      share(static_cast<double>(budget.sent_last_minute()) / 60, budget.upload_bytes_per_s()),
      share(static_cast<double>(budget.received_last_minute()) / 60, budget.download_bytes_per_s()),
      share(today, budget.daily_bytes())};
}

// Deltas that came for each that was new; 0: none came.
double duplicates_ratio(const v1::SwarmStatus& swarm) {
  if (swarm.accepted() == 0) return 0;
  return static_cast<double>(swarm.accepted() + swarm.duplicates()) /
         static_cast<double>(swarm.accepted());
}

Json budget_json(const v1::SwarmStatus& swarm) {
  const v1::BudgetStatus& budget = swarm.budget();
  const Shares used = shares_of(budget);
  const auto number = [](const std::optional<double>& value) {
    return value ? Json(*value) : Json();
  };
  return {{"sent_today", budget.sent_today()},
          {"received_today", budget.received_today()},
          {"sent_last_minute", budget.sent_last_minute()},
          {"received_last_minute", budget.received_last_minute()},
          {"upload_bytes_per_s", budget.upload_bytes_per_s()},
          {"download_bytes_per_s", budget.download_bytes_per_s()},
          {"daily_bytes", budget.daily_bytes()},
          {"quiet_hours", budget.quiet_hours()},
          {"upload_used", number(used.upload)},
          {"download_used", number(used.download)},
          {"daily_used", number(used.day)},
          {"restraint", budget.restraint()},
          {"upload_short", budget.upload_short()},
          {"download_short", budget.download_short()},
          {"duplicates_ratio", duplicates_ratio(swarm)}};
}

std::string budget_line(const v1::SwarmStatus& swarm) {
  const v1::BudgetStatus& budget = swarm.budget();
  const Shares used = shares_of(budget);
  std::string text = "today " + size_text(budget.sent_today()) + " sent, " +
                     size_text(budget.received_today()) + " received";
  const auto add = [&](const std::optional<double>& value, const std::string& of) {
    if (value) text += "; " + number_text(*value * 100, 0) + " % of " + of;
  };
  add(used.day, size_text(budget.daily_bytes()) + " a day");
  add(used.upload, size_text(budget.upload_bytes_per_s()) + "/s up");
  add(used.download, size_text(budget.download_bytes_per_s()) + "/s down");
  if (budget.restraint() == "quiet_hours") text += "; quiet hours " + budget.quiet_hours();
  if (budget.restraint() == "day_used") text += "; deltas wait until midnight";
  if (swarm.accepted() > 0)
    text += "; " + number_text(duplicates_ratio(swarm), 2) + " copies of a delta";
  return text;
}

std::string status_screen(const Cli& cli, const v1::GetStatusResponse& status) {
  const auto& model = status.model();
  const auto& swarm = status.swarm();
  const auto& uses = status.resources();
  const auto since = static_cast<double>(std::time(nullptr) - status.since());
  std::string out = coloured(cli, status.name(), "1") + " is " +
                    coloured(cli, status.state(), colour_of(status.state())) + " since " +
                    time_text(status.since()) + " (" + duration_text(std::max(since, 0.0)) + ")\n";
  const auto line = [&](const char* what, const std::string& text) {
    if (!text.empty()) out += std::string("  ") + what + text + "\n";
  };
  line("why      ", status.reason());
  line("next     ", status.next());
  std::string step = "step " + count_text(model.step());
  if (status.steps_planned() > 0) step += " of " + count_text(status.steps_planned());
  line("model    ", model.preset() + ", " + count_text(model.parameters()) + " parameters, " +
                        step + ", loss " + bits_text(model.has_loss(), model.loss()) + " bits, " +
                        bits_text(model.has_bits_per_byte(), model.bits_per_byte()) +
                        " bits per byte");
  line("swarm    ", count_text(swarm.members(), "member") + ", " +
                        count_text(swarm.neighbours(), "neighbour") + "; sent " +
                        size_text(swarm.sent_bytes()) + ", received " +
                        size_text(swarm.received_bytes()));
  line("deltas   ", count_text(swarm.published()) + " published (" +
                        number_text(swarm.bits_per_parameter(), 2) + " bits a parameter), " +
                        count_text(swarm.accepted()) + " accepted, " + count_text(swarm.held()) +
                        " held, " + count_text(swarm.refused()) + " refused; others' come " +
                        number_text(swarm.lateness(), 1) + " exchanges late");
  line("bytes    ", budget_line(swarm));
  for (const auto& [reason, count] : std::map<std::string, uint64_t>(
           swarm.refused_by_reason().begin(), swarm.refused_by_reason().end())) {
    if (count > 0) line("         ", "refused " + count_text(count) + ": " + reason);
  }
  line("base     ",
       swarm.base_hash().substr(0, 16) + " after " + count_text(swarm.deltas(), "delta"));
  line("uses     ", size_text(uses.memory_bytes()) + " of memory, " +
                        number_text(uses.cpu_percent(), 0) + " % of a core, " +
                        size_text(uses.disk_bytes()) + " on disk, up " +
                        duration_text(static_cast<double>(uses.uptime_s())));
  line("listens  ", status.listen());
  line("id       ", status.id());
  line("swarm id ", status.swarm_id());
  return out;
}

Json influence_json(const v1::Member& member) {
  if (!member.has_influence()) return Json();
  const auto& influence = member.influence();
  return {{"deltas", influence.deltas()},
          {"norm", influence.norm()},
          {"share", influence.share()},
          {"last_s", influence.last_s() > 0 ? Json(influence.last_s()) : Json()},
          {"held", influence.held()},
          {"held_deltas", influence.held_deltas()},
          {"copies", influence.copies()},
          {"agreement", influence.has_agreement() ? Json(influence.agreement()) : Json()}};
}

// What a member's word counts.
std::string vote_text(const v1::Influence& influence) {
  if (influence.held()) return "held";
  return influence.copies() > 1 ? "1/" + std::to_string(influence.copies()) : "full";
}

std::string influence_table(const Cli& cli, const v1::ListMembersResponse& members) {
  std::vector<std::vector<std::string>> rows;
  for (const auto& member : members.members()) {
    const std::string name = presentable(cli, member.name()) + (member.self() ? " (this)" : "");
    if (!member.has_influence()) {
      rows.push_back(
          {name, short_id(member.id()), member.state(), "0", "-", "-", "-", "-", "0", "-"});
      continue;
    }
    const auto& moved = member.influence();
    rows.push_back({name, short_id(member.id()), member.state(), std::to_string(moved.deltas()),
                    number_text(moved.norm(), 4), number_text(moved.share() * 100, 1) + " %",
                    vote_text(moved),
                    moved.has_agreement() ? number_text(moved.agreement(), 2) : "-",
                    std::to_string(moved.held_deltas()),
                    moved.last_s() > 0 ? time_text(moved.last_s()) : "-"});
  }
  return render_table(
      {"NAME", "ID", "STATE", "DELTAS", "NORM", "SHARE", "VOTE", "AGREES", "HELD", "LAST"}, rows);
}

Json counts_of(const google::protobuf::Map<std::string, uint64_t>& by_reason) {
  Json counts = Json::object();
  for (const auto& [reason, count] :
       std::map<std::string, uint64_t>(by_reason.begin(), by_reason.end())) {
    counts[reason] = count;
  }
  return counts;
}

}  // namespace

Json json_of(const v1::GetStatusResponse& status) {
  const auto& model = status.model();
  const auto& swarm = status.swarm();
  const auto& resources = status.resources();
  return {{"name", status.name()},
          {"id", status.id()},
          {"swarm_id", status.swarm_id()},
          {"state", status.state()},
          {"since", status.since()},
          {"reason", status.reason()},
          {"next", status.next()},
          {"model",
           {{"preset", model.preset()},
            {"parameters", model.parameters()},
            {"step", model.step()},
            {"loss", model.has_loss() ? Json(model.loss()) : Json()},
            {"bits_per_byte", model.has_bits_per_byte() ? Json(model.bits_per_byte()) : Json()},
            {"fingerprint", model.fingerprint()},
            {"tokens", model.tokens()}}},
          {"swarm",
           {{"members", swarm.members()},
            {"neighbours", swarm.neighbours()},
            {"sent_bytes", swarm.sent_bytes()},
            {"received_bytes", swarm.received_bytes()},
            {"accepted", swarm.accepted()},
            {"held", swarm.held()},
            {"refused", swarm.refused()},
            {"base_hash", swarm.base_hash()},
            {"deltas", swarm.deltas()},
            {"duplicates", swarm.duplicates()},
            {"published", swarm.published()},
            {"refused_by_reason", counts_of(swarm.refused_by_reason())},
            {"bits_per_parameter", swarm.bits_per_parameter()},
            {"lateness", swarm.lateness()},
            {"budget", budget_json(swarm)}}},
          {"resources",
           {{"memory_bytes", resources.memory_bytes()},
            {"cpu_percent", resources.cpu_percent()},
            {"disk_bytes", resources.disk_bytes()},
            {"uptime_s", resources.uptime_s()}}},
          {"listen", status.listen()},
          {"steps_planned", status.steps_planned()},
          {"finished", status.finished()},
          {"paused", status.paused()}};
}

Json json_of(const v1::Member& member) {
  return {{"name", member.name()},
          {"id", member.id()},
          {"address", member.address()},
          {"state", member.state()},
          {"rtt_ms", member.has_rtt_ms() ? Json(member.rtt_ms()) : Json()},
          {"score", member.score()},
          {"version", member.version()},
          {"step", member.step()},
          {"last_delta_s", member.has_last_delta_s() ? Json(member.last_delta_s()) : Json()},
          {"self", member.self()},
          {"linked", member.linked()},
          {"bits_per_byte", member.has_bits_per_byte() ? Json(member.bits_per_byte()) : Json()},
          {"deltas", member.deltas()},
          {"lost_reason", member.lost_reason()},
          {"base_hash", member.base_hash()},
          {"base_deltas", member.base_deltas()},
          {"accused_by", Json(member.accused_by())},
          {"voices_against", member.voices_against()},
          {"refused_by_reason", counts_of(member.refused_by_reason())}};
}

Json json_of(const v1::Region& region) {
  return {{"region", region.region()},
          {"layer", region.layer()},
          {"kind", region.kind()},
          {"parameters", region.parameters()},
          {"active_percent", region.active() * 100},
          {"changed", region.changed()},
          {"sent", region.sent()},
          {"received", region.received()},
          {"hosts", region.hosts()},
          {"private", region.is_private()},
          {"hosted", region.is_hosted()}};
}

Json json_of(const v1::Provenance& row) {
  return {{"region", row.region()}, {"origin", row.origin()}, {"name", row.name()},
          {"deltas", row.deltas()}, {"norm", row.norm()},     {"last", row.last()}};
}

Json json_of(const v1::WatchEventsResponse& event) {
  Json line = {{"seq", event.seq()},
               {"time", static_cast<double>(event.time_ms()) / 1000},
               {"event", event.event()}};
  for (const auto& [key, value] :
       std::map<std::string, std::string>(event.fields().begin(), event.fields().end())) {
    if (!line.contains(key)) line[key] = value;
  }
  return line;
}

std::string event_line(const v1::WatchEventsResponse& event) {
  std::string line = time_text(event.time_ms() / 1000) + "  " + event.event();
  const std::map<std::string, std::string> fields(event.fields().begin(), event.fields().end());
  for (const auto& [key, value] : fields) line += " " + key + "=" + value;
  return line;
}

ExitCode status_verb(Cli& cli, bool is_check) {
  auto client = connect(cli);
  if (!client) return fail(cli, client.error());
  const auto status = client->status();
  if (!status) return fail(cli, status.error());
  if (cli.options.is_json) {
    print_json(cli, json_of(*status));
  } else if (is_check) {
    cli.console.out << status->state() << (status->reason().empty() ? "" : ": " + status->reason())
                    << "\n";
  } else {
    cli.console.out << status_screen(cli, *status);
  }
  return is_check && status->state() == "degraded" ? ExitCode::failed : ExitCode::ok;
}

ExitCode members_verb(Cli& cli, bool is_with_influence) {
  auto client = connect(cli);
  if (!client) return fail(cli, client.error());
  const auto members = client->members(is_with_influence);
  if (!members) return fail(cli, members.error());
  if (cli.options.is_json) {
    Json rows = Json::array();
    for (const auto& member : members->members()) {
      rows.push_back(json_of(member));
      if (is_with_influence) rows.back()["influence"] = influence_json(member);
    }
    print_json(cli, {{"members", rows}});
    return ExitCode::ok;
  }
  if (is_with_influence) {
    cli.console.out << influence_table(cli, *members);
    return ExitCode::ok;
  }
  std::vector<std::vector<std::string>> rows;
  for (const auto& member : members->members()) {
    rows.push_back(
        {presentable(cli, member.name()) + (member.self() ? " (this)" : ""), short_id(member.id()),
         member.address().empty() ? "-" : member.address(), member.state(),
         member.has_rtt_ms() ? number_text(member.rtt_ms(), 1) + " ms" : "-",
         number_text(member.score(), 1), member.version().empty() ? "-" : member.version(),
         std::to_string(member.step()),
         seconds_text(member.has_last_delta_s(), member.last_delta_s())});
  }
  cli.console.out << render_table(
      {"NAME", "ID", "ADDRESS", "STATE", "RTT", "SCORE", "VERSION", "STEP", "LAST-DELTA"}, rows);
  for (const auto& member : members->members()) {
    if (!member.lost_reason().empty() && !member.self()) {
      say(cli,
          presentable(cli, member.name()) + ": no link: " + presentable(cli, member.lost_reason()));
    }
  }
  for (const auto& member : members->members()) {
    if (member.accused_by().empty()) continue;
    std::string accusers;
    for (const std::string& accuser : member.accused_by())
      accusers += (accusers.empty() ? "" : ", ") + short_id(accuser);
    say(cli, presentable(cli, member.name()) + ": accused of spoiling what they know by " +
                 accusers + "; starling revoke " + short_id(member.id()) + " shuts it out");
  }
  return ExitCode::ok;
}

ExitCode regions_verb(Cli& cli) {
  auto client = connect(cli);
  if (!client) return fail(cli, client.error());
  const auto regions = client->regions();
  if (!regions) return fail(cli, regions.error());
  if (cli.options.is_json) {
    Json rows = Json::array();
    for (const auto& region : regions->regions()) rows.push_back(json_of(region));
    print_json(cli, {{"regions", rows}});
    return ExitCode::ok;
  }
  std::vector<std::vector<std::string>> rows;
  for (const auto& region : regions->regions()) {
    rows.push_back({region.region(), std::to_string(region.layer()), region.kind(),
                    std::to_string(region.parameters()), number_text(region.active() * 100, 1),
                    number_text(region.changed(), 3), std::to_string(region.sent()),
                    std::to_string(region.received()), std::to_string(region.hosts()),
                    region.is_private() ? "yes" : "no"});
  }
  cli.console.out << render_table({"REGION", "LAYER", "KIND", "PARAMETERS", "ACTIVE%", "CHANGED",
                                   "SENT", "RECEIVED", "HOSTS", "PRIVATE"},
                                  rows);
  return ExitCode::ok;
}

ExitCode watch_verb(Cli& cli, const WatchArguments& arguments) {
  auto client = connect(cli);
  if (!client) return fail(cli, client.error());
  v1::WatchEventsRequest request;
  request.set_after_seq(arguments.after_seq);
  request.set_from_now(arguments.is_from_now);
  uint64_t count = 0;
  uint64_t last_seq = 0;
  const auto done = client->watch(request, [&](const v1::WatchEventsResponse& event) {
    if (last_seq > 0 && event.seq() > last_seq + 1) {
      say(cli, std::to_string(event.seq() - last_seq - 1) + " events were missed");
    }
    last_seq = event.seq();
    if (cli.options.is_json) {
      print_json(cli, json_of(event));
    } else {
      cli.console.out << presentable(cli, event_line(event)) << std::endl;
    }
    return cli.console.out.good() && (arguments.count_max == 0 || ++count < arguments.count_max);
  });
  if (!done) return fail(cli, done.error());
  return ExitCode::ok;
}

ExitCode why_verb(Cli& cli, const std::string& region) {
  auto client = connect(cli);
  if (!client) return fail(cli, client.error());
  const auto answer = client->provenance(region);
  if (!answer) return fail(cli, answer.error());
  if (answer->rows().empty() && !region.empty()) {
    const auto regions = client->regions();
    if (!regions) return fail(cli, regions.error());
    const auto& all = regions->regions();
    const bool is_known = std::any_of(all.begin(), all.end(), [&](const auto& each) {
      return each.region() == region || each.region().starts_with(region + ".");
    });
    if (!is_known) {
      return fail(cli, {ExitCode::failed,
                        printable(region) + ": there is no such region; see: starling regions"});
    }
  }
  if (cli.options.is_json) {
    Json rows = Json::array();
    for (const auto& row : answer->rows()) rows.push_back(json_of(row));
    print_json(cli, {{"provenance", rows}});
    return ExitCode::ok;
  }
  std::vector<std::vector<std::string>> rows;
  for (const auto& row : answer->rows()) {
    rows.push_back({row.region(), short_id(row.origin()), presentable(cli, row.name()),
                    std::to_string(row.deltas()), number_text(row.norm(), 4),
                    row.last() > 0 ? time_text(row.last()) : "-"});
  }
  cli.console.out << render_table({"REGION", "ORIGIN", "NAME", "DELTAS", "NORM", "LAST"}, rows);
  if (rows.empty())
    say(cli, "nobody's delta has changed " + (region.empty() ? "any region" : region) + " yet");
  return ExitCode::ok;
}

}  // namespace starling::node
