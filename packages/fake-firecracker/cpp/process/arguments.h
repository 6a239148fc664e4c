#pragma once

#include <map>
#include <string>
#include <vector>

namespace microvm::fake {

// A program's options as both binaries read them: `--name value` or `--flag`, each known and at most once
// unless it may be repeated; what follows `--` is the caller's.
class Arguments {
 public:
  struct Option {
    const char* name;
    bool takes_value = true;
    bool is_required = false;
    const char* default_value = nullptr;
    bool may_repeat = false;
    const char* needs = nullptr;  // another option
  };

  explicit Arguments(std::vector<Option> options) : options_(std::move(options)) {}

  // False: `message()` says what is wrong, `debug()` the same as Rust prints the error.
  bool Parse(int argc, char** argv);
  const std::string& message() const { return message_; }
  const std::string& debug() const { return debug_; }

  bool Has(const std::string& name) const { return values_.count(name) != 0; }
  // The value, the default, or nothing.
  std::string Get(const std::string& name) const;
  std::vector<std::string> All(const std::string& name) const;
  const std::vector<std::string>& rest() const { return rest_; }

 private:
  bool Fail(const std::string& message, const char* kind, const std::string& name);
  const Option* Find(const std::string& name) const;

  std::vector<Option> options_;
  std::map<std::string, std::vector<std::string>> values_;
  std::vector<std::string> rest_;
  std::string message_;
  std::string debug_;
};

// Empty, or what is wrong with the id of a VM; `debug` as Rust prints it.
std::string CheckVmId(const std::string& id, std::string* debug);

}  // namespace microvm::fake
