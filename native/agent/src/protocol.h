#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

// The numbers of docs/guest-protocol.md.
namespace microvm::agent {

constexpr uint16_t kProtocolVersion = 2;
constexpr size_t kHeaderSize = 24;
constexpr size_t kMaxPayload = 65536;
constexpr size_t kMaxFrame = kHeaderSize + kMaxPayload;
constexpr size_t kSessionIdSize = 16;
constexpr size_t kMaxOpenBody = 1 << 20;
// A message of several frames that is no OPEN: room for 1 MiB of environment and what each string costs.
constexpr size_t kMaxMessage = (1 << 20) + (64 << 10);
constexpr uint16_t kMaxExecStrings = 8192;
constexpr uint8_t kMaxLimits = 5;
constexpr uint16_t kMaxSecrets = 64;
constexpr size_t kMaxSecret = 64 * 1024;
constexpr size_t kMaxUser = 256;
constexpr size_t kMaxTerm = 64;
constexpr size_t kMaxHost = 64;
constexpr size_t kMaxSocketPath = 107;
constexpr uint16_t kMaxStreams = 256;
constexpr uint32_t kInputWindow = 64 * 1024;
constexpr uint32_t kMinOutputWindow = 4096;
constexpr uint32_t kMaxOutputWindow = 16u << 20;
constexpr uint32_t kMaxWindow = 0x7FFFFFFF;
constexpr uint32_t kMaxWaitMs = 600000;
constexpr uint8_t kFlagMore = 1;

constexpr std::array<uint8_t, 4> kMagic = {0x4D, 0x56, 0x46, 0x52};
constexpr std::array<uint8_t, 16> kPreamble = {0xF3, 0x8A, 0x1C, 0xD5, 0x6E, 0x42, 0xB9, 0x07,
                                               0xE1, 0x5D, 0x90, 0x2B, 0xC4, 0x7F, 0xA6, 0x38};
using SessionId = std::array<uint8_t, kSessionIdSize>;

enum class FrameType : uint8_t {
  kHello = 0x01,
  kPing = 0x02,
  kOpen = 0x10,
  kData = 0x11,
  kEnd = 0x12,
  kCancel = 0x13,
  kCredit = 0x14,
  kSignal = 0x15,
  kResize = 0x16,
  kAck = 0x17,
  kDetach = 0x18,
  kFreeze = 0x20,
  kThaw = 0x21,
  kSetClock = 0x22,
  kShutdown = 0x23,
  kSetEnv = 0x24,
  kSecrets = 0x25,
  kMetrics = 0x27,
  kListCommands = 0x26,
  kSetImage = 0x28,

  kHelloAck = 0x81,
  kPong = 0x82,
  kOpened = 0x90,
  kData1 = 0x91,
  kData2 = 0x92,
  kEnded = 0x93,
  kCreditToHost = 0x94,
  kGone = 0x95,
  kEndToHost = 0x96,
  kOk = 0xA0,
  kFailed = 0xA1,
  kMetricsAnswer = 0xA3,
  kCommands = 0xA2,
  kFarewell = 0xB0,
  kReset = 0xB1,
};

// The longest message of a type that may take several frames, by MORE; 0 for the others.
constexpr size_t LongestMessage(FrameType type) {
  switch (type) {
    case FrameType::kOpen:
      return kMaxOpenBody;
    case FrameType::kSetEnv:
    case FrameType::kSecrets:
    case FrameType::kSetImage:
      return kMaxMessage;
    default:
      return 0;
  }
}

// What an OPEN asks for; the first byte of its message.
enum class StreamKind : uint8_t {
  kExec = 1,
  kConnect = 2,
  kAttach = 3,
  kFiles = 4,
  kListen = 5,
  kAccept = 6
};

// What a connection goes to.
enum class TargetKind : uint8_t { kInternet = 1, kUnix = 2, kVsock = 3 };

enum class FarewellReason : uint8_t { kPowerOff = 1, kReboot = 2, kPanic = 3, kShutdown = 4 };
enum class PowerAction : uint8_t { kPowerOff = 0, kReboot = 1 };

// How the stream of a command ended.
enum class CommandEnd : uint8_t { kExited = 0, kKilled = 1, kDetached = 2 };

// Flags of the OPEN of a command and of an attachment, of the OPENED of an attachment, and of a listed
// command.
constexpr uint8_t kDetached = 1;
constexpr uint8_t kInputOnly = 1;
constexpr uint8_t kHasTerminal = 2;
constexpr uint8_t kInputEnded = 4;
constexpr uint8_t kInputGone = 8;
constexpr uint8_t kHasReader = 16;

constexpr size_t kMaxListedText = 256;
constexpr size_t kMaxListed = 128;

constexpr uint8_t kInfoFrozen = 1;
constexpr uint8_t kInfoInit = 2;

}  // namespace microvm::agent
