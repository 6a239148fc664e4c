#pragma once

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "check.h"
#include "frame.h"

namespace microvm::agent {

struct Decoded {
  Decoder::Event event;
  FrameType type = FrameType::kHello;
  uint32_t stream = 0;
  std::string payload;  // of a frame, or the session of a mark

  bool operator==(const Decoded& other) const {
    return event == other.event && type == other.type && stream == other.stream && payload == other.payload;
  }
};

// Feeds bytes in pieces, `next_size` says how long each is, and answers what came out. Reads every byte of
// every payload, so a sanitizer sees where it lies.
template <typename NextSize>
std::vector<Decoded> DecodeAll(Decoder* decoder, const std::string& bytes, NextSize next_size) {
  std::vector<Decoded> result;
  size_t at = 0;
  while (at < bytes.size()) {
    size_t room = 0;
    uint8_t* space = decoder->Space(&room);
    CHECK(room > 0);
    const size_t size = std::min({room, bytes.size() - at, next_size()});
    std::memcpy(space, bytes.data() + at, size);
    decoder->Commit(size);
    at += size;
    Frame frame;
    for (Decoder::Event event; (event = decoder->Next(&frame)) != Decoder::Event::kNeedMore;) {
      Decoded decoded{event, FrameType::kHello, 0, {}};
      if (event == Decoder::Event::kFrame) {
        CHECK(frame.size <= kMaxPayload);
        decoded.type = frame.type;
        decoded.stream = frame.stream;
        decoded.payload.assign(frame.payload, frame.payload + frame.size);
      } else if (event == Decoder::Event::kMark) {
        decoded.payload.assign(decoder->session().begin(), decoder->session().end());
      }
      result.push_back(decoded);
    }
  }
  return result;
}

}  // namespace microvm::agent
