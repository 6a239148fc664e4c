#include "json/serde.h"

#include <algorithm>
#include <charconv>

namespace microvm::fake {
namespace {

constexpr int kDepthLimit = 128;

bool IsDigit(int byte) { return byte >= '0' && byte <= '9'; }

void AppendUtf8(unsigned code, std::string* text) {
  if (code < 0x80) {
    *text += static_cast<char>(code);
  } else if (code < 0x800) {
    *text += static_cast<char>(0xC0 | code >> 6);
    *text += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    *text += static_cast<char>(0xE0 | code >> 12);
    *text += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    *text += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    *text += static_cast<char>(0xF0 | code >> 18);
    *text += static_cast<char>(0x80 | (code >> 12 & 0x3F));
    *text += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    *text += static_cast<char>(0x80 | (code & 0x3F));
  }
}

// Length of the well-formed UTF-8 sequence at `at`, or 0.
size_t SequenceLength(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0; };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xC2 && first < 0xE0 ? 2 : first >= 0xE0 && first < 0xF0 ? 3 : first >= 0xF0 && first < 0xF5 ? 4 : 0;
  for (size_t i = 1; i < length; i++) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  const unsigned second = byte(1);
  const bool overlong = (first == 0xE0 && second < 0xA0) || (first == 0xF0 && second < 0x90);
  const bool out_of_range = (first == 0xED && second > 0x9F) || (first == 0xF4 && second > 0x8F);
  return overlong || out_of_range ? 0 : length;
}

bool IsUtf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const size_t length = SequenceLength(text, at);
    if (length == 0) return false;
    at += length;
  }
  return true;
}

std::string OneOf(const std::vector<const char*>& names) {
  const auto quoted = [](const char* name) { return "`" + std::string(name) + "`"; };
  if (names.size() == 1) return "expected " + quoted(names[0]);
  if (names.size() == 2) return "expected " + quoted(names[0]) + " or " + quoted(names[1]);
  std::string text = "expected one of ";
  for (size_t i = 0; i < names.size(); i++) text += (i > 0 ? ", " : "") + quoted(names[i]);
  return text;
}

}  // namespace

int Reader::Peek() {
  while (index_ < text_.size() && std::string_view(" \t\n\r").find(text_[index_]) != std::string_view::npos) index_++;
  return index_ < text_.size() ? static_cast<unsigned char>(text_[index_]) : -1;
}

void Reader::At(std::string message, size_t index) {
  const std::string_view before = text_.substr(0, index);
  const size_t line = 1 + static_cast<size_t>(std::count(before.begin(), before.end(), '\n'));
  const size_t newline = before.rfind('\n');
  const size_t column = newline == std::string_view::npos ? index : index - newline - 1;
  error_ = std::move(message) + " at line " + std::to_string(line) + " column " + std::to_string(column);
}

bool Reader::FailHere(std::string message) {
  if (failed_) return false;
  failed_ = true;
  At(std::move(message), index_);
  return false;
}

bool Reader::FailAtPeek(std::string message) {
  if (failed_) return false;
  failed_ = true;
  At(std::move(message), std::min(text_.size(), index_ + 1));
  return false;
}

bool Reader::Refuse(std::string message) {
  if (failed_) return false;
  failed_ = pending_ = true;
  error_ = std::move(message);
  return false;
}

bool Reader::RefuseHere(std::string message) { return FailHere(std::move(message)); }

bool Reader::Settle() {
  if (pending_) At(std::move(error_), index_);
  pending_ = false;
  return !failed_;
}

bool Reader::Ident(std::string_view rest) {
  index_++;
  for (const char expected : rest) {
    if (index_ >= text_.size()) return FailHere("EOF while parsing a value");
    if (text_[index_++] != expected) return FailHere("expected ident");
  }
  return true;
}

bool Reader::Hex(unsigned* unit) {
  if (text_.size() - index_ < 4) {
    index_ = text_.size();
    return FailHere("EOF while parsing a string");
  }
  const std::string_view digits = text_.substr(index_, 4);
  index_ += 4;
  const std::from_chars_result result = std::from_chars(digits.data(), digits.data() + 4, *unit, 16);
  return (result.ec == std::errc() && result.ptr == digits.data() + 4) || FailHere("invalid escape");
}

bool Reader::Escape(std::string* value) {
  if (index_ >= text_.size()) return FailHere("EOF while parsing a string");
  const char kind = text_[index_++];
  constexpr std::string_view kKinds = "\"\\/bfnrt";
  constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
  if (const size_t at = kKinds.find(kind); at != std::string_view::npos) {
    *value += kMeanings[at];
    return true;
  }
  if (kind != 'u') return FailHere("invalid escape");
  unsigned unit = 0;
  if (!Hex(&unit)) return false;
  if (unit >= 0xDC00 && unit < 0xE000) return FailHere("lone leading surrogate in hex escape");
  if (unit >= 0xD800 && unit < 0xDC00) {
    for (const char expected : {'\\', 'u'}) {
      if (index_ >= text_.size()) return FailHere("EOF while parsing a string");
      if (text_[index_++] != expected) return FailHere("unexpected end of hex escape");
    }
    unsigned low = 0;
    if (!Hex(&low)) return false;
    if (low < 0xDC00 || low >= 0xE000) return FailHere("lone leading surrogate in hex escape");
    unit = 0x10000 + ((unit - 0xD800) << 10 | (low - 0xDC00));
  }
  AppendUtf8(unit, value);
  return true;
}

bool Reader::String(std::string* value) {
  index_++;
  for (;;) {
    if (index_ >= text_.size()) return FailHere("EOF while parsing a string");
    const char byte = text_[index_++];
    if (byte == '"') return IsUtf8(*value) || FailHere("invalid unicode code point");
    if (static_cast<unsigned char>(byte) < 0x20)
      return FailHere("control character (\\u0000-\\u001F) found while parsing a string");
    if (byte != '\\') {
      *value += byte;
    } else if (!Escape(value)) {
      return false;
    }
  }
}

bool Reader::Number(Value* value) {
  const auto at = [&] { return index_ < text_.size() ? static_cast<unsigned char>(text_[index_]) : -1; };
  const size_t start = index_;
  const bool negative = at() == '-';
  if (negative) index_++;
  const size_t digits = index_;
  if (at() < 0) return FailHere("EOF while parsing a value");
  if (!IsDigit(text_[index_++])) return FailHere("invalid number");
  if (text_[digits] == '0' && IsDigit(at())) return FailAtPeek("invalid number");
  while (IsDigit(at())) index_++;
  const std::string_view whole = text_.substr(digits, index_ - digits);
  bool is_float = false;
  if (at() == '.') {
    is_float = true;
    index_++;
    if (at() < 0) return FailAtPeek("EOF while parsing a value");
    if (!IsDigit(at())) return FailAtPeek("invalid number");
    while (IsDigit(at())) index_++;
  }
  if (at() == 'e' || at() == 'E') {
    is_float = true;
    index_++;
    if (at() == '+' || at() == '-') index_++;
    if (at() < 0) return FailHere("EOF while parsing a value");
    if (!IsDigit(text_[index_++])) return FailHere("invalid number");
    while (IsDigit(at())) index_++;
  }
  const std::from_chars_result result = std::from_chars(whole.data(), whole.data() + whole.size(), value->number);
  const bool fits = result.ec == std::errc() && (!negative || value->number <= uint64_t{1} << 63);
  if (!is_float && fits) {
    value->kind = negative ? Value::Kind::kNegative : Value::Kind::kUnsigned;
    return true;
  }
  value->kind = Value::Kind::kFloat;
  const std::from_chars_result real = std::from_chars(text_.data() + start, text_.data() + index_, value->real);
  return real.ec == std::errc() || FailHere("number out of range");
}

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
    return wrong((number.kind == Value::Kind::kFloat ? "floating point `" : "integer `") + number.Write() + "`");
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
  if (next < 0) return FailAtPeek(bracket == '}' ? "EOF while parsing an object" : "EOF while parsing a list");
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
    const auto field = std::find_if(shape.fields.begin(), shape.fields.end(), [&](const Field& each) { return key == each.name; });
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
    if (!seen[i] && shape.fields[i].required && !failed_) Refuse(std::string("missing field `") + shape.fields[i].name + "`");
  }
  if (failed_) {
    CloseQuietly('}');
    return Settle();
  }
  return Close('}');
}

// serde reads a struct from a list too: the fields in their order, those at the end with a default may be left out.
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
        return Refuse("invalid length " + std::to_string(count) + ", expected struct " + shape.name + " with " +
                      std::to_string(shape.fields.size()) + (shape.fields.size() == 1 ? " element" : " elements"));
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
  if (next != '[' && next != '{') return next < 0 ? FailAtPeek("EOF while parsing a value") : FailAtPeek("expected value");
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
