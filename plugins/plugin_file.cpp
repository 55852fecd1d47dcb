#include "plugins/plugin_file.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pipeline/error.hpp"
#include "plugins/elf_file.hpp"
#include "plugins/schema_section.hpp"

namespace cifarpipe {

PluginFile read_plugin_file(const std::filesystem::path& path) {
  const ElfFile elf(std::filesystem::absolute(path).lexically_normal());
  PluginFile file;
  file.path = elf.path();
  file.owner = elf.owner();
  file.mode = elf.mode();
  const auto note = elf.note(".note.cifarpipe", "cifarpipe", 1);
  const auto stamp = note ? parse_stamp(*note) : std::nullopt;
  if (!stamp) {
    throw Error(file.path.string() +
                    " is no cifarpipe plugin: it has no stamp "
                    "(the line CIFARPIPE_PLUGIN(…) of plugins/plugin.hpp puts it there)",
                ErrorKind::environment);
  }
  file.stamp = *stamp;
  file.build_id = elf.build_id();
  if (file.build_id.empty()) {
    throw Error(file.path.string() + " has no build-id; rebuild it with cifarpipe_add_stage",
                ErrorKind::environment);
  }
  if (const auto* section = elf.find(kSchemaSection)) {
    file.schema = elf.read(*section, kMaxSchemaSection);
  }
  return file;
}

std::optional<std::string> permission_problem(const PluginFile& file) {
  const auto program_owner = []() -> unsigned {
    struct stat status {};
    return ::stat("/proc/self/exe", &status) == 0 ? status.st_uid : 0;
  };
  if (file.owner != 0 && file.owner != ::geteuid() && file.owner != program_owner()) {
    return fmt::format(
        "{} belongs to another user (uid {}); a plugin must belong to root, to you "
        "or to the owner of cifarpipe",
        file.path.string(), file.owner);
  }
  if ((file.mode & (S_IWGRP | S_IWOTH)) != 0) {
    return fmt::format(
        "{} can be written by others (mode {:04o}); chmod go-w it if you trust what "
        "is in it",
        file.path.string(), file.mode);
  }
  return std::nullopt;
}

}  // namespace cifarpipe
