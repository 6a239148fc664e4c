#include <climits>

#include "binding/addon_data.h"
#include "binding/features.h"
#include "binding/promise.h"
#include "binding/reader.h"
#include "core/tree_feed.h"

namespace microvm::binding {
namespace {

constexpr int64_t kMaxCount = (int64_t{1} << 53) - 1;

// openTreeFeed(target, { owners, devices, maxEntries, maxBytes }) -> number
Napi::Value OpenTreeFeed(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const std::string target = reader.String(info[0], "target");
  const Napi::Object options = reader.Object(info[1], "options");
  tree::Receiver::Options wanted;
  wanted.with_owners = reader.OptionalBoolean(options, "owners", false);
  wanted.with_devices = reader.OptionalBoolean(options, "devices", false);
  wanted.max_entries =
      static_cast<uint64_t>(reader.OptionalInteger(options, "maxEntries", 1, kMaxCount).value_or(0));
  wanted.max_bytes =
      static_cast<uint64_t>(reader.OptionalInteger(options, "maxBytes", 1, kMaxCount).value_or(0));
  if (reader.Failed()) return info.Env().Undefined();
  AddonData& data = AddonData::Of(info.Env());
  const uint32_t id = ++data.last_id;
  data.tree_feeds.emplace(id, std::make_shared<core::TreeFeed>(target, wanted));
  return Napi::Number::New(info.Env(), id);
}

Napi::Value StateObject(Napi::Env env, core::TreeFeed::State& state) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("entries", Napi::Number::New(env, static_cast<double>(state.counts.entries)));
  object.Set("bytes", Napi::Number::New(env, static_cast<double>(state.counts.bytes)));
  object.Set("skipped", Napi::Number::New(env, static_cast<double>(state.counts.skipped)));
  object.Set("ended", Napi::Boolean::New(env, state.ended));
  return object;
}

// feedTree(number, bytes) -> promise
Napi::Value FeedTree(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const auto id = static_cast<uint32_t>(reader.Integer(info[0], "tree", 0, UINT32_MAX));
  const std::string bytes = reader.Bytes(info[1], "bytes", false);
  auto& feeds = AddonData::Of(info.Env()).tree_feeds;
  const auto found = feeds.find(id);
  if (!reader.Failed() && found == feeds.end()) reader.Fail("tree", "a tree that is open");
  if (reader.Failed()) return info.Env().Undefined();
  return Run<core::TreeFeed::State>(
      info.Env(), {"mvm-tree", &core::JobQueue::ForData()},
      [feed = found->second, bytes] { return feed->Feed(bytes); }, StateObject);
}

// openTreeSource(path, { hardLinks }) -> number
Napi::Value OpenTreeSource(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const std::string path = reader.String(info[0], "path");
  const Napi::Object options = reader.Object(info[1], "options");
  const bool with_hard_links = reader.OptionalBoolean(options, "hardLinks", true);
  if (reader.Failed()) return info.Env().Undefined();
  AddonData& data = AddonData::Of(info.Env());
  const uint32_t id = ++data.last_id;
  data.tree_sources.emplace(id,
                            std::make_shared<core::TreeSource>(path, tree::Sender::Options{with_hard_links}));
  return Napi::Number::New(info.Env(), id);
}

Napi::Value BytesOrNull(Napi::Env env, Bytes& bytes) {
  if (bytes.empty()) return env.Null();
  return Napi::Buffer<uint8_t>::Copy(env, bytes.data(), bytes.size());
}

// readTree(number) -> promise of bytes, or null at the end
Napi::Value ReadTree(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const auto id = static_cast<uint32_t>(reader.Integer(info[0], "tree", 0, UINT32_MAX));
  auto& sources = AddonData::Of(info.Env()).tree_sources;
  const auto found = sources.find(id);
  if (!reader.Failed() && found == sources.end()) reader.Fail("tree", "a tree that is open");
  if (reader.Failed()) return info.Env().Undefined();
  return Run<Bytes>(
      info.Env(), {"mvm-tree", &core::JobQueue::ForData()},
      [source = found->second] { return source->Read(); }, BytesOrNull);
}

// closeTree(number): what is under way ends by itself
Napi::Value CloseTree(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const auto id = static_cast<uint32_t>(reader.Integer(info[0], "tree", 0, UINT32_MAX));
  if (reader.Failed()) return info.Env().Undefined();
  AddonData& data = AddonData::Of(info.Env());
  data.tree_feeds.erase(id);
  data.tree_sources.erase(id);
  return info.Env().Undefined();
}

}  // namespace

void RegisterTreeStream(Napi::Env env, Napi::Object exports) {
  exports.Set("openTreeFeed", Napi::Function::New(env, OpenTreeFeed, "openTreeFeed"));
  exports.Set("feedTree", Napi::Function::New(env, FeedTree, "feedTree"));
  exports.Set("openTreeSource", Napi::Function::New(env, OpenTreeSource, "openTreeSource"));
  exports.Set("readTree", Napi::Function::New(env, ReadTree, "readTree"));
  exports.Set("closeTree", Napi::Function::New(env, CloseTree, "closeTree"));
}

}  // namespace microvm::binding
