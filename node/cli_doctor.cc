// doctor: what commonly goes wrong, and what to do about it. Works without a running node.
#include <algorithm>
#include <ctime>
#include <iostream>
#include <map>

#include "node/cli_verbs.h"
#include "node/doctor.h"
#include "node/home.h"
#include "node/table.h"

namespace starling::node {

namespace {

using Json = nlohmann::ordered_json;
using Verdict = Check::Verdict;

constexpr size_t reasons_shown_max = 3;
constexpr double answer_s = 5;  // for each call: a node that needs longer is not well

// What a running node says of itself; none of it where no node runs.
struct Told {
  Check node{.name = "node", .verdict = Verdict::ok, .detail = "", .advice = ""};
  std::optional<v1::GetStatusResponse> status;
  v1::ListMembersResponse members;
};

Told ask_node(const Cli& cli) {
  Told told;
  auto client =
      LocalClient::connect(cli.options.directory, cli.options.timeout_s.value_or(answer_s));
  if (!client) {
    told.node = failed_check("node", client.error().message);
    if (client.error().code == ExitCode::unreachable) told.node.verdict = Verdict::warning;
    return told;
  }
  const auto status = client->status();
  const auto members = status ? client->members() : Unexpected{status.error()};
  if (!members) {
    told.node = failed_check("node", members.error().message);
    told.node.advice = "wait a moment; if it stays so, end it and start it again: starling run";
    return told;
  }
  told.status = *status;
  told.members = *members;
  told.node.detail =
      "runs and answers, for " + duration_text(static_cast<double>(status->resources().uptime_s()));
  return told;
}

std::optional<Running> running_of(const Told& told) {
  if (!told.status) return std::nullopt;
  Running running{.listen = told.status->listen(),
                  .state = told.status->state(),
                  .uptime_s = told.status->resources().uptime_s(),
                  .linked = {}};
  for (const auto& member : told.members.members()) {
    if (member.linked()) running.linked.push_back(member.address());
  }
  return running;
}

Check examine_state(const v1::GetStatusResponse& status) {
  const std::string found =
      status.state() + (status.reason().empty() ? "" : ": " + status.reason());
  if (status.state() == "degraded") {
    return {"state", Verdict::failed, found,
            "mend what it names; if the model is spoilt: starling rollback"};
  }
  const bool is_mad = status.model().has_loss() && !(status.model().loss() < 64);
  if (is_mad) {
    return {"state", Verdict::failed,
            found + "; its loss is " + number_text(status.model().loss(), 1) + " bits",
            "starling rollback goes back to the checkpoint before"};
  }
  return {"state", Verdict::ok, found,
          status.paused() ? "starling resume lets it learn again" : ""};
}

bool is_present(const v1::Member& member) {
  return !member.self() && (member.state() == "alive" || member.state() == "suspect");
}

Check examine_links(const Cli& cli, const Told& told) {
  const auto& members = told.members.members();
  const auto others = std::count_if(members.begin(), members.end(), is_present);
  const uint64_t links = told.status->swarm().neighbours();
  if (links > 0) {
    return {"links", Verdict::ok,
            count_text(links, "link") + ", " +
                count_text(static_cast<uint64_t>(others), "other member") + " here",
            ""};
  }
  std::string why;
  for (const auto& member : members) {
    if (member.self() || member.state() == "left" || member.lost_reason().empty()) continue;
    why += (why.empty() ? ": " : "; ") + presentable(cli, member.name()) + ": " +
           presentable(cli, member.lost_reason());
  }
  if (members.size() < 2)
    return {"links", Verdict::ok, "alone in its swarm; starling invite admits others", ""};
  return {"links", Verdict::warning,
          "no link to any of " +
              count_text(static_cast<uint64_t>(members.size() - 1), "other member") + why,
          "do they run? can one of both sides reach the other's port? see: starling members"};
}

// Equal counts of deltas with unequal hashes: the same for a moment by chance, for longer never.
Check examine_agreement(const Cli& cli, const Told& told) {
  const auto& own = told.status->swarm();
  size_t equal = 0;
  std::string differing;
  for (const auto& member : told.members.members()) {
    if (!is_present(member) || own.deltas() == 0 || member.base_deltas() != own.deltas()) continue;
    if (member.base_hash() == own.base_hash())
      ++equal;
    else
      differing += (differing.empty() ? "" : ", ") + presentable(cli, member.name());
  }
  if (!differing.empty()) {
    return {"agreement", Verdict::warning,
            "as many deltas as " + differing + " and yet another sum",
            "look again in a minute; if it stays so, compare: starling members --json"};
  }
  return {"agreement", Verdict::ok,
          count_text(own.deltas(), "delta") + " in the sum; the same bits as " +
              count_text(equal, "member"),
          ""};
}

Check examine_refusals(const v1::SwarmStatus& swarm) {
  std::vector<std::pair<uint64_t, std::string>> reasons;
  uint64_t of_members = 0;
  for (const auto& [reason, count] : swarm.refused_by_reason()) {
    if (count > 0) reasons.emplace_back(count, reason);
    // Strangers who fail at the door are what the door is for.
    if (!reason.starts_with("handshake_")) of_members += count;
  }
  std::sort(reasons.rbegin(), reasons.rend());
  std::string found =
      count_text(swarm.held(), "delta") + " held, " + count_text(swarm.refused()) + " refused";
  for (size_t i = 0; i < std::min(reasons.size(), reasons_shown_max); ++i) {
    found += (i == 0 ? ": " : ", ") + reasons[i].second + " " + count_text(reasons[i].first);
  }
  const bool is_well = swarm.held() == 0 && of_members == 0;
  return {"refusals", is_well ? Verdict::ok : Verdict::warning, found,
          is_well ? "" : "starling watch says whose and why; starling revoke shuts one out"};
}

ExitCode present(Cli& cli, const Checks& checks) {
  const auto count = [&](Verdict verdict) {
    return std::count_if(checks.begin(), checks.end(),
                         [&](const Check& check) { return check.verdict == verdict; });
  };
  const auto failed = count(Verdict::failed);
  const auto warnings = count(Verdict::warning);
  if (cli.options.is_json) {
    Json rows = Json::array();
    for (const Check& check : checks) {
      rows.push_back({{"check", check.name},
                      {"ok", verdict_name(check.verdict)},
                      {"detail", check.detail},
                      {"advice", check.advice}});
    }
    print_json(cli, {{"checks", rows}, {"failed", failed}, {"warnings", warnings}});
    return failed > 0 ? ExitCode::failed : ExitCode::ok;
  }
  const std::map<Verdict, const char*> colours{
      {Verdict::ok, "32"}, {Verdict::warning, "33"}, {Verdict::failed, "31"}};
  for (const Check& check : checks) {
    std::string verdict = verdict_name(check.verdict);
    verdict.resize(9, ' ');
    std::string name = check.name;
    name.resize(12, ' ');
    cli.console.out << coloured(cli, verdict, colours.at(check.verdict)) << name
                    << presentable(cli, check.detail) << "\n";
    if (!check.advice.empty())
      cli.console.out << std::string(21, ' ') << "-> " << presentable(cli, check.advice) << "\n";
  }
  say(cli, failed + warnings == 0
               ? "nothing is wrong"
               : count_text(static_cast<uint64_t>(failed), "check") + " failed, " +
                     count_text(static_cast<uint64_t>(warnings), "warning"));
  return failed > 0 ? ExitCode::failed : ExitCode::ok;
}

}  // namespace

ExitCode doctor_verb(Cli& cli) {
  const int64_t now_s = std::time(nullptr);
  const Told told = ask_node(cli);
  const std::optional<Running> running = running_of(told);
  HomeChecks home = examine_home(cli.options.directory, running, now_s);
  Checks checks = std::move(home.checks);
  checks.push_back(examine_clock(cli.options.directory, now_s));
  checks.push_back(told.node);
  if (home.config) {
    for (Check& check : examine_network(*home.config, running)) checks.push_back(std::move(check));
  }
  if (told.status) {
    checks.push_back(examine_state(*told.status));
    checks.push_back(examine_links(cli, told));
    checks.push_back(examine_agreement(cli, told));
    checks.push_back(examine_refusals(told.status->swarm()));
  }
  return present(cli, checks);
}

}  // namespace starling::node
