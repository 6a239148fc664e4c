#include "terminal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>

#include <cerrno>

namespace microvm::agent {

int OpenTerminal(const Terminal& terminal, UniqueFd* master, UniqueFd* slave) {
  *master = UniqueFd(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  int locked = 0;
  if (!*master || ioctl(master->Get(), TIOCSPTLCK, &locked) != 0) return errno;
  // Not by the name of the slave, which another mount namespace or devpts may have given to somebody else.
  *slave = UniqueFd(ioctl(master->Get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!*slave) return errno;
  winsize size{};
  size.ws_col = terminal.columns;
  size.ws_row = terminal.rows;
  termios mode{};
  if (ioctl(slave->Get(), TIOCSWINSZ, &size) != 0 || tcgetattr(slave->Get(), &mode) != 0) return errno;
  // Erasing a character erases all of its bytes.
  mode.c_iflag |= IUTF8;
  return tcsetattr(slave->Get(), TCSANOW, &mode) == 0 ? 0 : errno;
}

}  // namespace microvm::agent
