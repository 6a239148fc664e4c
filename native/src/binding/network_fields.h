#pragma once

#include <optional>
#include <string>

#include "binding/fields.h"
#include "core/network/plan.h"

namespace microvm::binding {

// Fields of a network's objects. A wrong one fails the reader of the fields.
std::string LinkName(const Fields& fields, const char* field);
core::IpPrefix Prefix(const Fields& fields, const char* field);
// Undefined is empty.
std::optional<core::IpAddress> OptionalAddress(const Fields& fields, const char* field);

}  // namespace microvm::binding
