#include "vmm/kernel_image.h"

#include <elf.h>
#include <unistd.h>

#include <cstring>

namespace microvm::fake {
namespace {

constexpr off_t kBzImageMark = 0x202;

}  // namespace

std::string CheckKernelImage(int fd) {
  constexpr const char* kNoElf = "Kernel Loader: failed to load ELF kernel image: Kernel Loader: ";
  char mark[4];
  if (pread(fd, mark, sizeof(mark), kBzImageMark) == sizeof(mark) && memcmp(mark, "HdrS", 4) == 0) return "";
  Elf64_Ehdr header{};
  if (pread(fd, &header, sizeof(header), 0) != sizeof(header))
    return std::string(kNoElf) + "Unable to read elf header";
  if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
    return "Kernel Loader: failed to load bzImage kernel image: Kernel Loader: Invalid bzImage";
  if (header.e_ident[EI_DATA] != ELFDATA2LSB)
    return std::string(kNoElf) + "Trying to load big-endian binary on little-endian machine";
  if (header.e_phentsize != sizeof(Elf64_Phdr)) return std::string(kNoElf) + "Invalid program header size";
  return "";
}

}  // namespace microvm::fake
