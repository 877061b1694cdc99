#pragma once
// One authenticated two-way stream of frames with a peer, whichever side dialled. Here is what both
// sides share: the bounded queue of frames to send, the chain of writes, the reads that open and
// decode frames, and an end that happens once. The two gRPC reactors (peer_server.cc, peer_dial.cc)
// are the two implementations. Thread: safe from any. No call into gRPC is made with the mutex
// held, as gRPC may answer on the same thread. Locks are taken in the order PeerTable, PeerLink,
// whatever the sink takes; so the sink may not call back.
#include <grpcpp/support/byte_buffer.h>

#include <chrono>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "node/certificate.h"
#include "node/traffic.h"
#include "node/transport.h"

namespace starling::node {

class PeerTable;

// What every link of a transport needs; outlives them.
struct LinkTerms {
  swarm::InboundRules rules;
  Transport::Sink sink;
  uint64_t send_queue_bytes_max = 0;
  uint32_t frame_size_max = 0;
  std::shared_ptr<Traffic> traffic;
};

// A frame as the one field of starling.v1.Frame, without copying it; and back, with one copy. None:
// not such a message, or a frame above `size_max`.
grpc::ByteBuffer to_message(const swarm::SharedBytes& frame);
std::optional<swarm::Bytes> from_message(grpc::ByteBuffer message, uint32_t size_max);

class PeerLink : public std::enable_shared_from_this<PeerLink> {
 public:
  PeerLink(std::shared_ptr<PeerTable> table, const LinkTerms& terms, bool is_dialled);
  virtual ~PeerLink() = default;
  PeerLink(const PeerLink&) = delete;
  PeerLink& operator=(const PeerLink&) = delete;

  // Set before the table sees the link, constant from then on.
  const PeerProof& proof() const { return proof_; }
  const std::string& address() const { return address_; }
  bool is_dialled() const { return is_dialled_; }

  // Queues a frame; dropped when the link is not up. Over the queue's bound the link is closed as
  // too slow.
  void send(swarm::SharedBytes frame);
  // Takes the link out of the table, with LinkDown if it was up, and ends the stream.
  void close(const std::string& reason);

  // For the table, under its lock: LinkUp, and LinkDown once if it was up.
  void begin();
  void end(const std::string& reason);
  std::chrono::steady_clock::time_point begun_at() const { return begun_at_; }
  // Ends the stream alone; the peer is told `reason` where the protocol has a place for it.
  void stop_stream(const std::string& reason);

 protected:
  // The reactor's part. `finish` is called once, with no write under way, and nothing after it.
  virtual void start_read(grpc::ByteBuffer* message) = 0;
  virtual void start_write(const grpc::ByteBuffer* message) = 0;
  virtual void cancel() = 0;  // makes what is under way fail soon
  virtual void finish(const std::string& reason) = 0;

  // The reactor's news.
  void identify(PeerProof proof, std::string address);
  void let_write(bool ok);  // the stream has started; until then it is neither written nor finished
  void refuse(const std::string& reason);  // instead of let_write: the link never comes up
  void read_next();                        // from a reaction only
  void read_done(bool ok);
  void count_refused(swarm::DropReason reason);  // of a frame that gRPC did not let through
  void write_done(bool ok);
  void stream_done(
      const std::string& reason);  // gRPC's last word; the reason counts if the link was still up

  const std::shared_ptr<PeerTable> table_;
  const LinkTerms& terms_;

 private:
  void write_next();
  void settle();

  const bool is_dialled_;
  PeerProof proof_;
  std::string address_;
  std::chrono::steady_clock::time_point begun_at_;
  grpc::ByteBuffer incoming_, outgoing_;

  std::mutex mutex_;
  std::deque<swarm::SharedBytes> queue_;
  uint64_t queued_bytes_ = 0;  // with the one being written
  uint64_t written_size_ = 0;
  bool is_up_ = false;       // between LinkUp and LinkDown
  bool is_closing_ = false;  // no more writes are started
  bool is_starting_ = true;  // the stream, or the metadata before the first write, is under way
  bool is_writing_ = true;   // a write is under way; a start counts as one
  bool is_cancelled_ = false;
  bool is_cancelling_ = false;  // a thread is inside cancel()
  bool is_finished_ = false;
  std::string stop_reason_;
};

}  // namespace starling::node
