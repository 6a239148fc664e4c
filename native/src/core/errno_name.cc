#include "core/errno_name.h"

#include <cctype>
#include <cerrno>
#include <cstring>

namespace microvm::core {
namespace {

// strerror_r has two forms: GNU's returns the text, POSIX's a number and fills the buffer.
[[maybe_unused]] const char* Pick(const char* text, const char*) { return text; }
[[maybe_unused]] const char* Pick(int, const char* buffer) { return buffer; }

}  // namespace

std::string ErrnoName(int number) {
#define NAME(name) \
  case name:       \
    return #name;
  switch (number) {
    NAME(E2BIG)
    NAME(EACCES)
    NAME(EADDRINUSE)
    NAME(EADDRNOTAVAIL)
    NAME(EADV)
    NAME(EAFNOSUPPORT)
    NAME(EAGAIN)
    NAME(EALREADY)
    NAME(EBADE)
    NAME(EBADF)
    NAME(EBADFD)
    NAME(EBADMSG)
    NAME(EBADR)
    NAME(EBADRQC)
    NAME(EBADSLT)
    NAME(EBFONT)
    NAME(EBUSY)
    NAME(ECANCELED)
    NAME(ECHILD)
    NAME(ECHRNG)
    NAME(ECOMM)
    NAME(ECONNABORTED)
    NAME(ECONNREFUSED)
    NAME(ECONNRESET)
    NAME(EDEADLK)
    NAME(EDESTADDRREQ)
    NAME(EDOM)
    NAME(EDOTDOT)
    NAME(EDQUOT)
    NAME(EEXIST)
    NAME(EFAULT)
    NAME(EFBIG)
    NAME(EHOSTDOWN)
    NAME(EHOSTUNREACH)
    NAME(EIDRM)
    NAME(EILSEQ)
    NAME(EINPROGRESS)
    NAME(EINTR)
    NAME(EINVAL)
    NAME(EIO)
    NAME(EISCONN)
    NAME(EISDIR)
    NAME(EISNAM)
    NAME(EKEYEXPIRED)
    NAME(EKEYREJECTED)
    NAME(EKEYREVOKED)
    NAME(EL2HLT)
    NAME(EL2NSYNC)
    NAME(EL3HLT)
    NAME(EL3RST)
    NAME(ELIBACC)
    NAME(ELIBBAD)
    NAME(ELIBEXEC)
    NAME(ELIBMAX)
    NAME(ELIBSCN)
    NAME(ELNRNG)
    NAME(ELOOP)
    NAME(EMEDIUMTYPE)
    NAME(EMFILE)
    NAME(EMLINK)
    NAME(EMSGSIZE)
    NAME(EMULTIHOP)
    NAME(ENAMETOOLONG)
    NAME(ENAVAIL)
    NAME(ENETDOWN)
    NAME(ENETRESET)
    NAME(ENETUNREACH)
    NAME(ENFILE)
    NAME(ENOANO)
    NAME(ENOBUFS)
    NAME(ENOCSI)
    NAME(ENODATA)
    NAME(ENODEV)
    NAME(ENOENT)
    NAME(ENOEXEC)
    NAME(ENOKEY)
    NAME(ENOLCK)
    NAME(ENOLINK)
    NAME(ENOMEDIUM)
    NAME(ENOMEM)
    NAME(ENOMSG)
    NAME(ENONET)
    NAME(ENOPKG)
    NAME(ENOPROTOOPT)
    NAME(ENOSPC)
    NAME(ENOSR)
    NAME(ENOSTR)
    NAME(ENOSYS)
    NAME(ENOTBLK)
    NAME(ENOTCONN)
    NAME(ENOTDIR)
    NAME(ENOTEMPTY)
    NAME(ENOTNAM)
    NAME(ENOTRECOVERABLE)
    NAME(ENOTSOCK)
    NAME(ENOTTY)
    NAME(ENOTUNIQ)
    NAME(ENXIO)
    NAME(EOVERFLOW)
    NAME(EOWNERDEAD)
    NAME(EPERM)
    NAME(EPFNOSUPPORT)
    NAME(EPIPE)
    NAME(EPROTO)
    NAME(EPROTONOSUPPORT)
    NAME(EPROTOTYPE)
    NAME(ERANGE)
    NAME(EREMCHG)
    NAME(EREMOTE)
    NAME(EREMOTEIO)
    NAME(ERESTART)
    NAME(ERFKILL)
    NAME(EROFS)
    NAME(ESHUTDOWN)
    NAME(ESOCKTNOSUPPORT)
    NAME(ESPIPE)
    NAME(ESRCH)
    NAME(ESRMNT)
    NAME(ESTALE)
    NAME(ESTRPIPE)
    NAME(ETIME)
    NAME(ETIMEDOUT)
    NAME(ETOOMANYREFS)
    NAME(ETXTBSY)
    NAME(EUCLEAN)
    NAME(EUNATCH)
    NAME(EUSERS)
    NAME(EXDEV)
    NAME(EXFULL)
    NAME(ENOTSUP)
    default:
      return "ERRNO_" + std::to_string(number);
  }
#undef NAME
}

std::string ErrnoText(int number) {
  char buffer[128] = "";
  std::string text = Pick(strerror_r(number, buffer, sizeof buffer), buffer);
  if (!text.empty()) text[0] = static_cast<char>(tolower(static_cast<unsigned char>(text[0])));
  return text;
}

}  // namespace microvm::core
