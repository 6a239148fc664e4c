#include "core/thread.h"

#include <pthread.h>
#include <signal.h>

#include <condition_variable>
#include <memory>
#include <mutex>

namespace microvm::core {
namespace {

struct Start {
  const char* name;
  std::function<void()> body;
};

void* Run(void* argument) {
  // SAFETY: StartThread released exactly this object to us.
  const std::unique_ptr<Start> start(static_cast<Start*>(argument));
  pthread_setname_np(pthread_self(), start->name);
  start->body();
  return nullptr;
}

}  // namespace

Status StartThread(const char* name, std::function<void()> body) {
  auto start = std::make_unique<Start>(Start{name, std::move(body)});
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread;
  const int failed = pthread_create(&thread, &attributes, Run, start.get());
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_attr_destroy(&attributes);
  if (failed != 0) return SysError{failed, "pthread_create", {}};
  static_cast<void>(start.release());
  return {};
}

Status RunOnFreshThread(const char* name, const std::function<void()>& body) {
  std::mutex mutex;
  std::condition_variable changed;
  bool has_ended = false;
  auto started = StartThread(name, [&] {
    body();
    // Notified with the lock held: the waiter may not destroy the condition before.
    const std::lock_guard lock(mutex);
    has_ended = true;
    changed.notify_all();
  });
  if (!started.Ok()) return started;
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return has_ended; });
  return {};
}

}  // namespace microvm::core
