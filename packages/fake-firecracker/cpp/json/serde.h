#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "json/value.h"

namespace microvm::fake {

// Reads typed JSON and fails with the words and positions of Rust's serde_json, which Firecracker answers
// with: it reads as a stream, so what is wrong first in the text is reported, and a missing field only at the
// end of its object.
class Reader {
 public:
  struct Field {
    const char* name;
    bool required;
    std::function<bool(Reader*)> read;
  };
  struct Struct {
    const char* name;
    std::vector<Field> fields;
    bool refuses_unknown = true;
  };

  explicit Reader(std::string_view text) : text_(text) {}

  // Each answers false once something was wrong; `error()` then says what and where.
  bool Bool(bool* value);
  bool Text(std::string* value, const char* expected = "a string");
  bool Path(std::string* value) { return Text(value, "path string"); }
  bool Unsigned(uint64_t max, const char* type, uint64_t* value);
  // One of `names`; `index` is its place.
  bool Enum(const std::vector<const char*>& names, size_t* index);
  bool Object(const Struct& shape);
  bool List(const std::function<bool(Reader*)>& element);
  bool Any(Value* value);
  // True: it was null and is consumed.
  bool Null(bool* is_null);
  // Nothing but white space may follow.
  bool End();

  // A value that was read but is not acceptable; reported at the end of what encloses it, as serde does.
  bool Refuse(std::string message);
  // The same, reported where the value ends.
  bool RefuseHere(std::string message);

  const std::string& error() const { return error_; }

 private:
  static bool IsDigit(int byte) { return byte >= '0' && byte <= '9'; }
  // The next byte that is no white space, not consumed; -1 at the end.
  int Peek();
  bool FailHere(std::string message);
  bool FailAtPeek(std::string message);
  bool Settle();
  void At(std::string message, size_t index);
  bool Ident(std::string_view rest);
  bool String(std::string* value);
  bool Escape(std::string* value);
  bool Hex(unsigned* unit);
  bool Number(Value* value);
  bool WrongType(const char* expected);
  bool Keys(const std::function<bool(const std::string&)>& on_key);
  bool ListAsStruct(const Struct& shape);
  void CloseQuietly(char bracket);
  bool Close(char bracket);
  bool Elements(const std::function<bool()>& element);

  std::string_view text_;
  size_t index_ = 0;
  int depth_ = 0;
  bool failed_ = false;
  bool pending_ = false;  // the message has no position yet
  std::string error_;
};

}  // namespace microvm::fake
