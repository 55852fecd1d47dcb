#include "worker/describe.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "pipeline/error.hpp"
#include "plugins/loader.hpp"
#include "plugins/schema_section.hpp"

namespace cifarpipe {
namespace {

void write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw system_error("cannot write the description", errno);
    text.remove_prefix(static_cast<std::size_t>(n));
  }
}

}  // namespace

int describe_plugin(const std::filesystem::path& path) {
  // The answer keeps stdout to itself: a plugin that prints while it loads must not end up in it.
  const int out = ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
  if (out < 0 || ::dup2(STDERR_FILENO, STDOUT_FILENO) < 0) return 3;
  try {
    // Not a local: the process ends without running destructors over a plugin's objects.
    auto* loader = new PluginLoader;
    const LoadedPlugin& plugin = loader->load(path);
    PluginDescription description{plugin.name, plugin.version, plugin.build_id, {}};
    for (const auto& entry : plugin.stages) description.stages.push_back(entry.description);
    write_all(out, schema_section_text(description));
    std::fflush(nullptr);
    return 0;
  } catch (const Error& e) {
    fmt::print(stderr, "error: {}\n", e.what());
    return e.exit_code();
  }
}

}  // namespace cifarpipe
