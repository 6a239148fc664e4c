#include <algorithm>
#include <charconv>

#include "json/serde.h"
#include "json/utf8.h"

namespace microvm::fake {

int Reader::Peek() {
  while (index_ < text_.size() && std::string_view(" \t\n\r").find(text_[index_]) != std::string_view::npos)
    index_++;
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
  const std::from_chars_result result =
      std::from_chars(whole.data(), whole.data() + whole.size(), value->number);
  const bool fits = result.ec == std::errc() && (!negative || value->number <= uint64_t{1} << 63);
  if (!is_float && fits) {
    value->kind = negative ? Value::Kind::kNegative : Value::Kind::kUnsigned;
    return true;
  }
  value->kind = Value::Kind::kFloat;
  const std::from_chars_result real =
      std::from_chars(text_.data() + start, text_.data() + index_, value->real);
  return real.ec == std::errc() || FailHere("number out of range");
}

}  // namespace microvm::fake
