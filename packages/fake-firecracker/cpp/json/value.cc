#include "json/value.h"

#include <algorithm>
#include <charconv>
#include <cstdio>

namespace microvm::fake {

Value Value::Bool(bool value) {
  Value result;
  result.kind = Kind::kBool;
  result.boolean = value;
  return result;
}

Value Value::Number(uint64_t value) {
  Value result;
  result.kind = Kind::kUnsigned;
  result.number = value;
  return result;
}

Value Value::Text(std::string value) {
  Value result;
  result.kind = Kind::kText;
  result.text = std::move(value);
  return result;
}

Value Value::List(std::vector<Value> items) {
  Value result;
  result.kind = Kind::kList;
  result.items = std::move(items);
  return result;
}

Value Value::Object(std::vector<std::pair<std::string, Value>> members) {
  Value result;
  result.kind = Kind::kObject;
  result.members = std::move(members);
  return result;
}

Value* Value::Find(std::string_view key) {
  for (auto& [name, value] : members) {
    if (name == key) return &value;
  }
  return nullptr;
}

const Value* Value::Find(std::string_view key) const { return const_cast<Value*>(this)->Find(key); }

void Value::Set(std::string key, Value value) {
  if (Value* present = Find(key); present != nullptr) {
    *present = std::move(value);
  } else {
    members.emplace_back(std::move(key), std::move(value));
  }
}

void Value::Remove(std::string_view key) {
  for (auto member = members.begin(); member != members.end(); ++member) {
    if (member->first != key) continue;
    members.erase(member);
    return;
  }
}

std::string Quoted(std::string_view text) {
  std::string result = "\"";
  for (const char byte : text) {
    const auto code = static_cast<unsigned char>(byte);
    switch (byte) {
      case '"':
        result += "\\\"";
        break;
      case '\\':
        result += "\\\\";
        break;
      case '\b':
        result += "\\b";
        break;
      case '\f':
        result += "\\f";
        break;
      case '\n':
        result += "\\n";
        break;
      case '\r':
        result += "\\r";
        break;
      case '\t':
        result += "\\t";
        break;
      default:
        if (code < 0x20) {
          char escape[8];
          snprintf(escape, sizeof(escape), "\\u%04x", code);
          result += escape;
        } else {
          result += byte;
        }
    }
  }
  return result + "\"";
}

std::string FloatText(double value) {
  char digits[40];
  const double size = value < 0 ? -value : value;
  const bool is_plain = size == 0 || (size >= 1e-5 && size < 1e16);
  const std::to_chars_result end =
      std::to_chars(digits, digits + sizeof(digits), value,
                    is_plain ? std::chars_format::fixed : std::chars_format::scientific);
  std::string text(digits, end.ptr);
  if (text.find_first_of(".en") == std::string::npos) text += ".0";
  return text;
}

std::string Value::Write() const {
  switch (kind) {
    case Kind::kNull:
      return "null";
    case Kind::kBool:
      return boolean ? "true" : "false";
    case Kind::kUnsigned:
      return std::to_string(number);
    case Kind::kNegative:
      return "-" + std::to_string(number);
    case Kind::kFloat:
      return FloatText(real);
    case Kind::kText:
      return Quoted(text);
    case Kind::kList: {
      std::string result = "[";
      for (const Value& item : items) result += (result.size() > 1 ? "," : "") + item.Write();
      return result + "]";
    }
    case Kind::kObject: {
      std::string result = "{";
      for (const auto& [name, value] : members)
        result += (result.size() > 1 ? "," : "") + Quoted(name) + ":" + value.Write();
      return result + "}";
    }
  }
  return "null";
}

void SortKeys(Value* value) {
  std::sort(value->members.begin(), value->members.end(),
            [](const auto& left, const auto& right) { return left.first < right.first; });
  for (auto& [name, member] : value->members) SortKeys(&member);
  for (Value& item : value->items) SortKeys(&item);
}

void MergePatch(Value* target, const Value& patch) {
  if (patch.kind != Value::Kind::kObject) {
    *target = patch;
    return;
  }
  if (target->kind != Value::Kind::kObject) *target = Value::Object();
  for (const auto& [name, value] : patch.members) {
    if (value.kind == Value::Kind::kNull) {
      target->Remove(name);
      continue;
    }
    if (target->Find(name) == nullptr) target->Set(name, Value());
    MergePatch(target->Find(name), value);
  }
}

}  // namespace microvm::fake
