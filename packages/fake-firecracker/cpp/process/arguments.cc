#include "process/arguments.h"

#include <cctype>
#include <cstddef>

namespace microvm::fake {

bool Arguments::Fail(const std::string& message, const char* kind, const std::string& name) {
  message_ = message;
  debug_ = std::string(kind) + "(\"" + name + "\")";
  return false;
}

const Arguments::Option* Arguments::Find(const std::string& name) const {
  for (const Option& option : options_) {
    if (name == option.name) return &option;
  }
  return nullptr;
}

bool Arguments::Parse(int argc, char** argv) {
  std::vector<std::string> words(argv + 1, argv + argc);
  for (size_t i = 0; i < words.size(); i++) {
    if (words[i] != "--") continue;
    rest_.assign(words.begin() + static_cast<ptrdiff_t>(i) + 1, words.end());
    words.resize(i);
    break;
  }
  // These two are found anywhere, whatever else is wrong.
  for (const std::string& word : words) {
    if (word != "--help" && word != "--version") continue;
    values_[word.substr(2)] = {""};
    return true;
  }
  for (size_t i = 0; i < words.size(); i++) {
    const bool is_option = words[i].compare(0, 2, "--") == 0;
    const std::string name = is_option ? words[i].substr(2) : words[i];
    const Option* option = is_option ? Find(name) : nullptr;
    if (option == nullptr)
      return Fail("Found argument '" + name + "' which wasn't expected, or isn't valid in this context.",
                  "UnexpectedArgument", name);
    if (Has(name) && !option->may_repeat)
      return Fail("The argument '" + name + "' was provided more than once.", "DuplicateArgument", name);
    if (!option->takes_value) {
      values_[name] = {""};
      continue;
    }
    if (i + 1 >= words.size() || words[i + 1].compare(0, 2, "--") == 0)
      return Fail("The argument '" + name + "' requires a value, but none was supplied.", "MissingValue",
                  name);
    values_[name].push_back(words[++i]);
  }
  for (const Option& option : options_) {
    if (option.is_required && !Has(option.name))
      return Fail(std::string("Argument '") + option.name + "' required, but not found.", "MissingArgument",
                  option.name);
    if (option.needs != nullptr && Has(option.name) && !Has(option.needs))
      return Fail(std::string("Argument '") + option.needs + "' required, but not found.", "MissingArgument",
                  option.needs);
  }
  return true;
}

std::string Arguments::Get(const std::string& name) const {
  const auto found = values_.find(name);
  if (found != values_.end()) return found->second.front();
  const Option* option = Find(name);
  return option != nullptr && option->default_value != nullptr ? option->default_value : "";
}

std::vector<std::string> Arguments::All(const std::string& name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? std::vector<std::string>() : found->second;
}

std::string CheckVmId(const std::string& id, std::string* debug) {
  if (id.empty() || id.size() > 64) {
    const std::string size = std::to_string(id.size());
    *debug = "InvalidLen(" + size + ", 1, 64)";
    return "Invalid len (" + size + ");  the length must be between 1 and 64";
  }
  for (size_t i = 0; i < id.size(); i++) {
    if (std::isalnum(static_cast<unsigned char>(id[i])) != 0 || id[i] == '-') continue;
    *debug = std::string("InvalidChar('") + id[i] + "', " + std::to_string(i) + ")";
    return std::string("Invalid char (") + id[i] + ") at position " + std::to_string(i);
  }
  return "";
}

}  // namespace microvm::fake
