#pragma once

#include <napi.h>

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "core/running_jobs.h"

namespace microvm::binding {

// The way of other threads into one JavaScript environment. Shared: a thread that reports late, after the
// environment is gone, posts into a closed box, which drops the task. (Node frees a thread-safe function at
// the end of its environment whoever still uses it, so the box, not Node, decides when nobody may call it any
// more.)
class Mailbox {
 public:
  using Task = std::function<void(Napi::Env)>;

  // Empty when an exception is pending.
  static std::shared_ptr<Mailbox> Create(Napi::Env env);

  // Any thread. Tasks run in order on the JavaScript thread, a few in one turn of its loop: what they settle
  // sets off code of the caller, and the timers and sockets of the rest of the program want their turn.
  // They must own no Napi reference: the last copy may die anywhere.
  void Post(Task task);

  // JavaScript thread: while there is a hold the environment stays alive. It starts without one.
  void Hold(Napi::Env env);
  void Drop(Napi::Env env);

  // The work of this environment, whose end drops what has not begun, cancels the rest and waits for it.
  core::RunningJobs& Jobs() { return *jobs_; }

 private:
  static void Deliver(napi_env env, napi_value, void* context, void*);
  static void Finalize(napi_env, void*, void* context);
  static void BeginTurn(const Napi::CallbackInfo& info);
  void RunTasks(Napi::Env env);
  void Close();

  std::mutex mutex_;
  bool is_closed_ = false;
  std::vector<Task> tasks_;
  const std::shared_ptr<core::RunningJobs> jobs_ = core::RunningJobs::Create();
  // Since BeginTurn; when there were enough, the next one is waited for.
  size_t run_in_turn_ = 0;
  napi_threadsafe_function function_ = nullptr;
  // JavaScript thread only.
  int holds_ = 0;
};

}  // namespace microvm::binding
