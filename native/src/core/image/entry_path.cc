#include "core/image/entry_path.h"

namespace microvm::core::image {

ImageStatus SplitEntryPath(std::string_view path, const ImageLimits& limits,
                           std::vector<std::string_view>* components) {
  constexpr size_t kMaxName = 255;  // NAME_MAX
  components->clear();
  if (path.size() > limits.path_bytes) {
    return ImageStatus::Invalid("its name has more than " + std::to_string(limits.path_bytes) + " bytes");
  }
  if (path.find('\0') != std::string_view::npos) return ImageStatus::Invalid("its name has a null byte");
  for (size_t begin = 0; begin < path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view component = path.substr(begin, end - begin);
    begin = end + 1;
    if (component.empty() || component == ".") continue;
    if (component == "..") return ImageStatus::Invalid("its name has the component ..");
    if (component.size() > kMaxName) {
      return ImageStatus::Invalid("a component of its name has more than 255 bytes");
    }
    components->push_back(component);
    if (components->size() > limits.depth) {
      return ImageStatus::Invalid("it lies more than " + std::to_string(limits.depth) + " folders deep");
    }
  }
  return {};
}

}  // namespace microvm::core::image
