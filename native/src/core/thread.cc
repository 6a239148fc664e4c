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

void RunOnThreads(const char* name, size_t count, const std::function<void()>& body) {
  std::mutex mutex;
  std::condition_variable ended;
  size_t running = 0;
  for (size_t i = 1; i < count; ++i) {
    {
      const std::lock_guard lock(mutex);
      ++running;
    }
    const auto end = [&] {
      // Notified with the lock held: the waiter may not destroy the condition before.
      const std::lock_guard lock(mutex);
      --running;
      ended.notify_all();
    };
    auto started = StartThread(name, [&body, end] {
      body();
      end();
    });
    if (!started.Ok()) end();
  }
  body();
  std::unique_lock lock(mutex);
  ended.wait(lock, [&] { return running == 0; });
}

}  // namespace microvm::core
