// The process that loads plugins and runs jobs. It links libtorch itself, so that load order never
// decides which BLAS computes.
#include <fmt/format.h>
#include <unistd.h>

#include <string_view>

#include "worker/describe.hpp"
#include "worker/serve.hpp"

int main(int argc, char** argv) {
  if (argc == 3 && std::string_view(argv[1]) == "--describe") {
    // No destructors and no exit handlers of a plugin: the answer is out.
    ::_exit(cifarpipe::describe_plugin(argv[2]));
  }
  if (argc == 4) return cifarpipe::serve(argv);
  fmt::print(stderr, "usage: cifarpipe-worker --describe PLUGIN\n");
  return 2;
}
