#include "binding/fields.h"

namespace microvm::binding {

Fields::Fields(Reader* reader, Napi::Value value, const std::string& name)
    : reader_(reader), object_(reader->Object(value, name)), prefix_(name.empty() ? "" : name + ".") {}

bool Fields::Has(const char* field) const {
  const Napi::Value value = object_.Get(field);
  return !reader_->Failed() && (value.IsEmpty() || !value.IsUndefined());
}

std::string Fields::Text(const char* field) const { return reader_->String(object_.Get(field), Name(field)); }

int64_t Fields::Integer(const char* field, int64_t low, int64_t high) const {
  return reader_->Integer(object_.Get(field), Name(field), low, high);
}

std::optional<std::string> Fields::OptionalText(const char* field) const {
  return Has(field) ? std::optional(Text(field)) : std::nullopt;
}

std::optional<int64_t> Fields::OptionalInteger(const char* field, int64_t low, int64_t high) const {
  if (!Has(field)) return {};
  return reader_->Integer(object_.Get(field), Name(field), low, high);
}

std::optional<bool> Fields::OptionalFlag(const char* field) const {
  if (!Has(field)) return {};
  return reader_->Boolean(object_.Get(field), Name(field));
}

std::vector<Fields> Fields::Objects(const char* field) const {
  std::vector<Fields> list;
  if (!Has(field)) return list;
  const Napi::Value value = object_.Get(field);
  if (value.IsEmpty() || !value.IsArray()) {
    reader_->Fail(Name(field), "an array of objects");
    return list;
  }
  const auto array = value.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length() && !reader_->Failed(); ++i) {
    list.emplace_back(reader_, array.Get(i), Name(field) + "[" + std::to_string(i) + "]");
  }
  return list;
}

std::vector<std::string> Fields::Texts(const char* field) const {
  return Has(field) ? reader_->Strings(object_.Get(field), Name(field)) : std::vector<std::string>();
}

}  // namespace microvm::binding
