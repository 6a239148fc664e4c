#include "binding/mailbox.h"

#include <algorithm>
#include <iterator>

#include "binding/addon_data.h"

namespace microvm::binding {
namespace {

// Less than a millisecond where each of them gives a stream to the caller.
constexpr size_t kTasksPerTurn = 8;

}  // namespace

std::shared_ptr<Mailbox> Mailbox::Create(Napi::Env env) {
  auto mailbox = std::make_shared<Mailbox>();
  // The thread-safe function owns one reference until Finalize.
  auto owned = std::make_unique<std::shared_ptr<Mailbox>>(mailbox);
  const napi_status status =
      napi_create_threadsafe_function(env, nullptr, nullptr, Napi::String::New(env, "microvm"), 0, 1, nullptr,
                                      Finalize, owned.get(), Deliver, &mailbox->function_);
  if (status != napi_ok) {
    Napi::Error::New(env, "cannot make a thread-safe function").ThrowAsJavaScriptException();
    return nullptr;
  }
  static_cast<void>(owned.release());
  napi_unref_threadsafe_function(env, mailbox->function_);
  return mailbox;
}

void Mailbox::Post(Task task) {
  const std::lock_guard lock(mutex_);
  if (is_closed_) return;
  tasks_.push_back(std::move(task));
  // Called with the lock held: Finalize takes it before Node frees the function.
  if (tasks_.size() == 1 && run_in_turn_ < kTasksPerTurn) {
    napi_call_threadsafe_function(function_, nullptr, napi_tsfn_nonblocking);
  }
}

void Mailbox::Hold(Napi::Env env) {
  if (holds_++ == 0) napi_ref_threadsafe_function(env, function_);
}

void Mailbox::Drop(Napi::Env env) {
  if (--holds_ == 0) napi_unref_threadsafe_function(env, function_);
}

void Mailbox::Deliver(napi_env env, napi_value, void* context, void*) {
  // The environment has ended: Node empties its queue after Finalize.
  if (env == nullptr) return;
  // SAFETY: the context is what Create handed over, alive until Finalize.
  (*static_cast<std::shared_ptr<Mailbox>*>(context))->RunTasks(Napi::Env(env));
}

void Mailbox::BeginTurn(const Napi::CallbackInfo& info) {
  const auto mailbox = AddonData::Of(info.Env()).mailbox;
  {
    const std::lock_guard lock(mailbox->mutex_);
    mailbox->run_in_turn_ = 0;
  }
  mailbox->RunTasks(info.Env());
}

void Mailbox::RunTasks(Napi::Env env) {
  bool is_full = false;
  std::vector<Task> tasks;
  {
    const std::lock_guard lock(mutex_);
    const size_t count = std::min(tasks_.size(), kTasksPerTurn - run_in_turn_);
    if (count == 0) return;
    const auto end = tasks_.begin() + static_cast<ptrdiff_t>(count);
    std::move(tasks_.begin(), end, std::back_inserter(tasks));
    tasks_.erase(tasks_.begin(), end);
    run_in_turn_ += count;
    is_full = run_in_turn_ == kTasksPerTurn;
  }
  // First, as a task may throw. Node calls it at the end of this turn, or of the next when it is the end now.
  if (is_full) AddonData::Of(env).set_immediate.Call({Napi::Function::New(env, BeginTurn)});
  for (const Task& task : tasks) {
    const Napi::HandleScope scope(env);
    task(env);
    // A callback of the caller threw: as in Node's own callbacks, that is an uncaught exception.
    if (env.IsExceptionPending()) napi_fatal_exception(env, env.GetAndClearPendingException().Value());
  }
}

void Mailbox::Finalize(napi_env, void*, void* context) {
  // SAFETY: ends the ownership that Create gave to the thread-safe function.
  const std::unique_ptr<std::shared_ptr<Mailbox>> owned(static_cast<std::shared_ptr<Mailbox>*>(context));
  (*owned)->Close();
}

void Mailbox::Close() {
  std::vector<Task> dropped;
  {
    const std::lock_guard lock(mutex_);
    is_closed_ = true;
    dropped.swap(tasks_);
  }
  jobs_->BeginEnd();
  jobs_->AwaitEnd();
}

}  // namespace microvm::binding
