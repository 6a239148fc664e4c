#include "frame.h"

#include <random>

#include "crc32.h"
#include "decode_all.h"

namespace {

using namespace microvm::agent;
using Event = Decoder::Event;

std::mt19937 random_source(20240607);

size_t Below(size_t limit) { return random_source() % limit; }

std::string Noise(size_t size) {
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random_source());
  return bytes;
}

std::string Encode(FrameType type, uint32_t stream, const std::string& payload) {
  uint8_t header[kHeaderSize];
  // SAFETY: characters as bytes.
  EncodeHeader(header, type, 1, stream, reinterpret_cast<const uint8_t*>(payload.data()), payload.size());
  return std::string(header, header + kHeaderSize) + payload;
}

std::string Preamble() { return std::string(kPreamble.begin(), kPreamble.end()); }

std::string Mark(char session) { return Preamble() + std::string(kSessionIdSize, session); }

Decoded MarkOf(char session) {
  return {Event::kMark, FrameType::kHello, 0, std::string(kSessionIdSize, session)};
}

Decoded FrameOf(FrameType type, uint32_t stream, const std::string& payload) {
  return {Event::kFrame, type, stream, payload};
}

std::vector<Decoded> DecodeWhole(const std::string& bytes) {
  Decoder decoder;
  return DecodeAll(&decoder, bytes, [] { return size_t{1} << 20; });
}

void GivesBackFramesHoweverTheyAreSplit() {
  for (int round = 0; round < 300; round++) {
    std::string bytes = Noise(Below(50)) + Mark('s');
    std::vector<Decoded> expected = {MarkOf('s')};
    for (uint32_t stream = 1; stream <= 1 + Below(6); stream++) {
      const std::string payload = Noise(Below(5) == 0 ? Below(kMaxPayload + 1) : Below(200));
      bytes += Encode(FrameType::kData, stream, payload);
      expected.push_back(FrameOf(FrameType::kData, stream, payload));
    }
    Decoder decoder;
    const size_t most = size_t{1} << Below(17);
    CHECK(DecodeAll(&decoder, bytes, [&] { return 1 + Below(most); }) == expected);
  }
}

void FindsTheNextMarkAfterAnyUnfinishedFrame() {
  const std::string frame = Encode(FrameType::kData, 1, Noise(60));
  const std::vector<Decoded> expected = {MarkOf('b'), FrameOf(FrameType::kPing, 2, "")};
  for (size_t cut = 0; cut < frame.size(); cut++) {
    for (size_t size : {size_t{1}, size_t{7}, size_t{1000}}) {
      Decoder decoder;
      const std::string bytes =
          Mark('a') + frame.substr(0, cut) + Mark('b') + Encode(FrameType::kPing, 2, "");
      std::vector<Decoded> decoded = DecodeAll(&decoder, bytes, [size] { return size; });
      CHECK(decoded.front() == MarkOf('a'));
      decoded.erase(decoded.begin());
      // Cut just so that the mark's first bytes complete it, it is noticed by its checksum.
      if (!decoded.empty() && decoded.front().event == Event::kViolation) decoded.erase(decoded.begin());
      CHECK(decoded == expected);
    }
  }
}

void FindsAMarkAfterAMarkThatWasCutOff() {
  for (size_t cut = 0; cut < 32; cut++) {
    CHECK(DecodeWhole(Mark('a').substr(0, cut) + Mark('b')) == std::vector<Decoded>{MarkOf('b')});
  }
}

// A sender that lets a mark begin inside a frame breaks the rules, but must not make the decoder go back.
void FindsAMarkThatOverlapsAFrame() {
  for (size_t inside = 1; inside < kPreamble.size(); inside++) {
    const std::string frame = Encode(FrameType::kData, 1, "x" + Preamble().substr(0, inside));
    const std::string head = Mark('a') + frame;
    Decoder decoder;
    // The frame is used up before the rest of the mark arrives.
    bool is_first = true;
    const auto next_size = [&] {
      const size_t size = is_first ? head.size() : 1;
      is_first = false;
      return size;
    };
    const std::vector<Decoded> decoded =
        DecodeAll(&decoder, head + Mark('b').substr(inside) + Encode(FrameType::kPing, 2, ""), next_size);
    CHECK(decoded.size() == 4 && decoded[0] == MarkOf('a') && decoded[1].event == Event::kFrame);
    CHECK(decoded[2] == MarkOf('b') && decoded[3] == FrameOf(FrameType::kPing, 2, ""));
  }
}

void SkipsWhatFollowsAViolation() {
  std::string bad = Encode(FrameType::kPing, 1, "");
  bad[5] = 2;
  const std::vector<Decoded> decoded = DecodeWhole(Mark('a') + bad + Encode(FrameType::kPing, 2, "") +
                                                   Mark('b') + Encode(FrameType::kPing, 3, ""));
  CHECK(decoded.size() == 4);
  CHECK(decoded[1].event == Event::kViolation);
  CHECK(decoded[2] == MarkOf('b'));
  CHECK(decoded[3] == FrameOf(FrameType::kPing, 3, ""));
}

std::string WithField(size_t offset, uint32_t value, size_t size) {
  std::string frame = Encode(FrameType::kPing, 1, "");
  std::memcpy(frame.data() + offset, &value, size);
  // SAFETY: characters as bytes.
  const uint32_t crc = Crc32(0, reinterpret_cast<const uint8_t*>(frame.data()), 20);
  std::memcpy(frame.data() + 20, &crc, 4);
  return frame;
}

void RefusesEveryWrongHeader() {
  const std::string wrong[] = {
      WithField(0, 0, 4),                // magic
      WithField(4, 0x91, 1),             // a type of the guest's
      WithField(4, 0x77, 1),             // no type
      WithField(5, 1, 1),                // MORE where it has no place
      WithField(6, 1, 2),                // reserved
      WithField(16, kMaxPayload + 1, 4)  // length, refused before any payload came
  };
  for (const std::string& frame : wrong) {
    const std::vector<Decoded> decoded = DecodeWhole(Mark('a') + frame);
    CHECK(decoded.size() == 2 && decoded[1].event == Event::kViolation);
  }
  CHECK(DecodeWhole(Mark('a') + WithField(8, 7, 4)).at(1).event == Event::kFrame);
}

void RefusesEveryFlippedBit() {
  const std::string frame = Encode(FrameType::kData, 3, "payload");
  for (size_t bit = 0; bit < frame.size() * 8; bit++) {
    std::string changed = frame;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << (bit % 8)));
    for (const Decoded& decoded : DecodeWhole(Mark('a') + changed)) CHECK(decoded.event != Event::kFrame);
  }
}

// Bits and pieces of what is valid, joined at random: nothing but defined events may come of it.
void SurvivesAnything() {
  for (int round = 0; round < 3000; round++) {
    std::string bytes;
    for (size_t part = 0; part < 1 + Below(12); part++) {
      std::string piece;
      switch (Below(5)) {
        case 0:
          piece = Mark('m');
          break;
        case 1:
          piece = Encode(FrameType::kData, 1, Noise(Below(100)) + Preamble());
          break;
        case 2:
          piece = WithField(16, static_cast<uint32_t>(Below(2 * kMaxPayload)), 4);
          break;
        case 3:
          piece = Encode(FrameType::kOpen, 1, Noise(Below(3000)));
          break;
        default:
          piece = Noise(Below(100));
      }
      bytes += piece.substr(0, Below(3) == 0 ? Below(piece.size() + 1) : piece.size());
    }
    Decoder decoder;
    DecodeAll(&decoder, bytes, [] { return 1 + Below(300); });
  }
}

void ChecksumIsZlibs() {
  // SAFETY: characters as bytes.
  const auto* digits = reinterpret_cast<const uint8_t*>("123456789");
  CHECK(Crc32(0, digits, 9) == 0xCBF43926);
  CHECK(Crc32(Crc32(0, digits, 4), digits + 4, 5) == 0xCBF43926);
  CHECK(Crc32(0, digits, 0) == 0);
}

}  // namespace

int main() {
  ChecksumIsZlibs();
  GivesBackFramesHoweverTheyAreSplit();
  FindsTheNextMarkAfterAnyUnfinishedFrame();
  FindsAMarkAfterAMarkThatWasCutOff();
  FindsAMarkThatOverlapsAFrame();
  SkipsWhatFollowsAViolation();
  RefusesEveryWrongHeader();
  RefusesEveryFlippedBit();
  SurvivesAnything();
}
