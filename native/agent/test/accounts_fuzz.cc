#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "accounts.h"

// Who is asked for, passwd and group, one behind the other, with a NUL between them.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // SAFETY: bytes as characters.
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  std::string_view texts[3];
  for (std::string_view& text : texts) {
    const size_t end = rest.find('\0');
    text = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  }
  microvm::agent::Account account;
  const int error = microvm::agent::FindAccount(texts[0], texts[1], texts[2], &account);
  if (error != 0 && error != ENOENT && error != EINVAL) abort();
  // -1 would leave the command the agent's own ids.
  if (error == 0 && (account.uid == UINT32_MAX || account.gid == UINT32_MAX || account.home.empty())) abort();
  return 0;
}
