#include "binding/network_fields.h"

namespace microvm::binding {
namespace {

constexpr size_t kMaxLinkName = 15;  // IFNAMSIZ less its NUL

// What the kernel takes as it is: it would fill in a % and reads a : as an alias.
bool IsLinkName(const std::string& name) {
  if (name.empty() || name.size() > kMaxLinkName || name == "." || name == "..") return false;
  for (const char letter : name) {
    if (letter <= ' ' || letter > '~' || letter == '/' || letter == ':' || letter == '%') return false;
  }
  return true;
}

}  // namespace

std::string LinkName(const Fields& fields, const char* field) {
  std::string name = fields.Text(field);
  Reader* const reader = fields.GetReader();
  if (!reader->Failed() && !IsLinkName(name)) {
    reader->Fail(fields.Name(field), "an interface name: 1 to 15 visible ASCII characters without / : %");
  }
  return name;
}

core::IpPrefix Prefix(const Fields& fields, const char* field) {
  const auto prefix = core::ParseIpPrefix(fields.Text(field));
  if (!prefix) {
    fields.GetReader()->Fail(fields.Name(field),
                             "an address with the length of its prefix, such as 10.0.0.1/30");
  }
  return prefix.value_or(core::IpPrefix());
}

std::optional<core::IpAddress> OptionalAddress(const Fields& fields, const char* field) {
  const auto text = fields.OptionalText(field);
  if (!text) return {};
  const auto address = core::ParseIpAddress(*text);
  if (!address) fields.GetReader()->Fail(fields.Name(field), "an IPv4 or IPv6 address");
  return address;
}

}  // namespace microvm::binding
