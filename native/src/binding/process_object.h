#pragma once

#include <napi.h>

#include <string>

#include "binding/reader.h"
#include "core/handles.h"
#include "core/process_identity.h"

namespace microvm::binding {

Napi::Object IdentityObject(Napi::Env env, const core::ProcessIdentity& identity);
core::ProcessIdentity ReadIdentity(Reader* reader, Napi::Value value, const std::string& name);

// { id, identity, exited } of a process that is watched from now on; a child is a delivery, to be claimed by
// its id. Empty with an exception pending when that fails; a child is dead then.
Napi::Value NewProcessObject(Napi::Env env, UniqueFd pidfd, const core::ProcessIdentity& identity,
                             bool is_child);

}  // namespace microvm::binding
