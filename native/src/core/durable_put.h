#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "core/cancellation.h"
#include "core/data_copy.h"
#include "core/durable_committer.h"
#include "core/result.h"
#include "core/size_bounds.h"

namespace microvm::core {

// A file that is to be at `target`, whole and durable. Paths are absolute and normalised.
struct PutRequest {
  enum class Source { kData, kCopy, kMove };
  Source source = Source::kData;
  std::string data;  // kData
  std::string from;  // kCopy, kMove: a regular file
  std::string target;
  // Empty: that of the source, 0600 for data.
  std::optional<unsigned> mode;
  // Empty: ours; for a moved file its own.
  std::optional<uid_t> uid;
  std::optional<gid_t> gid;
  // kCopy: blocks of zeros become holes.
  bool punch_zeros = false;
  // False: EEXIST when something is at the target.
  bool replaces = true;
  // kCopy, kMove: what is accepted of the source.
  SizeBounds size;
};

// A file that is ready for its name: its content is written out, its owner and mode are set.
struct PreparedPut {
  // To be submitted to the committer, which flushes, names and syncs it together with others. Dropped, it
  // leaves nothing of a copy or of data, and a file that was to be moved where it is.
  DurableChange change;
  CopyOutcome outcome;
};

// Everything of a put that takes long and that nobody sees. Can take long: a thread of its own. Cancelled, it
// fails with ECANCELED and leaves nothing.
Result<PreparedPut> PreparePut(const PutRequest& request, const Cancellation& cancellation,
                               const CopyProgress& on_progress);

}  // namespace microvm::core
