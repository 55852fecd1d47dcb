// Circumstances of a run that change no result but tell, later, where it was: who, which system, in
// a container or not, which GPUs with which driver. What is not known is left out. Main thread.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pipeline/nvml.hpp"

namespace cifarpipe {

/// PRETTY_NAME of /etc/os-release, or else NAME; "" if it has neither.
std::string parse_os_release(std::string_view text);

/// What the files of a container tell about its kind: "docker", "podman", "kubernetes", "lxc", …;
/// "" for none. `exists` and `lookup` (as getenv) ask the system; `cgroup` is /proc/1/cgroup.
std::string container_hint(const std::function<bool(const char*)>& exists,
                           const std::function<const char*(const char*)>& lookup,
                           std::string_view cgroup);

/// user, os, container, folder (the current one), gpu.names, gpu.driver, env.CUDA_VISIBLE_DEVICES.
/// `gpus`: null for none.
std::vector<std::pair<std::string, std::string>> environment_facts(const Nvml* gpus);

}  // namespace cifarpipe
