#include <cstddef>
#include <cstdint>
#include <string_view>

#include "http/request_parser.h"
#include "json/serde.h"
#include "vmm/config.h"

using microvm::fake::Reader;
using microvm::fake::Request;
using microvm::fake::RequestParser;

namespace {

void ReadBody(std::string_view body) {
  Reader any(body);
  microvm::fake::Value value;
  if (any.Any(&value) && any.End()) value.Write();
  Reader drive(body);
  microvm::fake::Drive as_drive;
  microvm::fake::ReadDrive(&drive, &as_drive);
  Reader load(body);
  microvm::fake::SnapshotLoad as_load;
  microvm::fake::ReadSnapshotLoad(&load, &as_load);
}

}  // namespace

// A request in two pieces, as it may come through a socket; its body as JSON, and the whole of it as JSON.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t cut = text.empty() ? 0 : data[0] % text.size();
  RequestParser parser(1000);
  for (const std::string_view piece : {text.substr(0, cut), text.substr(cut)}) {
    parser.Feed(piece);
    Request request;
    for (RequestParser::Event event; (event = parser.Next(&request)) == RequestParser::Event::kRequest ||
                                     event == RequestParser::Event::kError;) {
      if (event == RequestParser::Event::kRequest && request.body) ReadBody(*request.body);
    }
  }
  ReadBody(text);
  return 0;
}
