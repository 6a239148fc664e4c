#pragma once

#include <napi.h>

#include <optional>
#include <string>
#include <vector>

#include "binding/reader.h"

namespace microvm::binding {

// The fields of one object of the arguments; messages name them by their whole path ("taps[0].mac"). Lives as
// long as its Reader.
class Fields {
 public:
  Fields(Reader* reader, Napi::Value value, const std::string& name);

  std::string Name(const std::string& field) const { return prefix_ + field; }

  // A field that must be there.
  std::string Text(const char* field) const;
  int64_t Integer(const char* field, int64_t low, int64_t high) const;

  // Undefined is empty.
  std::optional<std::string> OptionalText(const char* field) const;
  std::optional<int64_t> OptionalInteger(const char* field, int64_t low, int64_t high) const;
  std::optional<bool> OptionalFlag(const char* field) const;
  std::vector<Fields> Objects(const char* field) const;
  std::vector<std::string> Texts(const char* field) const;

  Napi::Object Value() const { return object_; }
  Reader* GetReader() const { return reader_; }

 private:
  bool Has(const char* field) const;

  Reader* reader_;
  Napi::Object object_;
  std::string prefix_;
};

}  // namespace microvm::binding
