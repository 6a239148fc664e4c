#include <set>

#include "binding/features.h"
#include "binding/fields.h"
#include "binding/start_job.h"
#include "core/jail_stage.h"
#include "core/root_directory.h"

namespace microvm::binding {
namespace {

constexpr int64_t kMaxId = int64_t{UINT32_MAX} - 1;  // -1 means "as it is" to chown
constexpr int64_t kMaxMode = 0777;
constexpr unsigned kSharedFolderMode = 0755;
constexpr unsigned kPrivateFolderMode = 0700;
constexpr unsigned kPrivateFileMode = 0600;

std::string ReadName(const Fields& fields) {
  std::string name = fields.Text("name");
  if (!fields.GetReader()->Failed() && !core::IsBeneathName(name)) {
    fields.GetReader()->Fail(fields.Name("name"),
                             "a relative path without empty components, \".\" and \"..\"");
  }
  return name;
}

unsigned ReadMode(const Fields& fields, unsigned fallback) {
  return static_cast<unsigned>(fields.OptionalInteger("mode", 0, kMaxMode).value_or(fallback));
}

core::JailFolder ReadFolder(const Fields& fields) {
  core::JailFolder folder;
  folder.name = ReadName(fields);
  folder.is_private = fields.OptionalFlag("private").value_or(false);
  folder.mode = ReadMode(fields, folder.is_private ? kPrivateFolderMode : kSharedFolderMode);
  return folder;
}

core::PrivateFile ReadPrivate(const Fields& fields) {
  using Origin = core::PrivateOrigin;
  core::PrivateFile file;
  file.name = ReadName(fields);
  const auto from = fields.OptionalText("from");
  const std::string by = fields.OptionalText("by").value_or("copy");
  const auto size = fields.OptionalInteger("sizeBytes", 0, INT64_C(1) << 53);
  const bool has_mode = fields.OptionalInteger("mode", 0, kMaxMode).has_value();
  Reader* reader = fields.GetReader();
  if (reader->Failed()) return file;
  file.from = from.value_or("");
  file.origin = !from          ? Origin::kEmpty
                : by == "link" ? Origin::kLink
                : by == "move" ? Origin::kMove
                               : Origin::kCopy;
  if (by != "copy" && by != "link" && by != "move")
    reader->Fail(fields.Name("by"), "\"copy\", \"link\" or \"move\"");
  if (by != "copy" && !from) reader->Fail(fields.Name("from"), "a string, as there is \"by\"");
  if (by != "copy" && (size || has_mode)) {
    reader->Fail(fields.Name("by"), "\"copy\" for a file that gets a size or a mode");
  }
  if (size) file.size_bytes = static_cast<uint64_t>(*size);
  file.mode = ReadMode(fields, kPrivateFileMode);
  return file;
}

void CheckNames(const core::JailPlan& plan, Reader* reader) {
  std::set<std::string> names;
  bool are_unique = true;
  for (const auto& folder : plan.folders) are_unique &= names.insert(folder.name).second;
  for (const auto& file : plan.shared) are_unique &= names.insert(file.name).second;
  for (const auto& file : plan.privates) are_unique &= names.insert(file.name).second;
  if (!are_unique) reader->Fail("plan", "a plan in which everything has a name of its own");
}

core::JailPlan ReadPlan(const Fields& fields) {
  core::JailPlan plan;
  plan.root = fields.Text("root");
  plan.uid = static_cast<uid_t>(fields.Integer("uid", 0, kMaxId));
  plan.gid = static_cast<gid_t>(fields.Integer("gid", 0, kMaxId));
  for (const Fields& folder : fields.Objects("folders")) plan.folders.push_back(ReadFolder(folder));
  for (const Fields& file : fields.Objects("shared")) {
    std::string name = ReadName(file);
    plan.shared.push_back({std::move(name), file.Text("from")});
  }
  for (const Fields& file : fields.Objects("private")) plan.privates.push_back(ReadPrivate(file));
  if (!fields.GetReader()->Failed()) CheckNames(plan, fields.GetReader());
  return plan;
}

const char* MethodOf(core::Arrival arrival) {
  switch (arrival) {
    case core::Arrival::kLink:
      return "link";
    case core::Arrival::kReflink:
      return "reflink";
    case core::Arrival::kCopy:
      return "copy";
    case core::Arrival::kMove:
      return "move";
    case core::Arrival::kEmpty:
      break;
  }
  return "empty";
}

using Staged = std::vector<core::StagedFile>;

Napi::Value StagedObject(Napi::Env env, Staged& staged) {
  Napi::Array files = Napi::Array::New(env, staged.size());
  for (uint32_t i = 0; i < staged.size(); ++i) {
    Napi::Object file = Napi::Object::New(env);
    file.Set("name", staged[i].name);
    file.Set("method", MethodOf(staged[i].arrival));
    file.Set("sizeBytes", Napi::Number::New(env, static_cast<double>(staged[i].size_bytes)));
    files.Set(i, file);
  }
  Napi::Object object = Napi::Object::New(env);
  object.Set("files", files);
  return object;
}

// stageJail(plan) -> { id, settled }
Napi::Value StageJail(const Napi::CallbackInfo& info) {
  Reader reader(info);
  const core::JailPlan plan = ReadPlan(Fields(&reader, info[0], "plan"));
  if (reader.Failed()) return info.Env().Undefined();
  return StartJob<Staged>(
      info.Env(), {"mvm-jail", &core::JobQueue::ForCalls()}, info.Env().Undefined(),
      [plan](const Job& job) { return core::StageJail(plan, *job.cancellation); }, StagedObject);
}

}  // namespace

void RegisterJail(Napi::Env env, Napi::Object exports) {
  exports.Set("stageJail", Napi::Function::New(env, StageJail, "stageJail"));
}

}  // namespace microvm::binding
