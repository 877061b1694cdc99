// InspectService and AdminService.
#include "node/local_unary.h"

namespace starling::node {

namespace {

constexpr std::chrono::seconds write_wait_max{30};  // for a watcher that does not read
constexpr int64_t event_wait_ms = 500;  // then it is looked whether anybody still listens

std::string hex(std::span<const uint8_t> bytes) {
  constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (const uint8_t byte : bytes) {
    text += digits[byte >> 4];
    text += digits[byte & 15];
  }
  return text;
}

const char* restraint_name(swarm::Restraint restraint) {
  switch (restraint) {
    case swarm::Restraint::none:
      return "none";
    case swarm::Restraint::quiet_hours:
      return "quiet_hours";
    case swarm::Restraint::day_used:
      return "day_used";
  }
  return "none";
}

void fill(const swarm::BudgetView& view, const std::string& quiet_hours, v1::BudgetStatus& out) {
  out.set_sent_today(view.today.sent_bytes);
  out.set_received_today(view.today.received_bytes);
  out.set_sent_last_minute(view.sent_last_minute);
  out.set_received_last_minute(view.received_last_minute);
  out.set_upload_bytes_per_s(view.limits.up_bytes_per_s);
  out.set_download_bytes_per_s(view.limits.down_bytes_per_s);
  out.set_daily_bytes(view.limits.day_bytes);
  out.set_quiet_hours(quiet_hours);
  out.set_restraint(restraint_name(view.restraint));
  out.set_upload_short(view.is_up_short);
  out.set_download_short(view.is_down_short);
}

void fill(const Status& status, v1::GetStatusResponse& out) {
  out.set_name(status.name);
  out.set_id(status.id);
  out.set_swarm_id(status.swarm);
  out.set_state(status.state);
  out.set_since(status.since_s);
  out.set_reason(status.reason);
  out.set_next(status.next);
  auto& model = *out.mutable_model();
  model.set_preset(status.model.preset);
  model.set_parameters(status.model.parameters);
  model.set_step(status.model.step);
  if (status.model.loss > 0) model.set_loss(status.model.loss);
  if (status.model.bits_per_byte > 0) model.set_bits_per_byte(status.model.bits_per_byte);
  model.set_fingerprint(status.model.fingerprint);
  model.set_tokens(status.model.tokens);
  auto& swarm = *out.mutable_swarm();
  swarm.set_members(status.swarm_state.members);
  swarm.set_neighbours(status.swarm_state.neighbours);
  swarm.set_sent_bytes(status.swarm_state.sent_bytes);
  swarm.set_received_bytes(status.swarm_state.received_bytes);
  swarm.set_accepted(status.swarm_state.accepted);
  swarm.set_held(status.swarm_state.held);
  swarm.set_refused(status.swarm_state.refused);
  swarm.set_duplicates(status.swarm_state.duplicates);
  swarm.set_published(status.swarm_state.published);
  swarm.set_base_hash(status.swarm_state.base_hash);
  swarm.set_deltas(status.swarm_state.deltas);
  for (const auto& [reason, count] : status.swarm_state.refused_by_reason) {
    (*swarm.mutable_refused_by_reason())[reason] = count;
  }
  swarm.set_bits_per_parameter(status.swarm_state.bits_per_parameter);
  swarm.set_lateness(status.swarm_state.lateness);
  fill(status.swarm_state.budget, status.swarm_state.quiet_hours, *swarm.mutable_budget());
  auto& resources = *out.mutable_resources();
  resources.set_memory_bytes(status.resources.memory_bytes);
  resources.set_cpu_percent(status.resources.cpu_percent);
  resources.set_disk_bytes(status.resources.disk_bytes);
  resources.set_uptime_s(status.resources.uptime_s);
  out.set_listen(status.listen);
  out.set_steps_planned(status.steps_planned);
  out.set_finished(status.is_finished);
  out.set_paused(status.is_paused);
}

void fill(const swarm::MemberView& view, v1::Member& out) {
  out.set_name(view.name);
  out.set_id(swarm::to_string(view.id));
  out.set_address(view.address);
  out.set_state(std::string(swarm::member_state_name(view.state)));
  out.set_self(view.is_self);
  out.set_linked(view.is_linked);
  if (view.rtt_ms >= 0) out.set_rtt_ms(view.rtt_ms);
  out.set_score(view.score);
  out.set_version(view.software);
  out.set_step(view.step);
  if (view.bits_per_byte > 0) out.set_bits_per_byte(static_cast<double>(view.bits_per_byte));
  if (view.last_delta_age_ms >= 0)
    out.set_last_delta_s(static_cast<double>(view.last_delta_age_ms) / 1000);
  out.set_deltas(view.deltas);
  out.set_lost_reason(view.lost_reason);
  out.set_base_hash(hex(view.base_hash));
  out.set_base_deltas(view.base_count);
  for (const swarm::PeerId& accuser : view.accused_by)
    out.add_accused_by(swarm::to_string(accuser));
  out.set_voices_against(view.voices_against);
  for (const auto& [reason, count] : view.refused)
    (*out.mutable_refused_by_reason())[std::string(swarm::drop_reason_name(reason))] = count;
}

void fill(const InfluenceRow& row, v1::Influence& out) {
  out.set_deltas(row.deltas);
  out.set_norm(row.norm);
  out.set_share(row.share);
  out.set_last_s(row.last_s);
  out.set_held(row.is_held);
  out.set_held_deltas(row.held_deltas);
  out.set_copies(row.copies);
  if (row.agreement) out.set_agreement(*row.agreement);
}

void fill(const Applicant& applicant, v1::Applicant& out) {
  if (!applicant.id.empty()) out.set_id(applicant.id);
  out.set_address(applicant.address);
  out.set_first_s(applicant.first_s);
  out.set_last_s(applicant.last_s);
  out.set_attempts(applicant.attempts);
  out.set_reason(applicant.reason);
}

void fill(const RegionRow& row, v1::Region& out) {
  out.set_region(row.region);
  out.set_layer(row.layer);
  out.set_kind(row.kind);
  out.set_parameters(row.parameters);
  out.set_active(row.active);
  out.set_changed(row.changed);
  out.set_sent(row.sent);
  out.set_received(row.received);
  out.set_hosts(row.hosts);
  out.set_is_private(row.is_private);
  out.set_is_hosted(row.is_hosted);
}

void fill(const ProvenanceRow& row, v1::Provenance& out) {
  out.set_region(row.region);
  out.set_origin(row.origin);
  out.set_name(row.name);
  out.set_deltas(row.deltas);
  out.set_norm(row.norm);
  out.set_last(row.last_s);
}

void fill(const Event& event, v1::WatchEventsResponse& out) {
  out.Clear();
  out.set_seq(event.seq);
  out.set_time_ms(event.time_ms);
  out.set_event(event.kind);
  for (const auto& [key, value] : event.fields) (*out.mutable_fields())[key] = value;
}

// Writes events from a thread of its own until the caller hangs up or the node stops.
class Watch final : public grpc::ServerWriteReactor<v1::WatchEventsResponse> {
 public:
  Watch(const LocalParts& parts, grpc::CallbackServerContext* call,
        const v1::WatchEventsRequest& request)
      : parts_(parts),
        call_(call),
        after_seq_(request.after_seq()),
        is_from_now_(request.from_now()) {
    const bool is_allowed = is_owner(*call, parts.token);
    has_place_ = is_allowed && parts.watchers.take_place();
    if (!has_place_) {
      Finish(is_allowed ? busy() : no_token());
      return;
    }
    parts_.watchers.run([this] { end_with(follow()); });
  }
  void OnWriteDone(bool ok) override { [[maybe_unused]] const bool is_in = written_.push(ok); }
  void OnCancel() override { is_cancelled_ = true; }
  void OnDone() override { delete this; }

 private:
  // The place first: a caller that has the answer may call again at once.
  void end_with(const grpc::Status& status) {
    if (has_place_) parts_.watchers.give_place_back();
    has_place_ = false;
    Finish(status);
  }

  bool is_over() const { return is_cancelled_ || parts_.is_stopping; }

  bool write(const Event& event) {
    fill(event, response_);
    StartWrite(&response_);
    auto ok = written_.pop_until(std::chrono::steady_clock::now() + write_wait_max);
    if (!ok) {
      call_->TryCancel();  // which ends the write
      ok = written_.pop_until(std::chrono::steady_clock::time_point::max());
    }
    return ok.value_or(false);
  }

  grpc::Status follow() {
    if (is_from_now_) {
      after_seq_ = 0;
      for (auto past = parts_.daemon.events(0, 0); !past.empty() && !is_over();
           past = parts_.daemon.events(after_seq_, 0)) {
        after_seq_ = past.back().seq;
      }
    }
    while (!is_over()) {
      for (const auto& event : parts_.daemon.events(after_seq_, event_wait_ms)) {
        if (is_over() || !write(event)) return grpc::Status::CANCELLED;
        after_seq_ = event.seq;
      }
    }
    return parts_.is_stopping
               ? refusal(grpc::StatusCode::UNAVAILABLE, "unavailable", "the node is stopping")
               : grpc::Status::CANCELLED;
  }

  const LocalParts& parts_;
  grpc::CallbackServerContext* call_;
  uint64_t after_seq_;
  const bool is_from_now_;
  bool has_place_ = false;
  std::atomic<bool> is_cancelled_{false};
  Queue<bool> written_{1};
  v1::WatchEventsResponse response_;
};

grpc::Status status_of(const Result<Done, Failure>& done) {
  return done ? grpc::Status::OK : refusal_of(done.error());
}

}  // namespace

grpc::ServerUnaryReactor* InspectCalls::GetStatus(Call* call, const v1::GetStatusRequest*,
                                                  v1::GetStatusResponse* response) {
  return answer(call, parts_, parts_.quick, [this, response] {
    fill(parts_.daemon.status(), *response);
    return grpc::Status::OK;
  });
}

grpc::ServerUnaryReactor* InspectCalls::ListMembers(Call* call,
                                                    const v1::ListMembersRequest* request,
                                                    v1::ListMembersResponse* response) {
  return answer(call, parts_, parts_.quick, [this, request, response] {
    for (const auto& view : parts_.daemon.members()) fill(view, *response->add_members());
    if (!request->with_influence()) return grpc::Status::OK;
    for (const auto& row : parts_.daemon.influence()) {
      for (auto& member : *response->mutable_members()) {
        if (member.id() == row.origin) fill(row, *member.mutable_influence());
      }
    }
    return grpc::Status::OK;
  });
}

grpc::ServerUnaryReactor* InspectCalls::ListPending(Call* call, const v1::ListPendingRequest*,
                                                    v1::ListPendingResponse* response) {
  return answer(call, parts_, parts_.quick, [this, response] {
    for (const auto& applicant : parts_.daemon.pending()) fill(applicant, *response->add_pending());
    return grpc::Status::OK;
  });
}

grpc::ServerUnaryReactor* InspectCalls::ListRegions(Call* call, const v1::ListRegionsRequest*,
                                                    v1::ListRegionsResponse* response) {
  return answer(call, parts_, parts_.quick, [this, response] {
    for (const auto& row : parts_.daemon.regions()) fill(row, *response->add_regions());
    return grpc::Status::OK;
  });
}

grpc::ServerWriteReactor<v1::WatchEventsResponse>* InspectCalls::WatchEvents(
    Call* call, const v1::WatchEventsRequest* request) {
  return new Watch(parts_, call, *request);
}

grpc::ServerUnaryReactor* InspectCalls::GetProvenance(Call* call,
                                                      const v1::GetProvenanceRequest* request,
                                                      v1::GetProvenanceResponse* response) {
  return answer(call, parts_, parts_.quick, [this, request, response] {
    for (const auto& row : parts_.daemon.provenance(request->region()))
      fill(row, *response->add_rows());
    return grpc::Status::OK;
  });
}

grpc::ServerUnaryReactor* AdminCalls::Pause(Call* call, const v1::PauseRequest*,
                                            v1::PauseResponse*) {
  return answer(call, parts_, parts_.quick, [this] { return status_of(parts_.daemon.pause()); });
}

grpc::ServerUnaryReactor* AdminCalls::Resume(Call* call, const v1::ResumeRequest*,
                                             v1::ResumeResponse*) {
  return answer(call, parts_, parts_.quick, [this] { return status_of(parts_.daemon.resume()); });
}

grpc::ServerUnaryReactor* AdminCalls::CreateInvite(Call* call,
                                                   const v1::CreateInviteRequest* request,
                                                   v1::CreateInviteResponse* response) {
  return answer(call, parts_, parts_.quick, [this, request, response] {
    if (request->valid_for_s() < 0) {
      return refusal(grpc::StatusCode::INVALID_ARGUMENT, "bad_data",
                     "valid_for_s must not be negative");
    }
    const auto token = parts_.daemon.create_invite({.valid_for_s = request->valid_for_s(),
                                                    .quota = request->quota(),
                                                    .may_delegate = request->may_delegate()});
    if (!token) return refusal_of(token.error());
    response->set_token(*token);
    return grpc::Status::OK;
  });
}

grpc::ServerUnaryReactor* AdminCalls::Revoke(Call* call, const v1::RevokeRequest* request,
                                             v1::RevokeResponse* response) {
  return answer(call, parts_, parts_.quick, [this, request, response] {
    const auto revoked =
        parts_.daemon.revoke({.id = request->id(), .is_with_invited = request->with_invited()});
    if (!revoked) return refusal_of(revoked.error());
    response->set_id(revoked->id);
    response->set_everywhere(revoked->is_everywhere);
    return grpc::Status::OK;
  });
}

grpc::ServerUnaryReactor* AdminCalls::Snapshot(Call* call, const v1::SnapshotRequest*,
                                               v1::SnapshotResponse* response) {
  return answer(call, parts_, parts_.quick, [this, response] {
    const auto path = parts_.daemon.snapshot();
    if (!path) return refusal_of(path.error());
    response->set_path(*path);
    return grpc::Status::OK;
  });
}

grpc::ServerUnaryReactor* AdminCalls::Rollback(Call* call, const v1::RollbackRequest*,
                                               v1::RollbackResponse* response) {
  return answer(call, parts_, parts_.quick, [this, response] {
    const auto path = parts_.daemon.rollback();
    if (!path) return refusal_of(path.error());
    response->set_path(*path);
    return grpc::Status::OK;
  });
}

grpc::ServerUnaryReactor* AdminCalls::Leave(Call* call, const v1::LeaveRequest*,
                                            v1::LeaveResponse*) {
  return answer(call, parts_, parts_.quick, [this] { return status_of(parts_.daemon.leave()); });
}

grpc::ServerUnaryReactor* AdminCalls::SetLogLevel(Call* call, const v1::SetLogLevelRequest* request,
                                                  v1::SetLogLevelResponse*) {
  return answer(call, parts_, parts_.quick, [this, request] {
    return status_of(parts_.daemon.set_log_level(request->level()));
  });
}

}  // namespace starling::node
