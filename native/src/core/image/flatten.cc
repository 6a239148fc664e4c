#include "core/image/flatten.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <utility>

#include "core/image/tree.h"
#include "core/job_queue.h"

namespace microvm::core::image {
namespace {

// Each decompressor may take some memory.
constexpr size_t kMaxThreads = 4;

class Flattening {
 public:
  Flattening(const FlattenRequest& request, const Cancellation& cancellation,
             const FlattenProgress& on_progress, const RootKnown& on_root)
      : request_(request),
        on_progress_(on_progress),
        on_root_(on_root),
        budget_(request.limits),
        halt_(cancellation),
        layers_(request.layers.size()),
        results_(request.layers.size()),
        tree_(&budget_) {}

  Result<FlattenOutcome> Run() {
    FlattenOutcome outcome;
    auto done = Work(&outcome);
    if (done.Ok()) return outcome;
    if (halt_.IsCancelled()) return SysError{ECANCELED, "flattenLayers", {}};
    if (const SysError* error = done.System()) return *error;
    FlattenOutcome failed;
    failed.fault = *done.Fault();
    return failed;
  }

 private:
  ImageStatus Work(FlattenOutcome* outcome);
  ImageStatus ReadLayers();
  void ReadSome();
  ImageStatus Merge();

  const FlattenRequest& request_;
  const FlattenProgress& on_progress_;
  const RootKnown& on_root_;
  ImageBudget budget_;
  Halt halt_;
  std::vector<LayerContents> layers_;
  std::vector<ImageStatus> results_;
  std::atomic<size_t> next_{0};
  Tree tree_;
};

ImageStatus Flattening::Work(FlattenOutcome* outcome) {
  if (layers_.size() > request_.limits.layers) {
    return std::move(
               ImageStatus::Invalid("it has more than " + std::to_string(request_.limits.layers) + " layers"))
        .InLayer(static_cast<size_t>(request_.limits.layers));
  }
  auto read = ReadLayers();
  if (!read.Ok()) return read;
  auto merged = Merge();
  if (!merged.Ok()) return merged;
  if (on_root_) on_root_(*tree_.Root().inode);
  OutputPipe output(request_.output, &halt_);
  StreamWriter writer(layers_, &output);
  auto written = writer.Write(tree_.Root());
  if (!written.Ok()) return written;
  outcome->counts = writer.Counts();
  for (const LayerContents& layer : layers_) outcome->layers.push_back(layer.facts);
  outcome->root = *tree_.Root().inode;
  return {};
}

ImageStatus Flattening::ReadLayers() {
  const size_t processors = std::clamp<size_t>(std::thread::hardware_concurrency(), 1, kMaxThreads);
  JobQueue::ForData().RunTogether("mvm-layer", std::min(processors, layers_.size()), [this] { ReadSome(); });
  // The first that says more than that it was told to end.
  const auto is_cause = [](const ImageStatus& status) {
    return !status.Ok() && (status.System() == nullptr || status.System()->number != ECANCELED);
  };
  const auto cause = std::find_if(results_.begin(), results_.end(), is_cause);
  return cause == results_.end() ? halt_.Check() : *cause;
}

void Flattening::ReadSome() {
  for (size_t layer = next_++; layer < layers_.size(); layer = next_++) {
    LayerWork work{request_.work_dir, &budget_, &halt_, {}};
    if (on_progress_) {
      work.on_progress = [this, layer](uint64_t done, uint64_t total) { on_progress_(layer, done, total); };
    }
    auto read = halt_.Check();
    if (read.Ok()) read = ReadLayer(request_.layers[layer], work, &layers_[layer]);
    if (!read.Ok()) halt_.Request();
    results_[layer] = std::move(read).InLayer(layer);
  }
}

ImageStatus Flattening::Merge() {
  for (size_t layer = 0; layer < layers_.size(); ++layer) {
    for (Entry& entry : layers_[layer].entries) {
      auto halted = halt_.Check();
      if (!halted.Ok()) return halted;
      auto added = tree_.Add(layer, std::move(entry), layers_[layer].has_whiteouts);
      if (!added.Ok()) return std::move(added).InLayer(layer);
    }
    layers_[layer].entries = {};
  }
  return {};
}

}  // namespace

Result<FlattenOutcome> FlattenLayers(const FlattenRequest& request, const Cancellation& cancellation,
                                     const FlattenProgress& on_progress, const RootKnown& on_root) {
  return Flattening(request, cancellation, on_progress, on_root).Run();
}

}  // namespace microvm::core::image
