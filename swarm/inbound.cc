#include "swarm/inbound.h"

#include "swarm/codec.h"

namespace starling::swarm {
namespace {

Input receive_control(const PeerId& from, const Opened& opened, size_t size) {
  // A link message speaks for its link: nobody passes on another's.
  if (peer_id_of(opened.header.origin) != from)
    return ReceivedRefused{from, DropReason::bad_signature, size};
  auto message = decode_message(opened.payload);
  if (!message) return ReceivedRefused{from, message.error(), size};
  return ReceivedMessage{from, opened.header, *std::move(message), size};
}

Input receive_delta(const PeerId& from, const Opened& opened, SharedBytes frame,
                    const InboundRules& rules) {
  if (opened.header.fingerprint != rules.fingerprint)
    return ReceivedRefused{from, DropReason::wrong_fingerprint, frame->size()};
  auto summary = inspect_delta(*rules.regions, opened.payload);
  if (!summary) return ReceivedRefused{from, summary.error(), frame->size()};
  return ReceivedDelta{from, opened.header, *std::move(summary), std::move(frame)};
}

}  // namespace

Input receive(const PeerId& from, SharedBytes frame, const InboundRules& rules) {
  assert(frame && rules.regions);
  const auto opened = open(*frame, rules.swarm);
  if (!opened) return ReceivedRefused{from, opened.error(), frame->size()};
  switch (opened.value().header.kind) {
    case FrameKind::control:
      return receive_control(from, opened.value(), frame->size());
    case FrameKind::delta:
      return receive_delta(from, opened.value(), std::move(frame), rules);
  }
  assert(false);
  return ReceivedRefused{from, DropReason::malformed, frame->size()};
}

}  // namespace starling::swarm
