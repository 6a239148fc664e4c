#pragma once

#include <napi.h>

#include <cstdint>
#include <memory>
#include <unordered_map>

#include "binding/deferred.h"
#include "binding/deliveries.h"
#include "binding/mailbox.h"
#include "binding/wait_data.h"
#include "core/cancellation.h"
#include "core/handles.h"
#include "core/process_reaper.h"
#include "core/tree_feed.h"

namespace microvm::binding {

// What one JavaScript environment holds; JavaScript thread only. JavaScript names things by a number, so that
// garbage collection decides nothing: a lock that nobody references any more is still held.
struct AddonData {
  // A process under watch; gone from the table once it has ended or was closed.
  struct Process {
    std::shared_ptr<core::WatchedProcess> watched;
    Deferred exited;
    bool is_held = false;
  };
  // See Job.
  struct RunningJob {
    std::shared_ptr<core::Cancellation> cancellation;
    Napi::FunctionReference on_progress;
  };

  static AddonData& Of(Napi::Env env) { return *env.GetInstanceData<AddonData>(); }

  ~AddonData();

  std::shared_ptr<Mailbox> mailbox;
  // See Mailbox.
  Napi::FunctionReference set_immediate;
  uint32_t last_id = 0;
  Deliveries deliveries;
  std::unordered_map<uint32_t, Process> processes;
  std::unordered_map<uint32_t, UniqueFd> locks;
  std::unordered_map<uint32_t, RunningJob> jobs;
  // Trees that are being written or read; a call under way holds its own.
  std::unordered_map<uint32_t, std::shared_ptr<core::TreeFeed>> tree_feeds;
  std::unordered_map<uint32_t, std::shared_ptr<core::TreeSource>> tree_sources;
  WaitData wait;
};

}  // namespace microvm::binding
