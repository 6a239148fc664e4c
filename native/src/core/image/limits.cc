#include "core/image/limits.h"

#include <string>

namespace microvm::core::image {

ImageStatus ImageBudget::Take(std::atomic<uint64_t>* taken, uint64_t amount, uint64_t limit,
                              const char* of_what) {
  // Compared before it is added, so that no amount, however large, can wrap the sum around.
  uint64_t before = taken->load(std::memory_order_relaxed);
  do {
    if (amount > limit || before > limit - amount) {
      return ImageStatus::Invalid("more than " + std::to_string(limit) + " " + of_what + " in all");
    }
  } while (!taken->compare_exchange_weak(before, before + amount, std::memory_order_relaxed));
  return {};
}

}  // namespace microvm::core::image
