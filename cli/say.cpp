#include "cli/say.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>

namespace cifarpipe::cli {

void say_text(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stderr) != text.size()) std::clearerr(stderr);
}

void fill_standard_streams() {
  // For reading only, also stdout: who closed it and asks for output learns that it got nowhere.
  // stderr is for writing: what is said there may be lost.
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(fd, F_GETFD) == -1) {
      static_cast<void>(open("/dev/null", fd == STDERR_FILENO ? O_WRONLY : O_RDONLY));
    }
  }
}

}  // namespace cifarpipe::cli
