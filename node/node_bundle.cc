// Deltas to a file and from one. What comes in goes through the same checks as what a peer sends.
#include "node/clock.h"
#include "node/log.h"
#include "node/node.h"
#include "node/spool.h"
#include "swarm/bundle.h"
#include "swarm/codec.h"

namespace starling::node {

namespace {

using std::chrono::milliseconds;

constexpr uint64_t bundle_size_max = 1u << 30;  // bytes on disk for a while
constexpr milliseconds protocol_timeout{10000};
constexpr milliseconds learner_timeout{180000};  // longer than it takes to teach
constexpr size_t batch_inputs_max = 64;
constexpr size_t batch_bytes_max = 4u << 20;
constexpr uint64_t deltas_ahead_max = 1024;  // of the learner, whose queue is bounded

Unexpected<Failure> fail(FailureKind kind, const std::string& message) {
  return Unexpected{Failure{kind, message}};
}

std::string to_string(const swarm::Bytes& bytes) { return {bytes.begin(), bytes.end()}; }

// Writes the parts of a bundle; remembers that nobody listens any more.
class Outgoing {
 public:
  explicit Outgoing(const std::function<bool(const std::string&)>& on_bytes)
      : on_bytes_(on_bytes) {}
  void write(const swarm::Bytes& bytes) { is_open_ = is_open_ && on_bytes_(to_string(bytes)); }
  void message(const swarm::Message& content) {
    write(writer.part(swarm::BundlePartKind::message, swarm::encode_message(content)));
  }
  bool is_open() const { return is_open_; }
  swarm::BundleWriter writer;

 private:
  const std::function<bool(const std::string&)>& on_bytes_;
  bool is_open_ = true;
};

void write_admissions(const swarm::Admissions& admissions, Outgoing& out) {
  swarm::AdmissionNews news{.digest = admissions.digest(), .items = {}};
  for (const auto& [id, item] : admissions.items()) {
    news.items.push_back(item->bytes);
    if (news.items.size() < swarm::admission_items_max) continue;
    out.message(news);
    news.items.clear();
  }
  if (!news.items.empty()) out.message(news);
}

void write_members(const std::vector<swarm::MemberRecord>& records, Outgoing& out) {
  swarm::Members members;
  for (const swarm::MemberRecord& record : records) {
    members.records.push_back(record);
    if (members.records.size() < swarm::members_per_message_max) continue;
    out.message(members);
    members.records.clear();
  }
  if (!members.records.empty()) out.message(members);
}

// What a part is as an input of the protocol. Errors: why nobody who is sound made it.
Result<swarm::Input, swarm::DropReason> to_input(const swarm::PeerId& self, swarm::BundlePart part,
                                                 const swarm::InboundRules& rules) {
  if (part.kind == swarm::BundlePartKind::message) {
    auto message = swarm::decode_message(part.bytes);
    if (!message) return Unexpected{message.error()};
    if (auto* members = std::get_if<swarm::Members>(&*message))
      return swarm::Input(swarm::ImportedMessage{std::move(*members)});
    if (auto* news = std::get_if<swarm::AdmissionNews>(&*message))
      return swarm::Input(swarm::ImportedMessage{std::move(*news)});
    return Unexpected{swarm::DropReason::unexpected};
  }
  auto frame = std::make_shared<const swarm::Bytes>(std::move(part.bytes));
  swarm::Input input = swarm::receive(self, std::move(frame), rules);
  if (auto* delta = std::get_if<swarm::ReceivedDelta>(&input)) {
    return swarm::Input(
        swarm::ImportedDelta{delta->header, std::move(delta->summary), std::move(delta->frame)});
  }
  const auto* refused = std::get_if<swarm::ReceivedRefused>(&input);
  return Unexpected{refused ? refused->reason : swarm::DropReason::unexpected};
}

// Whether every signature in it holds; a bundle in which one does not is not taken in at all.
class Proof {
 public:
  explicit Proof(const swarm::SwarmId& swarm) : swarm_(swarm), seen_(swarm) {}
  bool holds(const swarm::Input& input) {
    const auto* imported = std::get_if<swarm::ImportedMessage>(&input);
    if (imported == nullptr) return true;  // receive() has looked at it
    if (const auto* members = std::get_if<swarm::Members>(&imported->message)) {
      return std::all_of(members->records.begin(), members->records.end(),
                         [this](const auto& record) { return is_authentic(record, swarm_); });
    }
    const auto& news = std::get<swarm::AdmissionNews>(imported->message);
    return std::all_of(news.items.begin(), news.items.end(), [this](const swarm::Bytes& item) {
      return seen_.add(item) != swarm::Admissions::Taken::forged;
    });
  }

 private:
  swarm::SwarmId swarm_;
  swarm::Admissions seen_;
};

// Takes inputs in, in batches, and counts what came of them.
class Intake {
 public:
  Intake(Driver& driver, Learner& learner) : driver_(driver), learner_(learner) {}

  Result<Done, Failure> take(swarm::Input input) {
    if (const auto* delta = std::get_if<swarm::ImportedDelta>(&input))
      bytes_ += delta->frame->size();
    inputs_.push_back(std::move(input));
    if (inputs_.size() >= batch_inputs_max || bytes_ >= batch_bytes_max) {
      if (const auto flushed = flush(); !flushed) return flushed;
    }
    return ahead_ < deltas_ahead_max ? Done{} : settle();
  }

  // To be called at the end as well.
  Result<Done, Failure> flush() {
    if (!inputs_.empty()) {
      const auto counted = driver_.take(std::move(inputs_), protocol_timeout);
      inputs_.clear();
      bytes_ = 0;
      if (!counted) {
        return fail(FailureKind::timeout,
                    "the protocol thread was busy for too long; import the file again, what is in "
                    "already is not taken twice");
      }
      count(*counted);
    }
    return Done{};
  }

  // Until the learner has everything that was taken in.
  Result<Done, Failure> settle() {
    ahead_ = 0;
    if (learner_.call([](Mind&) { return true; }, learner_timeout)) return Done{};
    return fail(FailureKind::timeout, "the learner was busy for too long; import the file again");
  }
  const ImportOutcome& outcome() const { return outcome_; }

 private:
  void count(const swarm::Counters& counted) {
    outcome_.added += counted.accepted;
    outcome_.known += counted.duplicates;
    ahead_ += counted.accepted;
    for (size_t i = 0; i < counted.refused_by_reason.size(); ++i) {
      if (counted.refused_by_reason[i] == 0) continue;
      const std::string reason(swarm::drop_reason_name(static_cast<swarm::DropReason>(i)));
      outcome_.refused_by_reason[reason] += counted.refused_by_reason[i];
    }
  }

  Driver& driver_;
  Learner& learner_;
  std::vector<swarm::Input> inputs_;
  size_t bytes_ = 0;    // of the deltas among them
  uint64_t ahead_ = 0;  // deltas that the learner may not have yet
  ImportOutcome outcome_;
};

}  // namespace

Result<ExportOutcome, Failure> Node::export_deltas(
    const ExportOptions& options, const std::function<bool(const std::string&)>& on_bytes) {
  swarm::VersionVector since;
  if (!options.since.empty()) {
    auto decoded = swarm::decode_version_vector(options.since);
    if (!decoded) return fail(FailureKind::bad_data, "since: it is no version vector");
    since = *std::move(decoded);
  }
  const auto holdings = driver_->holdings(protocol_timeout);
  const auto admissions = driver_->admissions();
  if (!holdings || admissions == nullptr)
    return fail(FailureKind::timeout, "the protocol thread was busy for too long; try again");
  Outgoing out(on_bytes);
  out.write(out.writer.head({home_.swarm, fingerprint_, holdings->have}));
  write_admissions(*admissions, out);
  write_members(holdings->members, out);
  ExportOutcome outcome{.members = holdings->members.size()};
  const auto is_wanted = [&](const swarm::DeltaKey& key) {
    return holdings->have.contains(key) && !since.contains(key) &&
           !admissions->is_outcast(key.stream.origin);
  };
  for (const DeltaStore::Entry& entry : log_->entries()) {
    if (!out.is_open()) break;
    if (!is_wanted(entry.key)) continue;
    const Result<swarm::Bytes, std::string> frame = log_->read(entry.key);
    if (!frame) continue;  // it was damaged, or went meanwhile: counted below
    out.write(out.writer.part(swarm::BundlePartKind::delta, *frame));
    ++outcome.deltas;
  }
  out.write(out.writer.end());
  if (!out.is_open()) return fail(FailureKind::unavailable, "the receiver hung up");
  uint64_t wanted = 0;
  for (const auto& [stream, seen] : holdings->have.streams()) {
    if (admissions->is_outcast(stream.origin)) continue;
    const auto found = since.streams().find(stream);
    const swarm::Seen without = found == since.streams().end() ? swarm::Seen{} : found->second;
    wanted += swarm::missing_numbers(without, seen, SIZE_MAX).size();
  }
  outcome.folded = wanted - std::min(wanted, outcome.deltas);
  return outcome;
}

// Why this bundle is not for this node; nothing: it is.
std::optional<std::string> Node::foreign(const swarm::BundleHead& head) const {
  if (head.swarm != home_.swarm)
    return "it is of another swarm (" + to_hex(head.swarm) + ", this one is " +
           to_hex(home_.swarm) + ")";
  if (head.fingerprint != fingerprint_)
    return "it is for another model (fingerprint " + to_hex(head.fingerprint) + ", this one is " +
           to_hex(fingerprint_) + ")";
  return std::nullopt;
}

// Calls `on_input` for each part. Errors: what is wrong with the bundle, or what on_input said.
Result<Done, Failure> Node::read_bundle(
    const Spool& spool, const std::function<Result<Done, Failure>(swarm::Input)>& on_input) const {
  swarm::BundleReader reader;
  std::optional<Failure> failure;
  const auto refuse = [&failure](const std::string& reason) {
    failure = Failure{FailureKind::bad_data, reason + "; nothing was taken in"};
    return false;
  };
  const swarm::InboundRules rules{home_.swarm, fingerprint_, &table_};
  uint64_t count = 0;
  const auto whole = spool.read([&](swarm::ByteView piece) {
    auto parts = reader.take(piece);
    if (!parts) return refuse(std::string(swarm::bundle_error_text(parts.error())));
    const auto reason = reader.head() ? foreign(*reader.head()) : std::nullopt;
    if (reason) return refuse(*reason);
    for (swarm::BundlePart& part : *parts) {
      ++count;
      auto input = to_input(home_.identity.id(), std::move(part), rules);
      if (!input) {
        return refuse("part " + std::to_string(count) + " of the file is not sound (" +
                      std::string(swarm::drop_reason_name(input.error())) + ")");
      }
      if (auto done = on_input(*std::move(input)); !done) {
        failure = done.error();
        return false;
      }
    }
    return true;
  });
  if (failure) return Unexpected{*failure};
  if (!whole) return fail(FailureKind::exhausted, whole.error());
  const auto end = reader.finish();
  if (!end) (void)refuse(std::string(swarm::bundle_error_text(end.error())));
  if (failure) return Unexpected{*failure};
  return Done{};
}

// Twice through the file: first all of it is looked at, so that nothing of a bad one is taken in.
Result<ImportOutcome, Failure> Node::import_deltas(
    const std::function<std::optional<std::string>()>& next_bytes) {
  if (!home_.config.swarm.exchange) {
    return fail(FailureKind::permission,
                "swarm.exchange is false: this node takes nothing from others");
  }
  auto spool = Spool::open(home_.paths.directory, bundle_size_max);
  if (!spool) return fail(FailureKind::exhausted, spool.error());
  while (const auto piece = next_bytes()) {
    const auto added = spool->add(std::vector<uint8_t>(piece->begin(), piece->end()));
    if (!added) return fail(FailureKind::exhausted, added.error());
  }
  Proof proof(home_.swarm);
  const auto checked = read_bundle(*spool, [&proof](const swarm::Input& input) {
    if (proof.holds(input)) return Result<Done, Failure>(Done{});
    return Result<Done, Failure>(fail(
        FailureKind::bad_data, "a member's record in the file is forged; nothing was taken in"));
  });
  if (!checked) return Unexpected{checked.error()};
  Intake intake(*driver_, *learner_);
  const auto taken =
      read_bundle(*spool, [&intake](swarm::Input input) { return intake.take(std::move(input)); });
  if (!taken) return Unexpected{taken.error()};
  if (const auto flushed = intake.flush(); !flushed) return Unexpected{flushed.error()};
  if (const auto settled = intake.settle(); !settled) return Unexpected{settled.error()};
  const ImportOutcome& outcome = intake.outcome();
  log_info("bundle imported",
           {{"added", std::to_string(outcome.added)}, {"known", std::to_string(outcome.known)}});
  return outcome;
}

}  // namespace starling::node
