#include <cstdint>
#include <cstdlib>

#include "file_request.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace microvm::agent;
  if (size == 0) return 0;
  FileRequest request;
  if (!DecodeFileRequest(data[0], data + 1, size - 1, &request)) return 0;
  // What the calls rely on: names without NUL that fit, and data within the message.
  for (const std::string* path : {&request.path, &request.other})
    if (path->size() > kMaxFilePath || path->find('\0') != std::string::npos) abort();
  if (request.data.size() > kMaxFileData) abort();
  // SAFETY: bytes as characters; only the places are compared.
  const auto* begin = reinterpret_cast<const char*>(data);
  if (!request.data.empty() && (request.data.data() < begin || request.data.data() > begin + size)) abort();
  if (request.position != kNoPosition && request.position > INT64_MAX) abort();
  if (request.op == FileOp::kTruncate && request.length > INT64_MAX) abort();
  return 0;
}
