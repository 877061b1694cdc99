// MindService.
#include <chrono>
#include <cmath>
#include <utility>

#include "node/local_server.h"
#include "node/local_unary.h"

namespace starling::node {

namespace {

constexpr std::chrono::seconds write_wait_max{30};  // for an asker that does not read
// Pieces of an answer that come within this time go out together, up to this size: a message for
// each byte would take the processor from the model.
constexpr std::chrono::milliseconds write_interval{15};
constexpr size_t write_size_max = 16384;

DataKind kind_of(v1::DataKind kind) {
  if (kind == v1::DATA_KIND_TEXT) return DataKind::text;
  if (kind == v1::DATA_KIND_PAIRS) return DataKind::pairs;
  return DataKind::automatic;
}

v1::DataKind kind_of(DataKind kind) {
  switch (kind) {
    case DataKind::automatic:
      return v1::DATA_KIND_UNSPECIFIED;
    case DataKind::text:
      return v1::DATA_KIND_TEXT;
    case DataKind::pairs:
      return v1::DATA_KIND_PAIRS;
  }
  assert(false);
  return v1::DATA_KIND_UNSPECIFIED;
}

// Writes pieces of the answer as they come; a caller that hangs up stops the model.
class Asking final : public grpc::ServerWriteReactor<v1::AskResponse> {
 public:
  Asking(const LocalParts& parts, grpc::CallbackServerContext* call, const v1::AskRequest& request)
      : parts_(parts), call_(call) {
    options_.prompt = request.prompt();
    if (request.bytes_max() > 0) options_.bytes_max = request.bytes_max();
    options_.sampler.temperature = request.temperature();
    options_.sampler.top_p = request.top_p() > 0 ? request.top_p() : 1;
    options_.seed = request.seed();
    options_.stop_at_newline = !request.no_stop();
    const bool is_allowed = is_owner(*call, parts.token);
    const bool is_sensible = std::isfinite(request.temperature()) && request.temperature() >= 0 &&
                             std::isfinite(request.top_p()) && request.top_p() >= 0 &&
                             request.top_p() <= 1;
    if (is_allowed && !is_sensible) {
      Finish(refusal(grpc::StatusCode::INVALID_ARGUMENT, "bad_data",
                     "temperature must be 0 or more, top_p from 0 to 1"));
      return;
    }
    has_place_ = is_allowed && parts.mind.take_place();
    if (!has_place_) {
      Finish(is_allowed ? busy() : no_token());
      return;
    }
    parts_.mind.run([this] {
      const auto done =
          parts_.daemon.ask(options_, [this](const std::string& piece) { return write(piece); });
      (void)flush();
      end_with(done ? grpc::Status::OK : refusal_of(done.error()));
    });
  }
  void OnWriteDone(bool ok) override { [[maybe_unused]] const bool is_in = written_.push(ok); }
  void OnCancel() override { is_cancelled_ = true; }
  void OnDone() override { delete this; }

 private:
  // The place first: a caller that has the answer may call again at once.
  void end_with(const grpc::Status& status) {
    if (has_place_) parts_.mind.give_place_back();
    has_place_ = false;
    Finish(status);
  }

  bool write(const std::string& piece) {
    if (is_cancelled_ || parts_.is_stopping) return false;
    waiting_ += piece;
    const bool is_due =
        waiting_.size() >= write_size_max || std::chrono::steady_clock::now() >= next_write_;
    return !is_due || flush();
  }

  // False: nobody reads any more.
  bool flush() {
    if (waiting_.empty() || is_cancelled_) return !is_cancelled_;
    response_.set_data(std::exchange(waiting_, {}));
    next_write_ = std::chrono::steady_clock::now() + write_interval;
    StartWrite(&response_);
    auto ok = written_.pop_until(std::chrono::steady_clock::now() + write_wait_max);
    if (!ok) {
      call_->TryCancel();  // which ends the write
      ok = written_.pop_until(std::chrono::steady_clock::time_point::max());
    }
    return ok.value_or(false);
  }

  const LocalParts& parts_;
  grpc::CallbackServerContext* call_;
  AskOptions options_;
  bool has_place_ = false;
  std::atomic<bool> is_cancelled_{false};
  Queue<bool> written_{1};
  std::string waiting_;                               // not yet written
  std::chrono::steady_clock::time_point next_write_;  // not before; the first one at once
  v1::AskResponse response_;
};

// Collects a header and chunks, bounded, then hands all of it to `Use` on a thread of its own.
// Use: Status operator()(Header, std::vector<uint8_t> bytes, goes_on), where goes_on() says whether
// somebody still waits for it.
template <typename Request, typename Header, typename Use>
class Upload final : public grpc::ServerReadReactor<Request> {
 public:
  Upload(const LocalParts& parts, grpc::CallbackServerContext* call, Use use)
      : parts_(parts), use_(std::move(use)) {
    const bool is_allowed = is_owner(*call, parts.token);
    has_place_ = is_allowed && parts.mind.take_place();
    if (!has_place_) {
      this->Finish(is_allowed ? busy() : no_token());
      return;
    }
    this->StartRead(&request_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) return end();
    if (request_.has_header()) {
      if (has_header_) return end_with(out_of_order());
      has_header_ = true;
      header_ = request_.header();
    } else {
      if (!has_header_) return end_with(out_of_order());
      const std::string& chunk = request_.data();
      if (bytes_.size() + chunk.size() > local_upload_size_max) {
        return end_with(refusal(grpc::StatusCode::RESOURCE_EXHAUSTED, "too_large",
                                "more than 64 MiB in one go; split it"));
      }
      bytes_.insert(bytes_.end(), chunk.begin(), chunk.end());
    }
    this->StartRead(&request_);
  }
  void OnCancel() override { is_cancelled_ = true; }
  void OnDone() override { delete this; }

 private:
  // The place first: a caller that has the answer may call again at once.
  void end_with(const grpc::Status& status) {
    if (has_place_) parts_.mind.give_place_back();
    has_place_ = false;
    this->Finish(status);
  }

  static grpc::Status out_of_order() {
    return refusal(grpc::StatusCode::INVALID_ARGUMENT, "out_of_order",
                   "first one header, then data");
  }
  void end() {
    if (!has_header_) return end_with(out_of_order());
    // A caller that vanishes may look like one that has finished: gRPC can report the end of the
    // stream before the cancellation. Only the announced size tells them apart.
    if (bytes_.size() != header_.size()) {
      return end_with(refusal(grpc::StatusCode::INVALID_ARGUMENT, "incomplete",
                              "the upload does not have the size that its header says"));
    }
    parts_.mind.run([this] {
      end_with(use_(header_, std::move(bytes_),
                    [this] { return !is_cancelled_ && !parts_.is_stopping; }));
    });
  }

  const LocalParts& parts_;
  Use use_;
  bool has_place_ = false;
  bool has_header_ = false;
  std::atomic<bool> is_cancelled_{false};
  Request request_;
  Header header_;
  std::vector<uint8_t> bytes_;
};

template <typename Request, typename Header, typename Use>
grpc::ServerReadReactor<Request>* receive(const LocalParts& parts,
                                          grpc::CallbackServerContext* call, Use use) {
  return new Upload<Request, Header, Use>(parts, call, std::move(use));
}

}  // namespace

grpc::ServerWriteReactor<v1::AskResponse>* MindCalls::Ask(Call* call,
                                                          const v1::AskRequest* request) {
  return new Asking(parts_, call, *request);
}

grpc::ServerReadReactor<v1::LearnRequest>* MindCalls::Learn(Call* call,
                                                            v1::LearnResponse* response) {
  return receive<v1::LearnRequest, v1::LearnHeader>(
      parts_, call,
      [this, response](const v1::LearnHeader& header, std::vector<uint8_t> bytes, const auto&) {
        const auto outcome =
            parts_.daemon.learn(header.name(), kind_of(header.kind()), std::move(bytes));
        if (!outcome) return refusal_of(outcome.error());
        response->set_kind(kind_of(outcome->kind));
        response->set_bytes(outcome->bytes);
        response->set_pairs(outcome->pairs);
        response->set_note(outcome->note);
        return grpc::Status::OK;
      });
}

grpc::ServerUnaryReactor* MindCalls::Teach(Call* call, const v1::TeachRequest* request,
                                           v1::TeachResponse* response) {
  return answer(call, parts_, parts_.mind, [this, request, response] {
    const auto outcome = parts_.daemon.teach(request->prompt(), request->answer());
    if (!outcome) return refusal_of(outcome.error());
    response->set_learned(outcome->learned);
    response->set_steps(outcome->steps);
    response->set_answer(outcome->answer);
    return grpc::Status::OK;
  });
}

grpc::ServerReadReactor<v1::EvaluateRequest>* MindCalls::Evaluate(Call* call,
                                                                  v1::EvaluateResponse* response) {
  return receive<v1::EvaluateRequest, v1::EvaluateHeader>(
      parts_, call,
      [this, response](const v1::EvaluateHeader& header, std::vector<uint8_t> bytes,
                       const auto& goes_on) {
        const auto outcome =
            parts_.daemon.evaluate(kind_of(header.kind()), std::move(bytes), goes_on);
        if (!outcome) return refusal_of(outcome.error());
        response->set_kind(kind_of(outcome->kind));
        response->set_bits_per_byte(outcome->bits_per_byte);
        response->set_bytes(outcome->bytes);
        response->set_accuracy(outcome->accuracy);
        response->set_examples(outcome->examples);
        return grpc::Status::OK;
      });
}

}  // namespace starling::node
