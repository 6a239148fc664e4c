// The low-level functions are deprecated in OpenSSL 3, and the only ones that need no provider, no
// configuration and no lock.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "core/image/sha256_stream.h"

#include <openssl/sha.h>

namespace microvm::core::image {

struct Sha256Stream::Context {
  SHA256_CTX value;
};

Sha256Stream::Sha256Stream() : context_(std::make_unique<Context>()) { SHA256_Init(&context_->value); }
Sha256Stream::~Sha256Stream() = default;

void Sha256Stream::Add(const char* bytes, size_t count) { SHA256_Update(&context_->value, bytes, count); }

std::string Sha256Stream::Finish() {
  constexpr char kDigits[] = "0123456789abcdef";
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256_Final(digest, &context_->value);
  std::string text;
  for (const unsigned char byte : digest) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

}  // namespace microvm::core::image
