#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/image/entry.h"
#include "core/image/limits.h"
#include "core/image/pax_records.h"

namespace microvm::core::image {

// What PAX records say of an entry, as far as we want to know it.
struct PaxFields {
  std::optional<std::string> path;
  std::optional<std::string> link;
  std::optional<uint64_t> size;
  std::optional<uint64_t> uid;
  std::optional<uint64_t> gid;
  std::optional<int64_t> mtime;
  Xattrs xattrs;

  // Of a sparse file, in the forms 0.0 and 0.1 with its map; in the form 1.0 the map lies before the data.
  struct Sparse {
    std::optional<uint64_t> major;
    std::optional<uint64_t> minor;
    std::optional<uint64_t> real_size;
    std::optional<std::string> name;
    bool has_map = false;
    std::vector<Extent> map;
    // Of the form 0.0: an offset that has no length yet.
    std::optional<uint64_t> open_offset;
  } sparse;

  bool IsSparse() const { return sparse.has_map || sparse.major.has_value(); }
  bool IsSparse10() const { return sparse.major == 1U && sparse.minor == 0U; }

  // The later one of two records counts. What holds for all files is the start of what holds for one.
  ImageStatus Add(const PaxRecord& record, const ImageLimits& limits);

 private:
  ImageStatus AddXattr(const std::string& name, std::string value, const ImageLimits& limits);
  ImageStatus AddLibarchiveXattr(const PaxRecord& record, const ImageLimits& limits);
  ImageStatus AddSparse(const PaxRecord& record, const ImageLimits& limits);
  ImageStatus AddToMap(const PaxRecord& record, const ImageLimits& limits);

  uint64_t xattr_bytes_ = 0;  // of all names and values
};

}  // namespace microvm::core::image
