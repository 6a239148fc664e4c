#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace microvm::fake {

// A JSON value; objects keep the order of their keys.
struct Value {
  enum class Kind { kNull, kBool, kUnsigned, kNegative, kFloat, kText, kList, kObject };

  Kind kind = Kind::kNull;
  bool boolean = false;
  uint64_t number = 0;  // kUnsigned; kNegative: the magnitude
  double real = 0;
  std::string text;
  std::vector<Value> items;
  std::vector<std::pair<std::string, Value>> members;

  Value() = default;
  static Value Bool(bool value);
  static Value Number(uint64_t value);
  static Value Text(std::string value);
  static Value List(std::vector<Value> items = {});
  static Value Object(std::vector<std::pair<std::string, Value>> members = {});

  Value* Find(std::string_view key);
  const Value* Find(std::string_view key) const;
  void Set(std::string key, Value value);
  void Remove(std::string_view key);
  std::string Write() const;
};

std::string Quoted(std::string_view text);
std::string FloatText(double value);
// As the real one keeps the keys of what it is given to keep.
void SortKeys(Value* value);
// RFC 7396.
void MergePatch(Value* target, const Value& patch);

}  // namespace microvm::fake
