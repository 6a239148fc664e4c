// microvm-watcher: reclaims what an owner leaves behind when it dies. surface/watcher.ts has its protocol.

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "core/result.h"
#include "watcher/ward_list.h"

namespace {

constexpr int kOwner = 3;

// Neither a terminal nor a service manager that stops the owner may stop us before the owner has gone.
void IgnoreSignals() {
  for (const int number : {SIGINT, SIGQUIT, SIGHUP, SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU, SIGPIPE}) {
    signal(number, SIG_IGN);
  }
}

// Feeds the list until the owner is gone, however that shows.
void ReadUntilOwnerIsGone(microvm::watcher::WardList* wards) {
  while (true) {
    pollfd owner{kOwner, POLLIN, 0};
    if (microvm::core::RetryOnSignal([&] { return poll(&owner, 1, -1); }) < 0) return;
    char chunk[4096];
    const ssize_t got = microvm::core::RetryOnSignal([&] { return read(kOwner, chunk, sizeof chunk); });
    if (got > 0) {
      wards->Feed({chunk, static_cast<size_t>(got)});
    } else if (got == 0 || errno != EAGAIN) {
      return;
    }
  }
}

}  // namespace

int main() {
  // Fails when we lead a session already, which is as good.
  static_cast<void>(setsid());
  IgnoreSignals();
  microvm::watcher::WardList wards;
  ReadUntilOwnerIsGone(&wards);
  const bool is_reclaimed = wards.Reclaim();
  if (wards.IgnoredLines() > 0) fprintf(stderr, "microvm-watcher: %zu lines ignored\n", wards.IgnoredLines());
  return is_reclaimed ? 0 : 1;
}
