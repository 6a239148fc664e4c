#include "json/serde.h"

#include <algorithm>

namespace microvm::fake {
namespace {

constexpr int kDepthLimit = 128;

std::string OneOf(const std::vector<const char*>& names) {
  const auto quoted = [](const char* name) { return "`" + std::string(name) + "`"; };
  if (names.size() == 1) return "expected " + quoted(names[0]);
  if (names.size() == 2) return "expected " + quoted(names[0]) + " or " + quoted(names[1]);
  std::string text = "expected one of ";
  for (size_t i = 0; i < names.size(); i++) text += (i > 0 ? ", " : "") + quoted(names[i]);
  return text;
}

}  // namespace

bool Reader::WrongType(const char* expected) {
  const auto wrong = [&](const std::string& found) {
    return FailHere("invalid type: " + found + ", expected " + expected);
  };
  const int next = Peek();
  if (next == 'n') return Ident("ull") && wrong("null");
  if (next == 't') return Ident("rue") && wrong("boolean `true`");
  if (next == 'f') return Ident("alse") && wrong("boolean `false`");
  if (next == '[') return wrong("sequence");
  if (next == '{') return wrong("map");
  if (next == '"') {
    std::string text;
    return String(&text) && wrong("string " + Quoted(text));
  }
  if (next == '-' || IsDigit(next)) {
    Value number;
    if (!Number(&number)) return false;
    return wrong((number.kind == Value::Kind::kFloat ? "floating point `" : "integer `") + number.Write() +
                 "`");
  }
  return next < 0 ? FailAtPeek("EOF while parsing a value") : FailAtPeek("expected value");
}

bool Reader::Bool(bool* value) {
  const int next = Peek();
  if (next != 't' && next != 'f') return WrongType("a boolean");
  *value = next == 't';
  return Ident(*value ? "rue" : "alse");
}

bool Reader::Text(std::string* value, const char* expected) {
  if (Peek() != '"') return WrongType(expected);
  value->clear();
  return String(value);
}

bool Reader::Unsigned(uint64_t max, const char* type, uint64_t* value) {
  const int next = Peek();
  if (next != '-' && !IsDigit(next)) return WrongType(type);
  Value number;
  if (!Number(&number)) return false;
  if (number.kind == Value::Kind::kFloat)
    return FailHere("invalid type: floating point `" + number.Write() + "`, expected " + type);
  if (number.kind == Value::Kind::kNegative || number.number > max)
    return FailHere("invalid value: integer `" + number.Write() + "`, expected " + type);
  *value = number.number;
  return true;
}

bool Reader::Enum(const std::vector<const char*>& names, size_t* index) {
  const int next = Peek();
  if (next < 0) return FailAtPeek("EOF while parsing a value");
  const bool is_map = next == '{';
  if (next != '"' && !is_map) return FailAtPeek("expected value");
  if (is_map) index_++;
  std::string name;
  if (is_map && Peek() != '"') return WrongType("variant identifier");
  if (!String(&name)) return false;
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) return FailHere("unknown variant `" + name + "`, " + OneOf(names));
  *index = static_cast<size_t>(found - names.begin());
  if (!is_map) return true;
  if (Peek() != ':') return FailAtPeek("expected `:`");
  index_++;
  bool is_null = false;
  if (!Null(&is_null)) return false;
  if (!is_null) return WrongType("unit");
  if (Peek() != '}') return FailAtPeek("expected value");
  index_++;
  return true;
}

bool Reader::Null(bool* is_null) {
  *is_null = Peek() == 'n';
  return !*is_null || Ident("ull");
}

void Reader::CloseQuietly(char bracket) {
  if (Peek() == bracket) index_++;
}

bool Reader::Close(char bracket) {
  const int next = Peek();
  if (next == bracket) {
    index_++;
    return true;
  }
  if (next < 0)
    return FailAtPeek(bracket == '}' ? "EOF while parsing an object" : "EOF while parsing a list");
  if (next != ',') return FailAtPeek("trailing characters");
  if (bracket == '}') return FailAtPeek("trailing comma");
  index_++;
  return FailAtPeek(Peek() == ']' ? "trailing comma" : "trailing characters");
}

bool Reader::Keys(const std::function<bool(const std::string&)>& on_key) {
  for (bool first = true;; first = false) {
    int next = Peek();
    if (next == '}') return true;
    if (next < 0) return FailAtPeek("EOF while parsing an object");
    if (!first) {
      if (next != ',') return FailAtPeek("expected `,` or `}`");
      index_++;
      next = Peek();
    }
    if (next == '}') return FailAtPeek("trailing comma");
    if (next < 0) return FailAtPeek("EOF while parsing a value");
    if (next != '"') return FailAtPeek("key must be a string");
    std::string key;
    if (!String(&key) || !on_key(key)) return false;
  }
}

bool Reader::Elements(const std::function<bool()>& element) {
  for (bool first = true;; first = false) {
    int next = Peek();
    if (next == ']') return true;
    if (next < 0) return FailAtPeek("EOF while parsing a list");
    if (!first) {
      if (next != ',') return FailAtPeek("expected `,` or `]`");
      index_++;
      next = Peek();
    }
    if (next == ']') return FailAtPeek("trailing comma");
    if (next < 0) return FailAtPeek("EOF while parsing a value");
    if (!element()) return false;
  }
}

bool Reader::Object(const Struct& shape) {
  const int next = Peek();
  if (next == '[') return ListAsStruct(shape);
  if (next != '{') return WrongType((std::string("struct ") + shape.name).c_str());
  index_++;
  std::vector<bool> seen(shape.fields.size());
  const bool read = Keys([&](const std::string& key) {
    const auto field = std::find_if(shape.fields.begin(), shape.fields.end(),
                                    [&](const Field& each) { return key == each.name; });
    if (field == shape.fields.end()) {
      if (!shape.refuses_unknown) {
        Value ignored;
        if (Peek() != ':') return FailAtPeek(Peek() < 0 ? "EOF while parsing an object" : "expected `:`");
        index_++;
        return Any(&ignored);
      }
      std::vector<const char*> names;
      for (const Field& each : shape.fields) names.push_back(each.name);
      return FailHere("unknown field `" + key + "`, " + OneOf(names));
    }
    const auto place = static_cast<size_t>(field - shape.fields.begin());
    if (seen[place]) return Refuse("duplicate field `" + key + "`");
    seen[place] = true;
    if (Peek() != ':') return FailAtPeek(Peek() < 0 ? "EOF while parsing an object" : "expected `:`");
    index_++;
    return field->read(this);
  });
  for (size_t i = 0; read && i < seen.size(); i++) {
    if (!seen[i] && shape.fields[i].required && !failed_)
      Refuse(std::string("missing field `") + shape.fields[i].name + "`");
  }
  if (failed_) {
    CloseQuietly('}');
    return Settle();
  }
  return Close('}');
}

// serde reads a struct from a list too: the fields in their order, those at the end with a default may be
// left out.
bool Reader::ListAsStruct(const Struct& shape) {
  index_++;
  size_t count = 0;
  const bool read = [&] {
    for (; count < shape.fields.size(); count++) {
      int next = Peek();
      if (next == ']') break;
      if (next < 0) return FailAtPeek("EOF while parsing a list");
      if (count > 0) {
        if (next != ',') return FailAtPeek("expected `,` or `]`");
        index_++;
        next = Peek();
        if (next == ']') return FailAtPeek("trailing comma");
        if (next < 0) return FailAtPeek("EOF while parsing a value");
      }
      if (!shape.fields[count].read(this)) return false;
    }
    for (size_t i = count; i < shape.fields.size(); i++) {
      if (shape.fields[i].required)
        return Refuse("invalid length " + std::to_string(count) + ", expected struct " + shape.name +
                      " with " + std::to_string(shape.fields.size()) +
                      (shape.fields.size() == 1 ? " element" : " elements"));
    }
    return true;
  }();
  if (!read) {
    CloseQuietly(']');
    return Settle();
  }
  return Close(']');
}

bool Reader::List(const std::function<bool(Reader*)>& element) {
  if (Peek() != '[') return WrongType("a sequence");
  index_++;
  if (!Elements([&] { return element(this); })) {
    CloseQuietly(']');
    return Settle();
  }
  return Close(']');
}

bool Reader::Any(Value* value) {
  const int next = Peek();
  if (next == 'n') return Ident("ull");
  if (next == 't' || next == 'f') {
    value->kind = Value::Kind::kBool;
    return Bool(&value->boolean);
  }
  if (next == '"') {
    value->kind = Value::Kind::kText;
    return String(&value->text);
  }
  if (next == '-' || IsDigit(next)) return Number(value);
  if (next != '[' && next != '{')
    return next < 0 ? FailAtPeek("EOF while parsing a value") : FailAtPeek("expected value");
  if (++depth_ > kDepthLimit) return FailAtPeek("recursion limit exceeded");
  index_++;
  bool read = false;
  if (next == '[') {
    *value = Value::List();
    read = Elements([&] {
      value->items.emplace_back();
      return Any(&value->items.back());
    });
  } else {
    *value = Value::Object();
    read = Keys([&](const std::string& key) {
      if (Peek() != ':') return FailAtPeek(Peek() < 0 ? "EOF while parsing an object" : "expected `:`");
      index_++;
      Value member;
      if (!Any(&member)) return false;
      value->Set(key, std::move(member));
      return true;
    });
  }
  depth_--;
  return read && Close(next == '[' ? ']' : '}');
}

bool Reader::End() { return Peek() < 0 || FailAtPeek("trailing characters"); }

}  // namespace microvm::fake
