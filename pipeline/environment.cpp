#include "pipeline/environment.hpp"

#include <fmt/format.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace cifarpipe {
namespace {

std::string text_of(const char* file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// The value of KEY= in lines of a shell's form, quotes taken off.
std::string shell_value(std::string_view text, std::string_view key) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!line.starts_with(key) || line.substr(key.size(), 1) != "=") continue;
    line.remove_prefix(key.size() + 1);
    const bool quoted = line.size() >= 2 && (line.front() == '"' || line.front() == '\'') &&
                        line.back() == line.front();
    return std::string(quoted ? line.substr(1, line.size() - 2) : line);
  }
  return "";
}

std::string user_name() {
  const passwd* entry = getpwuid(geteuid());
  if (entry != nullptr && entry->pw_name != nullptr) return entry->pw_name;
  const char* user = std::getenv("USER");
  return user != nullptr && *user != '\0' ? user : std::to_string(geteuid());
}

}  // namespace

std::string parse_os_release(std::string_view text) {
  const std::string pretty = shell_value(text, "PRETTY_NAME");
  return pretty.empty() ? shell_value(text, "NAME") : pretty;
}

std::string container_hint(const std::function<bool(const char*)>& exists,
                           const std::function<const char*(const char*)>& lookup,
                           std::string_view cgroup) {
  if (lookup("KUBERNETES_SERVICE_HOST") != nullptr) return "kubernetes";
  if (lookup("APPTAINER_NAME") != nullptr || lookup("SINGULARITY_NAME") != nullptr) {
    return "apptainer";
  }
  if (exists("/run/.containerenv")) return "podman";
  if (exists("/.dockerenv")) return "docker";
  if (const char* kind = lookup("container"); kind != nullptr && *kind != '\0') return kind;
  for (const std::string_view kind : {"kubepods", "docker", "libpod", "lxc", "containerd"}) {
    if (cgroup.find(kind) == std::string_view::npos) continue;
    return kind == "kubepods" ? "kubernetes" : kind == "libpod" ? "podman" : std::string(kind);
  }
  return "";
}

std::vector<std::pair<std::string, std::string>> environment_facts(const Nvml* gpus) {
  std::vector<std::pair<std::string, std::string>> facts;
  const auto add = [&](const char* name, std::string value) {
    if (!value.empty()) facts.emplace_back(name, std::move(value));
  };
  add("user", user_name());
  add("os", parse_os_release(text_of("/etc/os-release")));
  add("container", container_hint([](const char* file) { return access(file, F_OK) == 0; },
                                  [](const char* name) -> const char* { return std::getenv(name); },
                                  text_of("/proc/1/cgroup")));
  std::error_code error;
  add("folder", std::filesystem::current_path(error).string());
  if (gpus != nullptr) {
    add("gpu.names", fmt::format("{}", fmt::join(gpus->names(), ", ")));
    add("gpu.driver", gpus->driver());
  }
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  add("env.CUDA_VISIBLE_DEVICES", visible != nullptr ? visible : "");
  return facts;
}

}  // namespace cifarpipe
