#pragma once

#include <cstddef>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "unique_fd.h"
#include "wire.h"

namespace microvm::agent {

// A secret that the host gives; views of the message that brought it.
struct GivenSecret {
  std::string_view name;
  std::string_view owner;  // see FindAccount; empty: whoever the agent is
  std::string_view value;
};

// What the host says of all secrets: those that stay, and those that come. All others go.
struct SecretsRequest {
  std::vector<std::string_view> keep;
  std::vector<GivenSecret> give;
};

// The body of SECRETS. False: it breaks the protocol. The views live as long as the body.
bool DecodeSecrets(PayloadReader* in, SecretsRequest* request);

// Whether a name is a plain file name of at most 64 bytes.
bool IsSecretName(std::string_view name);

struct SecretFailure {
  int error;         // 0: there is none
  const char* step;  // `keep`, `owner`, `folder` or `write`
};

// The guest's secrets: files of a file system of their own that is in memory. The agent itself keeps names
// alone.
class SecretStore {
 public:
  // Where the file system is mounted once there is a secret. Without a folder none is taken.
  void UseFolder(std::string folder) { folder_ = std::move(folder); }

  SecretFailure Apply(const SecretsRequest& request);
  // Appends the value to `*value`. 0, ENOENT, EINVAL for one with a NUL, or what the system says.
  int Read(const std::string& name, std::string* value) const;

 private:
  int Open();
  int Write(const GivenSecret& secret, unsigned uid, unsigned gid);
  int Remove(const std::string& name);

  std::string folder_;
  UniqueFd folder_fd_;
  std::set<std::string> names_;
};

}  // namespace microvm::agent
