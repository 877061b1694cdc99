#include "node/peer_link.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpcpp/support/proto_buffer_reader.h>
#include <grpcpp/support/slice.h>

#include <array>

#include "node/peer_table.h"

namespace starling::node {
namespace {

using google::protobuf::internal::WireFormatLite;

// starling.v1.Frame: bytes data = 1.
constexpr uint32_t data_tag = WireFormatLite::MakeTag(1, WireFormatLite::WIRETYPE_LENGTH_DELIMITED);

void release_frame(void* frame) { delete static_cast<swarm::SharedBytes*>(frame); }

}  // namespace

grpc::ByteBuffer to_message(const swarm::SharedBytes& frame) {
  using google::protobuf::io::CodedOutputStream;
  std::array<uint8_t, 16> head{};
  uint8_t* end = CodedOutputStream::WriteTagToArray(data_tag, head.data());
  end = CodedOutputStream::WriteVarint32ToArray(static_cast<uint32_t>(frame->size()), end);
  const grpc::Slice slices[2] = {
      grpc::Slice(head.data(), static_cast<size_t>(end - head.data())),
      // gRPC only reads what it sends; it lets go of the frame when the last byte is out.
      grpc::Slice(const_cast<uint8_t*>(frame->data()), frame->size(), &release_frame,
                  new swarm::SharedBytes(frame)),
  };
  return grpc::ByteBuffer(slices, 2);
}

std::optional<swarm::Bytes> from_message(grpc::ByteBuffer message, uint32_t size_max) {
  if (!message.Valid()) return std::nullopt;
  grpc::ProtoBufferReader reader(&message);
  google::protobuf::io::CodedInputStream stream(&reader);
  swarm::Bytes frame;
  while (const uint32_t tag = stream.ReadTag()) {
    if (tag != data_tag) {
      if (!WireFormatLite::SkipField(&stream, tag)) return std::nullopt;
      continue;
    }
    uint32_t size = 0;
    if (!stream.ReadVarint32(&size) || size > size_max || size > message.Length())
      return std::nullopt;
    frame.resize(size);
    if (!stream.ReadRaw(frame.data(), static_cast<int>(size))) return std::nullopt;
  }
  if (!stream.ConsumedEntireMessage()) return std::nullopt;
  return frame;
}

PeerLink::PeerLink(std::shared_ptr<PeerTable> table, const LinkTerms& terms, bool is_dialled)
    : table_(std::move(table)), terms_(terms), is_dialled_(is_dialled) {}

void PeerLink::identify(PeerProof proof, std::string address) {
  proof_ = std::move(proof);
  address_ = std::move(address);
}

void PeerLink::begin() {
  std::lock_guard lock(mutex_);
  assert(!is_up_);
  is_up_ = true;
  begun_at_ = std::chrono::steady_clock::now();
  terms_.sink(swarm::LinkUp{.peer = proof_.id,
                            .membership = proof_.membership,
                            .address = address_,
                            .dialled = is_dialled_});
}

void PeerLink::end(const std::string& reason) {
  std::lock_guard lock(mutex_);
  if (!is_up_) return;
  is_up_ = false;
  terms_.sink(swarm::LinkDown{.peer = proof_.id, .reason = reason});
}

void PeerLink::close(const std::string& reason) {
  table_->drop(*this, reason);
  stop_stream(reason);
}

void PeerLink::send(swarm::SharedBytes frame) {
  assert(frame != nullptr && frame->size() <= terms_.frame_size_max);
  bool is_too_slow = false;
  {
    std::lock_guard lock(mutex_);
    if (!is_up_ || is_closing_) return;
    is_too_slow = queued_bytes_ + frame->size() > terms_.send_queue_bytes_max;
    if (!is_too_slow) {
      queued_bytes_ += frame->size();
      queue_.push_back(std::move(frame));
    }
  }
  if (is_too_slow) return close("too slow: it does not take what we send");
  write_next();
}

void PeerLink::write_next() {
  {
    std::lock_guard lock(mutex_);
    if (is_writing_ || is_closing_ || queue_.empty()) return;
    is_writing_ = true;
    written_size_ = queue_.front()->size();
    outgoing_ = to_message(queue_.front());
    queue_.pop_front();
  }
  start_write(&outgoing_);
}

void PeerLink::write_done(bool ok) {
  outgoing_.Clear();
  if (ok) terms_.traffic->add_sent(written_size_);
  {
    std::lock_guard lock(mutex_);
    is_writing_ = false;
    queued_bytes_ -= written_size_;
    written_size_ = 0;
    if (!ok) is_closing_ = true;
  }
  write_next();
  settle();
}

void PeerLink::let_write(bool ok) {
  {
    std::lock_guard lock(mutex_);
    is_starting_ = false;
  }
  write_done(ok);
}

void PeerLink::refuse(const std::string& reason) {
  {
    std::lock_guard lock(mutex_);
    is_starting_ = is_writing_ = false;
  }
  stop_stream(reason);
}

// gRPC keeps the stream alive while a reaction runs, so this is safe even if the stream is finished
// meanwhile.
void PeerLink::read_next() {
  {
    std::lock_guard lock(mutex_);
    if (is_closing_) return;
  }
  start_read(&incoming_);
}

void PeerLink::read_done(bool ok) {
  if (!ok) {
    {
      std::lock_guard lock(mutex_);
      is_closing_ = true;
    }
    return settle();
  }
  std::optional<swarm::Bytes> frame = from_message(std::move(incoming_), terms_.frame_size_max);
  incoming_.Clear();
  swarm::Input input =
      swarm::ReceivedRefused{.from = proof_.id, .reason = swarm::DropReason::malformed};
  if (frame) {
    terms_.traffic->add_received(frame->size());
    input = swarm::receive(proof_.id, std::make_shared<const swarm::Bytes>(std::move(*frame)),
                           terms_.rules);
  }
  {
    std::lock_guard lock(mutex_);
    if (is_up_) terms_.sink(std::move(input));
  }
  if (!frame) close("it sent something that is no frame");
  read_next();
}

void PeerLink::count_refused(swarm::DropReason reason) {
  std::lock_guard lock(mutex_);
  if (is_up_) terms_.sink(swarm::ReceivedRefused{.from = proof_.id, .reason = reason});
}

void PeerLink::stop_stream(const std::string& reason) {
  {
    std::lock_guard lock(mutex_);
    if (stop_reason_.empty()) stop_reason_ = reason;
    is_closing_ = true;
  }
  settle();
}

// Once closing: cancels a write that may never end by itself, and finishes when none is under way.
void PeerLink::settle() {
  bool cancels = false;
  std::string reason;
  {
    std::lock_guard lock(mutex_);
    if (!is_closing_ || is_finished_ || is_cancelling_) return;
    queue_.clear();
    queued_bytes_ = written_size_;
    if (is_writing_) {
      if (is_starting_ || is_cancelled_) return;  // write_done comes
      is_cancelled_ = is_cancelling_ = cancels = true;
    } else {
      is_finished_ = true;
      reason = stop_reason_;
    }
  }
  if (!cancels) return finish(reason);
  cancel();
  {
    std::lock_guard lock(mutex_);
    is_cancelling_ = false;
  }
  settle();
}

void PeerLink::stream_done(const std::string& reason) { table_->drop(*this, reason); }

}  // namespace starling::node
