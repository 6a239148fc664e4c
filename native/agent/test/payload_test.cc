#include <random>
#include <string>

#include "byte_queue.h"
#include "check.h"
#include "kernel_options.h"
#include "wire.h"

namespace {

using namespace microvm::agent;

void ReaderGivesBackWhatTheWriterWrote() {
  PayloadWriter out;
  out.U8(1).U16(2).U32(3).U64(4).Text("five", 64).Text("cut off", 3);
  PayloadReader in(out.bytes().data(), out.bytes().size());
  CHECK(in.U8() == 1 && in.U16() == 2 && in.U32() == 3 && in.U64() == 4);
  CHECK(in.Text(4) == "five" && in.Text(64) == "cut" && in.Done());
}

void ReaderNeverLeavesItsPayload() {
  std::mt19937 random(7);
  for (int round = 0; round < 20000; round++) {
    // A heap block of exactly this size: a sanitizer sees the first byte beyond it.
    Bytes bytes(random() % 24);
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random() % 5);
    PayloadReader in(bytes.data(), bytes.size());
    while (in.ok()) {
      switch (random() % 5) {
        case 0:
          in.U16();
          break;
        case 1:
          in.U64();
          break;
        case 2:
          CHECK(in.Text(10).size() <= 10);
          break;
        case 3:
          CHECK(in.Blob(3).size() <= 3);
          break;
        default:
          in.Raw(random() % 9);
      }
    }
    CHECK(!in.Done() && in.U32() == 0 && in.Text(9).empty());
  }
}

void ReaderRefusesWhatDoesNotFit() {
  PayloadWriter nul;
  nul.Text(std::string_view("a\0b", 3), 64);
  PayloadReader with_nul(nul.bytes().data(), nul.bytes().size());
  CHECK(with_nul.Text(64).empty() && !with_nul.ok());
  PayloadWriter more;
  more.U8(1).U8(2);
  PayloadReader left_over(more.bytes().data(), more.bytes().size());
  CHECK(left_over.U8() == 1 && left_over.ok() && !left_over.Done());
}

void QueueGivesBackWhatItWasGiven() {
  std::mt19937 random(11);
  ByteQueue queue;
  std::string model;
  for (int round = 0; round < 20000; round++) {
    const std::string bytes(random() % 2000, static_cast<char>(random()));
    if (random() % 4 == 0) {
      uint8_t* room = queue.Extend(bytes.size() + 10);
      std::memcpy(room, bytes.data(), bytes.size());
      queue.Trim(10);
    } else {
      queue.Append(bytes.data(), bytes.size());
    }
    model += bytes;
    const size_t used = random() % (model.size() + 1);
    CHECK(queue.size() == model.size() &&
          (model.empty() || std::memcmp(queue.data(), model.data(), model.size()) == 0));
    queue.Consume(used);
    model.erase(0, used);
    if (model.size() > 500000) {
      queue.Clear();
      model.clear();
    }
  }
}

void KernelOptionsAreRead() {
  const KernelOptions none = ParseKernelOptions("console=ttyS0 quiet\n");
  CHECK(none.data_disk == "/dev/vda" && !none.data_disk_expected && !none.power_off_is_reboot);
  CHECK(none.host_name == "microvm" && none.transport == KernelOptions::Transport::kAuto);
  const KernelOptions all = ParseKernelOptions(
      "a microvm.data=/dev/vdb  microvm.poweroff=reboot microvm.hostname=box microvm.channel=vsock b=c\n");
  CHECK(all.data_disk == "/dev/vdb" && all.data_disk_expected && all.power_off_is_reboot);
  CHECK(all.host_name == "box" && all.transport == KernelOptions::Transport::kVsock);
  const KernelOptions no_disk = ParseKernelOptions("microvm.data=none");
  CHECK(no_disk.data_disk.empty() && !no_disk.data_disk_expected);
}

void WrongKernelOptionsLeaveTheDefaults() {
  const KernelOptions wrong = ParseKernelOptions(
      "microvm. microvm.= microvm.what=ever microvm.data=relative microvm.poweroff=maybe microvm.hostname= "
      "microvm.channel=pigeon");
  CHECK(wrong.data_disk == "/dev/vda" && !wrong.data_disk_expected && !wrong.power_off_is_reboot);
  CHECK(wrong.host_name == "microvm" && wrong.transport == KernelOptions::Transport::kAuto);
}

}  // namespace

int main() {
  ReaderGivesBackWhatTheWriterWrote();
  ReaderNeverLeavesItsPayload();
  ReaderRefusesWhatDoesNotFit();
  QueueGivesBackWhatItWasGiven();
  KernelOptionsAreRead();
  WrongKernelOptionsLeaveTheDefaults();
}
