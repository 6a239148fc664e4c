#pragma once

#include <napi.h>

#include <cstdint>
#include <functional>
#include <unordered_map>

#include "core/handles.h"

namespace microvm::binding {

// What is on its way to one JavaScript environment and would be lost with it. JavaScript says when it has got
// there (`claim`); an environment that is terminated may never come to that, even when a promise was
// resolved. JavaScript thread only.
class Deliveries {
 public:
  using TakeBack = std::function<void()>;

  void Add(uint32_t id, TakeBack take_back);
  // It has arrived, or is gone.
  void Claim(uint32_t id);
  // Nobody wants it any more.
  void Return(uint32_t id);
  // The environment has ended.
  void ReturnAll();

 private:
  std::unordered_map<uint32_t, TakeBack> unclaimed_;
};

// { id, fd }: until it is claimed the descriptor may or may not belong to a stream of Node's.
Napi::Value DeliverDescriptor(Napi::Env env, UniqueFd& fd);

}  // namespace microvm::binding
