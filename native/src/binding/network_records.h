#pragma once

#include <napi.h>

#include <vector>

#include "core/network/records.h"

namespace microvm::binding {

Napi::Value LinkList(Napi::Env env, std::vector<core::LinkRecord>& links);
Napi::Value AddressList(Napi::Env env, std::vector<core::AddressRecord>& addresses);
Napi::Value RouteList(Napi::Env env, std::vector<core::RouteRecord>& routes);

}  // namespace microvm::binding
