#include "binding/addon_data.h"
#include "binding/features.h"
#include "binding/promise.h"
#include "binding/reader.h"
#include "core/durable_committer.h"

namespace microvm::binding {
namespace {

using Kind = core::DurableChange::Kind;

Napi::Value Submit(Napi::Env env, core::DurableChange change) {
  const Deferred deferred(env);
  const auto mailbox = AddonData::Of(env).mailbox;
  change.done = [mailbox, deferred](const core::Status& status) {
    mailbox->Post([mailbox, deferred, status](Napi::Env js) {
      mailbox->Drop(js);
      if (status.Ok()) {
        deferred.Resolve(js, js.Undefined());
      } else {
        deferred.Reject(js, MakeSystemError(js, status.Error()).Value());
      }
    });
  };
  mailbox->Hold(env);
  const auto submitted = core::DurableCommitter::Instance().Submit(std::move(change));
  if (!submitted.Ok()) {
    mailbox->Drop(env);
    deferred.Reject(env, MakeSystemError(env, submitted.Error()).Value());
  }
  return deferred.Promise(env);
}

Napi::Value WriteDurable(const Napi::CallbackInfo& info) {
  Reader reader(info);
  core::DurableChange change;
  change.kind = Kind::kWrite;
  change.path = reader.String(info[0], "path");
  change.data = reader.Bytes(info[1], "data", true);
  change.keep_spare = reader.Boolean(info[2], "keepSpare");
  return reader.Failed() ? info.Env().Undefined() : Submit(info.Env(), std::move(change));
}

Napi::Value RemoveDurable(const Napi::CallbackInfo& info) {
  Reader reader(info);
  core::DurableChange change;
  change.kind = Kind::kRemove;
  change.path = reader.String(info[0], "path");
  return reader.Failed() ? info.Env().Undefined() : Submit(info.Env(), std::move(change));
}

Napi::Value RenameDurable(const Napi::CallbackInfo& info) {
  Reader reader(info);
  core::DurableChange change;
  change.kind = Kind::kRename;
  change.path = reader.String(info[0], "from");
  change.target = reader.String(info[1], "to");
  return reader.Failed() ? info.Env().Undefined() : Submit(info.Env(), std::move(change));
}

}  // namespace

void RegisterDurable(Napi::Env env, Napi::Object exports) {
  exports.Set("writeDurable", Napi::Function::New(env, WriteDurable, "writeDurable"));
  exports.Set("removeDurable", Napi::Function::New(env, RemoveDurable, "removeDurable"));
  exports.Set("renameDurable", Napi::Function::New(env, RenameDurable, "renameDurable"));
}

}  // namespace microvm::binding
