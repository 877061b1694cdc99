#pragma once
// Who is linked, being dialled, or banned; decides which of two streams with one peer is the link.
// Rules:
//   - Of two streams that cross because both sides dialled at once, the one dialled by the lower id
//   stays. The lower
//     side decides alone, as it is an end of both: while its own dial is past the certificate
//     check, it refuses the other's; before that, it takes the other's and gives up its own before
//     the stream exists.
//   - A peer that dials although we think it is linked has lost the link (it restarted: its
//   certificate's key is
//     another; or the connection broke on its side only): the new stream replaces the old one.
//   - A member that keeps opening streams is refused for a while.
//   - Every LinkUp is followed by exactly one LinkDown, before the next LinkUp of the same peer.
// Thread: safe from any.
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>

#include "node/peer_link.h"
#include "node/token_buckets.h"

namespace starling::node {

class PeerTable {
 public:
  // `crossing_time`: how long after its start a link may still meet the other side's crossing dial.
  PeerTable(const swarm::PeerId& self, Transport::Sink sink,
            std::chrono::milliseconds crossing_time)
      : self_(self), sink_(std::move(sink)), crossing_time_(crossing_time) {}

  // The certificate of a dialled peer was checked; nothing was sent to it yet. None: go on, and
  // release(dial) later. Otherwise why not, for people.
  std::optional<std::string> reserve(const PeerProof& proof, uint64_t dial);
  void release(uint64_t dial);

  // A stream that the peer opened. None: it is the link now. Otherwise why it is refused.
  std::optional<std::string> admit_inbound(const std::shared_ptr<PeerLink>& link);
  // A stream that we opened and the peer took; its reservation ends here.
  std::optional<std::string> admit_dialled(const std::shared_ptr<PeerLink>& link, uint64_t dial);
  void drop(PeerLink& link,
            const std::string& reason);  // not the link any more; LinkDown if it was up
  void dial_failed(const std::string& address, const std::string& reason);
  // A dial ended at this node itself: LinkUp and LinkDown with the own id, so that the address is
  // known for ours.
  void met_itself(const PeerProof& proof, const std::string& address);

  void send(const swarm::PeerId& to, swarm::SharedBytes frame);
  void close(const swarm::PeerId& peer, const std::string& reason);
  void ban(const swarm::PeerId& peer);
  void set_admissions(std::shared_ptr<const swarm::Admissions> admissions);
  // The name that a refusal of this member is counted under; none: it is welcome.
  std::optional<std::string> why_unwelcome(const PeerProof& proof) const;
  bool is_self(const swarm::PeerId& peer) const { return peer == self_; }
  void stop(const std::string& reason);  // ends every link; the sink is not called after it returns

 private:
  using Links = std::map<swarm::PeerId, std::shared_ptr<PeerLink>>;
  std::shared_ptr<PeerLink> find(const swarm::PeerId& peer) const;
  std::optional<std::string> unwelcome(const PeerProof& proof) const;  // with the lock held
  std::shared_ptr<PeerLink> put(const std::shared_ptr<PeerLink>& link);

  const swarm::PeerId self_;
  const Transport::Sink sink_;
  const std::chrono::milliseconds crossing_time_;
  mutable std::mutex mutex_;
  Links links_;
  std::map<uint64_t, swarm::PeerId> dialling_;  // dials past the certificate check, by their number
  TokenBuckets<swarm::PeerId> inbound_{{.per_s = 1, .burst = 10}};  // streams a member may open
  std::set<swarm::PeerId> banned_;                       // by the owner's word, so a handful
  std::shared_ptr<const swarm::Admissions> admissions_;  // null: nobody is revoked yet
  bool is_stopped_ = false;
};

}  // namespace starling::node
