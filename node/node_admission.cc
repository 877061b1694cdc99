// Whom this node's owner lets in and shuts out.
#include <algorithm>
#include <sstream>

#include "node/clock.h"
#include "node/log.h"
#include "node/node.h"

namespace starling::node {

namespace {

constexpr size_t banned_max = 1024;
constexpr const char* slots_key = "invite_slots";  // "SLOT EXPIRES ..." of invites not yet used

Unexpected<Failure> fail(FailureKind kind, const std::string& message) {
  return Unexpected{Failure{kind, message}};
}

using Slots = std::map<uint32_t, int64_t>;  // expiry in Unix seconds, 0: never

Slots parse_slots(const std::string& text, int64_t now_s) {
  Slots slots;
  std::istringstream words(text);
  uint32_t slot = 0;
  int64_t expires_s = 0;
  while (words >> slot >> expires_s) {
    if (expires_s == 0 || expires_s > now_s) slots[slot] = expires_s;
  }
  return slots;
}

std::string to_text(const Slots& slots) {
  std::string text;
  for (const auto& [slot, expires_s] : slots)
    text += std::to_string(slot) + " " + std::to_string(expires_s) + " ";
  return text;
}

}  // namespace

// Places are numbered, and each is good for one device: whoever gives one away twice makes two
// devices quarrel for it.
Result<swarm::InviteToken, Failure> Node::invite_as_issuer(const swarm::InviteTerms& terms) {
  const swarm::Membership& own = home_.membership;
  const auto admissions = driver_->admissions();
  if (own.invite.quota == 0 || admissions == nullptr) {
    return fail(FailureKind::permission,
                "this node may not invite: neither has it the swarm's root key, nor was it invited "
                "to do so; ask the founder for: starling invite --may-invite N");
  }
  const size_t above = own.issuers.size() + 1;  // of whom it invites
  if (above > swarm::issuers_max || (terms.quota > 0 && above >= swarm::issuers_max)) {
    return fail(FailureKind::permission,
                "there may be at most " + std::to_string(swarm::issuers_max) +
                    " members that invite between the founder and another member");
  }
  if (admissions->is_outcast(home_.identity.id()))
    return fail(FailureKind::permission, "this node's own membership was revoked");
  if (terms.quota > 0 && (!own.invite.may_delegate || terms.quota > own.invite.quota)) {
    return fail(FailureKind::permission, own.invite.may_delegate
                                             ? "this node may invite " +
                                                   std::to_string(own.invite.quota) +
                                                   " itself, and so lets nobody invite more"
                                             : "this node may invite, but not make others who may");
  }
  std::lock_guard lock(data_mutex_);
  Slots given = parse_slots(db_->get(slots_key).value_or(""), unix_s());
  swarm::InviteTerms placed = terms;
  for (uint32_t slot = 1; slot <= own.invite.quota && placed.slot == 0; ++slot) {
    if (!given.contains(slot) && admissions->is_free(home_.identity.id(), slot)) placed.slot = slot;
  }
  if (placed.slot == 0) {
    return fail(FailureKind::exhausted, "all " + std::to_string(own.invite.quota) +
                                            " places that this node may give are given; revoke "
                                            "a member, or wait until an unused invite expires");
  }
  given[placed.slot] = terms.expires_s;
  db_->set(slots_key, to_text(given));
  if (const auto fault = db_->take_fault()) return fail(FailureKind::exhausted, *fault);
  return swarm::make_invite(home_.identity.signer(), &own, placed, home_.config.model.preset,
                            advertised(transport_->port()));
}

Result<std::string, Failure> Node::create_invite(const InviteOptions& options) {
  if (options.quota > swarm::quota_max || (options.quota == 0 && options.may_delegate)) {
    return fail(FailureKind::bad_data,
                "a member may be let invite 1 to " + std::to_string(swarm::quota_max) + " others");
  }
  const swarm::InviteTerms terms{
      .expires_s = options.valid_for_s > 0 ? unix_s() + options.valid_for_s : 0,
      .quota = options.quota,
      .may_delegate = options.may_delegate};
  const Result<Identity, HomeError> root = open_swarm_key(home_);
  if (root) {
    return swarm::encode_token(swarm::make_invite(
        root->signer(), nullptr, terms, home_.config.model.preset, advertised(transport_->port())));
  }
  if (home_.membership.invite.quota == 0)
    return fail(FailureKind::permission, root.error().message);
  const auto token = invite_as_issuer(terms);
  if (!token) return Unexpected{token.error()};
  return swarm::encode_token(*token);
}

// As the root, or as an issuer above the member. False: this node has no right to.
bool Node::revoke_everywhere(const swarm::Admissions& admissions, const swarm::PeerId& peer,
                             bool is_with_invited) {
  const Result<Identity, HomeError> root = open_swarm_key(home_);
  if (!root) {
    if (home_.membership.invite.quota == 0) return false;
    const auto below = admissions.admitted_by(home_.identity.id());
    if (std::find(below.begin(), below.end(), peer) == below.end()) return false;
  }
  std::vector<swarm::RevokedKind> kinds{swarm::RevokedKind::node};
  if (is_with_invited) kinds.push_back(swarm::RevokedKind::issuer);
  return std::all_of(kinds.begin(), kinds.end(), [&](swarm::RevokedKind kind) {
    return driver_->push(swarm::Revoke{
        root ? swarm::revoke(kind, peer.bytes, root->signer())
             : swarm::revoke(kind, peer.bytes, home_.identity.signer(), home_.membership)});
  });
}

// The owner may leave it to so many independent members to say who goes.
void Node::honour_accusations(const swarm::Admissions& admissions) {
  const uint32_t needed = home_.config.swarm.accusers_to_revoke;
  if (needed == 0) return;
  for (const swarm::PeerId& accused : admissions.accused()) {
    if (accused == home_.identity.id() || admissions.is_outcast(accused)) continue;
    const size_t voices = admissions.voices_against(accused);
    if (voices < needed || !revoke_everywhere(admissions, accused, false)) continue;
    log_warning("revoked", {{"peer", swarm::short_string(accused)},
                            {"reason", std::to_string(voices) + " members accuse it, and " +
                                           std::to_string(needed) + " suffice here"}});
  }
}

Result<RevokeOutcome, Failure> Node::revoke(const RevokeOptions& options) {
  const std::string& id = options.id;
  std::optional<swarm::PeerId> found = swarm::parse_peer_id(id);
  for (const swarm::MemberView& member : members()) {
    if (!found && (member.name == id || swarm::short_string(member.id) == id) && !member.is_self)
      found = member.id;
  }
  if (!found)
    return fail(FailureKind::not_found,
                id + ": no member has this id or name; starling members lists them");
  if (*found == home_.identity.id())
    return fail(FailureKind::bad_data, "a node cannot shut itself out; use starling leave");
  const std::string full = swarm::to_string(*found);
  const auto admissions = driver_->admissions();
  if (admissions != nullptr && revoke_everywhere(*admissions, *found, options.is_with_invited))
    return RevokeOutcome{full, true};
  if (options.is_with_invited) {
    return fail(FailureKind::permission,
                "only the founder, or who invited it, can shut out whom it invited");
  }
  if (const auto done = ban(*found); !done) return Unexpected{done.error()};
  return RevokeOutcome{full, false};
}

// One that has been admitted since then is pending no more.
std::vector<Applicant> Node::pending() {
  std::vector<Applicant> pending = applicants_.list();
  const auto in = members();
  std::erase_if(pending, [&](const Applicant& applicant) {
    const bool was_foreign =
        applicant.reason == "not_a_member" || applicant.reason == "another_swarm";
    return was_foreign && std::any_of(in.begin(), in.end(), [&](const swarm::MemberView& member) {
             return swarm::to_string(member.id) == applicant.id;
           });
  });
  return pending;
}

// Here alone; what it taught stays.
Result<Done, Failure> Node::ban(const swarm::PeerId& peer) {
  std::string banned = db_->get("banned").value_or("");
  const std::string full = swarm::to_string(peer);
  if (banned.find(full) == std::string::npos) {
    if (static_cast<size_t>(std::count(banned.begin(), banned.end(), ' ')) >= banned_max) {
      return fail(FailureKind::exhausted,
                  "the list of members shut out is full (" + std::to_string(banned_max) + ")");
    }
    db_->set("banned", banned.empty() ? full : banned + " " + full);
    if (const auto fault = db_->take_fault()) return fail(FailureKind::exhausted, *fault);
  }
  transport_->ban(peer);
  if (!driver_->push(swarm::Ban{peer}))
    return fail(FailureKind::unavailable, "the protocol thread does not keep up; try again");
  return Done{};
}

}  // namespace starling::node
