// AdminService: bundles of deltas, out and in.
#include "node/local_server.h"
#include "node/local_services.h"

namespace starling::node {

namespace {

constexpr std::chrono::seconds peer_wait_max{60};  // for a caller that neither reads nor sends
constexpr size_t piece_size_max = local_chunk_size;

// One call whose work runs on a thread of `parts.mind` and waits there for the wire.
template <typename Reactor>
class Streaming : public Reactor {
 public:
  Streaming(const LocalParts& parts, grpc::CallbackServerContext* call)
      : parts_(parts), call_(call) {}
  void OnCancel() override { is_cancelled_ = true; }
  void OnDone() override { delete this; }

 protected:
  template <typename Work>
  void begin(Work work) {
    const bool is_allowed = is_owner(*call_, parts_.token);
    if (!is_allowed || !parts_.mind.take_place())
      return this->Finish(is_allowed ? busy() : no_token());
    parts_.mind.run([this, work = std::move(work)] { end_with(work()); });
  }
  void settled(bool ok) { [[maybe_unused]] const bool is_in = settled_.push(ok); }
  // What the wire said of the read or write under way.
  bool wait() {
    auto ok = settled_.pop_until(std::chrono::steady_clock::now() + peer_wait_max);
    if (!ok) {
      call_->TryCancel();  // which ends it
      ok = settled_.pop_until(std::chrono::steady_clock::time_point::max());
    }
    return ok.value_or(false);
  }
  bool is_over() const { return is_cancelled_ || parts_.is_stopping; }

  const LocalParts& parts_;

 private:
  // The place first: a caller that has the answer may call again at once.
  void end_with(const grpc::Status& status) {
    parts_.mind.give_place_back();
    this->Finish(status);
  }

  grpc::CallbackServerContext* call_;
  std::atomic<bool> is_cancelled_{false};
  Queue<bool> settled_{1};
};

class Exporting final : public Streaming<grpc::ServerWriteReactor<v1::ExportDeltasResponse>> {
 public:
  Exporting(const LocalParts& parts, grpc::CallbackServerContext* call,
            const v1::ExportDeltasRequest& request)
      : Streaming(parts, call), options_{{request.since().begin(), request.since().end()}} {
    begin([this] { return work(); });
  }
  void OnWriteDone(bool ok) override { settled(ok); }

 private:
  bool write() {
    this->StartWrite(&response_);
    return wait();
  }
  bool write(const std::string& bytes) {
    for (size_t at = 0; at < bytes.size(); at += piece_size_max) {
      if (is_over()) return false;
      response_.set_data(bytes.substr(at, piece_size_max));
      if (!write()) return false;
    }
    return true;
  }
  grpc::Status work() {
    const auto outcome = parts_.daemon.export_deltas(
        options_, [this](const std::string& bytes) { return write(bytes); });
    if (!outcome) return refusal_of(outcome.error());
    auto& done = *response_.mutable_done();
    done.set_deltas(outcome->deltas);
    done.set_members(outcome->members);
    done.set_folded(outcome->folded);
    return write() ? grpc::Status::OK : grpc::Status::CANCELLED;
  }

  const ExportOptions options_;
  v1::ExportDeltasResponse response_;
};

class Importing final : public Streaming<grpc::ServerReadReactor<v1::ImportDeltasRequest>> {
 public:
  Importing(const LocalParts& parts, grpc::CallbackServerContext* call,
            v1::ImportDeltasResponse& response)
      : Streaming(parts, call), response_(response) {
    begin([this] { return work(); });
  }
  void OnReadDone(bool ok) override { settled(ok); }

 private:
  std::optional<std::string> read() {
    if (is_over()) return std::nullopt;
    this->StartRead(&request_);
    if (!wait()) return std::nullopt;
    return std::move(*request_.mutable_data());
  }
  grpc::Status work() {
    const auto outcome = parts_.daemon.import_deltas([this] { return read(); });
    if (!outcome) return refusal_of(outcome.error());
    response_.set_added(outcome->added);
    response_.set_known(outcome->known);
    for (const auto& [reason, count] : outcome->refused_by_reason)
      (*response_.mutable_refused_by_reason())[reason] = count;
    return grpc::Status::OK;
  }

  v1::ImportDeltasRequest request_;
  v1::ImportDeltasResponse& response_;
};

}  // namespace

grpc::ServerWriteReactor<v1::ExportDeltasResponse>* AdminCalls::ExportDeltas(
    Call* call, const v1::ExportDeltasRequest* request) {
  return new Exporting(parts_, call, *request);
}

grpc::ServerReadReactor<v1::ImportDeltasRequest>* AdminCalls::ImportDeltas(
    Call* call, v1::ImportDeltasResponse* response) {
  return new Importing(parts_, call, *response);
}

}  // namespace starling::node
