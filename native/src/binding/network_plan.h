#pragma once

#include "binding/network_fields.h"

namespace microvm::binding {

core::LinkSettings ReadSettings(const Fields& fields);
core::RoutePlan ReadRoute(const Fields& fields);
core::TapPlan ReadTap(const Fields& fields);
core::VethPlan ReadVeth(const Fields& fields);
core::SlotPlan ReadSlot(const Fields& fields);

}  // namespace microvm::binding
