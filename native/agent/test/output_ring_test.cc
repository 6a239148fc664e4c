#include "output_ring.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <string>

#include "check.h"

namespace {

using namespace microvm::agent;

// A pipe that gives a stream whose byte at an offset is known.
class Source {
 public:
  Source() {
    int fds[2];
    CHECK(pipe2(fds, O_CLOEXEC | O_NONBLOCK) == 0);
    out_ = fds[0];
    in_ = fds[1];
  }
  ~Source() {
    close(in_);
    close(out_);
  }
  static uint8_t At(uint64_t offset) { return static_cast<uint8_t>(offset * 31 + offset / 251); }

  int fd() const { return out_; }
  void Write(size_t size) {
    std::string data;
    for (size_t i = 0; i < size; i++) data += static_cast<char>(At(written_ + i));
    CHECK(write(in_, data.data(), size) == static_cast<ssize_t>(size));
    written_ += size;
  }

 private:
  int in_;
  int out_;
  uint64_t written_ = 0;
};

void CheckKept(const OutputRing& ring) {
  for (uint64_t offset = ring.first(); offset < ring.end();) {
    const OutputRing::Part part = ring.At(offset, 1000);
    CHECK(part.size > 0);
    for (size_t i = 0; i < part.size; i++) CHECK(part.data[i] == Source::At(offset + i));
    offset += part.size;
    for (size_t i = 0; i < part.more_size; i++) CHECK(part.more[i] == Source::At(offset + i));
    offset += part.more_size;
  }
}

// Moves bytes until there are `size` more of them.
void Fill(OutputRing* ring, Source* source, size_t size, bool keeps) {
  const uint64_t until = ring->end() + size;
  while (ring->end() < until) {
    const size_t step = static_cast<size_t>(until - ring->end() < 777 ? until - ring->end() : 777);
    source->Write(step);
    for (size_t left = step; left > 0;) {
      const uint64_t keep = keeps ? ring->first() : ring->end();
      CHECK(ring->HasRoom(keep));
      const ssize_t got = ring->ReadFrom(source->fd(), keep, left);
      CHECK(got > 0);
      left -= static_cast<size_t>(got);
    }
  }
}

void KeepsTheLastBytes() {
  RingBudget budget(1u << 20);
  OutputRing ring(&budget);
  Source source;
  Fill(&ring, &source, OutputRing::kMost, true);
  CHECK(ring.first() == 0 && ring.end() == OutputRing::kMost);
  CheckKept(ring);
  // Nothing at or behind the first byte may go: there is no room at all.
  CHECK(!ring.HasRoom(0));
  CHECK(ring.HasRoom(1));
  source.Write(10);
  CHECK(ring.ReadFrom(source.fd(), 1, 10) == 1);
  CHECK(ring.first() == 1);
  CHECK(ring.ReadFrom(source.fd(), ring.end(), 10) == 9);
  Fill(&ring, &source, 3 * OutputRing::kMost + 12345, false);
  CHECK(ring.size() == OutputRing::kMost && ring.end() == 4 * OutputRing::kMost + 12355);
  CheckKept(ring);
}

void StaysSmallWithoutBudget() {
  RingBudget budget(4096);
  OutputRing ring(&budget);
  OutputRing other(&budget);
  Source source;
  Source second;
  Fill(&ring, &source, 8192, true);
  CHECK(!ring.HasRoom(0));
  Fill(&other, &second, 4096, true);
  CHECK(!other.HasRoom(0));
  Fill(&other, &second, 20000, false);
  CHECK(other.size() == 4096);
  CheckKept(other);
  // What one gives back another can have.
  ring.Clear();
  CHECK(ring.size() == 0 && ring.first() == 8192);
  CHECK(other.HasRoom(other.first()));
}

}  // namespace

int main() {
  KeepsTheLastBytes();
  StaysSmallWithoutBudget();
}
