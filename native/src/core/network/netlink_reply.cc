#include "core/network/netlink_reply.h"

#include <cerrno>

namespace microvm::core {
namespace {

constexpr int kHighestErrorNumber = 4095;

// The kernel reports -errno; anything else is no error number.
bool TakeErrorNumber(int reported, int* number) {
  if (reported > 0 || reported < -kHighestErrorNumber) return false;
  *number = -reported;
  return true;
}

}  // namespace

NetlinkReply::State NetlinkReply::Consume(std::string_view datagram) {
  NetlinkMessageReader messages(datagram);
  NetlinkMessage message;
  while (messages.Next(&message)) {
    if (message.sequence != sequence_) continue;
    const State state = Take(message);
    if (state != State::kOpen) return state;
  }
  return messages.IsMalformed() ? State::kMalformed : State::kOpen;
}

NetlinkReply::State NetlinkReply::Take(const NetlinkMessage& message) {
  if ((message.flags & NLM_F_DUMP_INTR) != 0) is_interrupted_ = true;
  switch (message.type) {
    case NLMSG_NOOP:
      return State::kOpen;
    case NLMSG_ERROR:
      return TakeAcknowledgement(message) ? State::kEnded : State::kMalformed;
    case NLMSG_DONE:
      return TakeDone(message) ? State::kEnded : State::kMalformed;
    default:
      return !on_message_ || on_message_(message) ? State::kOpen : State::kMalformed;
  }
}

bool NetlinkReply::TakeAcknowledgement(const NetlinkMessage& message) {
  std::string_view rest = message.payload;
  nlmsgerr acknowledgement{};
  if (!TakeFixed(&rest, &acknowledgement)) return false;
  if (!TakeErrorNumber(acknowledgement.error, &error_number_)) return false;
  if ((message.flags & NLM_F_ACK_TLVS) == 0) return true;
  if ((message.flags & NLM_F_CAPPED) == 0) {
    // The request comes back in front of the attributes.
    const size_t length = acknowledgement.msg.nlmsg_len;
    if (length < NLMSG_HDRLEN) return false;
    const size_t echoed = NLMSG_ALIGN(length - NLMSG_HDRLEN);
    if (echoed > rest.size()) return false;
    rest.remove_prefix(echoed);
  }
  return TakeKernelMessage(message, rest);
}

bool NetlinkReply::TakeDone(const NetlinkMessage& message) {
  std::string_view rest = message.payload;
  int reported = 0;
  if (!TakeFixed(&rest, &reported)) return false;
  return TakeErrorNumber(reported, &error_number_) && TakeKernelMessage(message, rest);
}

bool NetlinkReply::TakeKernelMessage(const NetlinkMessage& message, std::string_view attributes) {
  if ((message.flags & NLM_F_ACK_TLVS) == 0) return true;
  NetlinkAttributeReader reader(attributes);
  NetlinkAttribute attribute;
  while (reader.Next(&attribute)) {
    if (attribute.type == NLMSGERR_ATTR_MSG) kernel_message_ = attribute.Text();
  }
  return !reader.IsMalformed();
}

}  // namespace microvm::core
