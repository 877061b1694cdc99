// pause, resume, snapshot, rollback, leave, pending, revoke, invite: the owner's commands.
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include <array>
#include <charconv>
#include <ctime>
#include <iostream>

#include "node/cli_verbs.h"
#include "node/table.h"

namespace starling::node {

namespace {

constexpr size_t invite_addresses_max = 4;
constexpr int64_t valid_max_s = 3650LL * 86400;

// Runs one command that answers nothing; prints `sentence` or `json`.
ExitCode command(Cli& cli, Answer<Done> (LocalClient::*call)(), const char* sentence,
                 const nlohmann::ordered_json& json) {
  auto client = connect(cli);
  if (!client) return fail(cli, client.error());
  const auto done = ((*client).*call)();
  if (!done) return fail(cli, done.error());
  if (cli.options.is_json) {
    print_json(cli, json);
  } else {
    cli.console.out << sentence << "\n";
  }
  return ExitCode::ok;
}

ExitCode path_command(Cli& cli, Answer<std::string> (LocalClient::*call)(), const char* sentence) {
  auto client = connect(cli);
  if (!client) return fail(cli, client.error());
  const auto path = ((*client).*call)();
  if (!path) return fail(cli, path.error());
  if (cli.options.is_json) {
    print_json(cli, {{"path", *path}});
  } else {
    cli.console.out << sentence << *path << "\n";
  }
  return ExitCode::ok;
}

// The addresses of this device on its networks, for a node that listens on all of them.
std::vector<std::string> interface_hosts() {
  std::vector<std::string> hosts;
  ifaddrs* first = nullptr;
  if (getifaddrs(&first) != 0) return hosts;
  for (const ifaddrs* at = first; at && hosts.size() < invite_addresses_max; at = at->ifa_next) {
    const bool is_up = (at->ifa_flags & IFF_UP) != 0 && (at->ifa_flags & IFF_LOOPBACK) == 0;
    if (!is_up || !at->ifa_addr || at->ifa_addr->sa_family != AF_INET) continue;
    const void* raw = at->ifa_addr;
    const auto* address = static_cast<const sockaddr_in*>(raw);
    std::array<char, INET_ADDRSTRLEN> text{};
    if (inet_ntop(AF_INET, &address->sin_addr, text.data(), text.size()))
      hosts.emplace_back(text.data());
  }
  freeifaddrs(first);
  return hosts;
}

// Where a newcomer will find this node while it is not running and cannot say so itself.
Answer<std::vector<std::string>> addresses_of(const Config& config) {
  if (!config.node.advertise.empty()) return config.node.advertise;
  const size_t colon = config.node.listen.rfind(':');
  const std::string host = config.node.listen.substr(0, colon);
  const std::string port = config.node.listen.substr(colon + 1);
  if (port == "0") {
    return Unexpected{
        HomeError{ExitCode::failed,
                  "the port is not known before the node runs (node.listen has port 0); start it "
                  "first, or set node.advertise"}};
  }
  if (host != "0.0.0.0" && host != "[::]") return std::vector<std::string>{config.node.listen};
  std::vector<std::string> addresses;
  for (const auto& found : interface_hosts()) addresses.push_back(found + ":" + port);
  if (addresses.empty()) addresses.push_back("127.0.0.1:" + port);
  return addresses;
}

// The founder's own key makes the invite; no node has to run.
Answer<std::string> invite_offline(const std::string& directory,
                                   const v1::CreateInviteRequest& request) {
  auto home = open_home(directory);
  if (!home) return Unexpected{home.error()};
  auto root = open_swarm_key(*home);
  if (!root) return Unexpected{root.error()};
  const auto addresses = addresses_of(home->config);
  if (!addresses) return Unexpected{addresses.error()};
  const int64_t valid_for_s = request.valid_for_s();
  const swarm::InviteTerms terms{
      .expires_s = valid_for_s == 0 ? 0 : std::time(nullptr) + valid_for_s,
      .quota = request.quota(),
      .may_delegate = request.may_delegate()};
  return swarm::encode_token(
      swarm::make_invite(root->signer(), nullptr, terms, home->config.model.preset, *addresses));
}

// The full id of the one member that `who` names: by id, by the beginning of an id, or by name.
Answer<std::string> member_named(LocalClient& client, const std::string& who) {
  const auto members = client.members();
  if (!members) return Unexpected{members.error()};
  std::vector<std::string> found;
  for (const auto& member : members->members()) {
    if (member.id() == who) return who;
    if (member.name() == who || (who.size() >= 4 && member.id().starts_with(who)))
      found.push_back(member.id());
  }
  if (found.size() == 1) return found[0];
  if (found.empty()) return who;  // the node says what it thinks of it
  return Unexpected{
      HomeError{ExitCode::usage, "\"" + who + "\" could be " + std::to_string(found.size()) +
                                     " members; give the id: starling members --json"}};
}

// Why an applicant was refused, in words.
std::string refusal_text(const std::string& reason) {
  if (reason == "not_a_member") return "has no membership";
  if (reason == "another_swarm") return "is of another swarm";
  if (reason == "revoked") return "was revoked";
  if (reason == "displaced_member") return "used another's invite";
  if (reason == "banned") return "is shut out here";
  return reason;
}

}  // namespace

std::optional<int64_t> parse_duration_s(const std::string& text) {
  if (text == "forever" || text == "0") return 0;
  int64_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  const std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
  if (error != std::errc() || count <= 0) return std::nullopt;
  const int64_t unit_s = unit == "s"   ? 1
                         : unit == "m" ? 60
                         : unit == "h" ? 3600
                         : unit == "d" ? 86400
                                       : 0;
  if (unit_s == 0 || count > valid_max_s / unit_s) return std::nullopt;
  return count * unit_s;
}

ExitCode pause_verb(Cli& cli) {
  return command(cli, &LocalClient::pause,
                 "paused: it learns nothing, answers and exchanges; go on with: starling resume",
                 {{"paused", true}});
}
ExitCode resume_verb(Cli& cli) {
  return command(cli, &LocalClient::resume, "resumed", {{"paused", false}});
}
ExitCode leave_verb(Cli& cli) {
  return command(cli, &LocalClient::leave, "said goodbye to the swarm; the node stops",
                 {{"left", true}});
}
ExitCode snapshot_verb(Cli& cli) { return path_command(cli, &LocalClient::snapshot, "wrote "); }
ExitCode rollback_verb(Cli& cli) {
  return path_command(cli, &LocalClient::rollback, "went back to ");
}

ExitCode pending_verb(Cli& cli) {
  auto client = connect(cli);
  if (!client) return fail(cli, client.error());
  const auto pending = client->pending();
  if (!pending) return fail(cli, pending.error());
  if (cli.options.is_json) {
    using Json = nlohmann::ordered_json;
    Json rows = Json::array();
    for (const auto& each : pending->pending()) {
      rows.push_back({{"id", each.has_id() ? Json(each.id()) : Json()},
                      {"address", each.address()},
                      {"first_s", each.first_s()},
                      {"last_s", each.last_s()},
                      {"attempts", each.attempts()},
                      {"reason", each.reason()}});
    }
    print_json(cli, {{"pending", rows}});
    return ExitCode::ok;
  }
  std::vector<std::vector<std::string>> rows;
  for (const auto& each : pending->pending()) {
    rows.push_back({each.has_id() ? each.id() : "-", each.address(), refusal_text(each.reason()),
                    std::to_string(each.attempts()), time_text(each.first_s()),
                    time_text(each.last_s())});
  }
  cli.console.out << render_table({"ID", "ADDRESS", "REASON", "ATTEMPTS", "FIRST", "LAST"}, rows);
  say(cli, rows.empty() ? "nobody but members has tried to connect since the node started"
                        : "to admit one: compare its id with what starling status says there, then "
                          "starling invite here, and there: starling join --dir DIR TOKEN");
  return ExitCode::ok;
}

ExitCode revoke_verb(Cli& cli, const RevokeArguments& arguments) {
  auto client = connect(cli);
  if (!client) return fail(cli, client.error());
  const auto id = member_named(*client, arguments.who);
  if (!id) return fail(cli, id.error());
  v1::RevokeRequest request;
  request.set_id(*id);
  request.set_with_invited(arguments.is_with_invited);
  const auto done = client->revoke(request);
  if (!done) return fail(cli, done.error());
  if (cli.options.is_json) {
    print_json(cli, {{"revoked", *id}, {"everywhere", done->everywhere()}});
  } else if (done->everywhere()) {
    cli.console.out << "shut out of the swarm: " << presentable(cli, *id) << "\n";
  } else {
    cli.console.out << "shut out of this node: " << presentable(cli, *id) << "\n";
    say(cli, "only the founder, or the member that invited it, can shut it out of the swarm");
  }
  return ExitCode::ok;
}

ExitCode invite_verb(Cli& cli, const InviteArguments& arguments) {
  const auto valid_for_s = parse_duration_s(arguments.valid);
  if (!valid_for_s) {
    return fail(cli, {ExitCode::usage,
                      "--valid " + arguments.valid + ": must be such as 30m, 12h, 7d or forever"});
  }
  if (arguments.may_delegate && arguments.quota == 0)
    return fail(cli, {ExitCode::usage, "--may-delegate needs --may-invite N"});
  v1::CreateInviteRequest request;
  request.set_valid_for_s(*valid_for_s);
  request.set_quota(arguments.quota);
  request.set_may_delegate(arguments.may_delegate);
  auto client = connect(cli);
  auto token = client ? client->create_invite(request)
               : client.error().code == ExitCode::unreachable
                   ? invite_offline(cli.options.directory, request)
                   : Answer<std::string>(Unexpected{client.error()});
  if (!token) return fail(cli, token.error());
  const int64_t expires_s = *valid_for_s == 0 ? 0 : std::time(nullptr) + *valid_for_s;
  if (cli.options.is_json) {
    using Json = nlohmann::ordered_json;
    print_json(cli, {{"token", *token}, {"expires", expires_s == 0 ? Json() : Json(expires_s)}});
    return ExitCode::ok;
  }
  cli.console.out << *token << "\n";
  const std::string rights =
      arguments.quota == 0 ? "" : " and invite " + std::to_string(arguments.quota) + " more";
  say(cli, "whoever has this line can join" + rights +
               (expires_s == 0 ? std::string() : " until " + time_text(expires_s)) +
               "; there: starling join --dir DIR TOKEN");
  return ExitCode::ok;
}

}  // namespace starling::node
