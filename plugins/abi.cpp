#include "plugins/abi.hpp"

#include <fmt/format.h>

#include <charconv>

// Defines CIFARPIPE_STAMP with the libtorch of the worker in it: CMake gives this one file the
// definitions that otherwise come with linking cifarpipe::torch.
#include "plugins/stamp.hpp"

namespace cifarpipe {

std::optional<Stamp> parse_stamp(std::string_view text) {
  Stamp stamp;
  text = text.substr(0, text.find('\0'));
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    const std::size_t equals = line.find('=');
    if (equals == std::string_view::npos) continue;
    const std::string_view field = line.substr(0, equals);
    const std::string_view value = line.substr(equals + 1);
    if (field == "api") {
      const auto end = value.data() + value.size();
      if (std::from_chars(value.data(), end, stamp.api).ptr != end) return std::nullopt;
    }
    if (field == "headers") stamp.headers = value;
    if (field == "compiler") stamp.compiler = value;
    if (field == "library") stamp.library = value;
    if (field == "sanitizers") stamp.sanitizers = value;
    if (field == "torch") stamp.torch = value;
    if (field == "torch_git") stamp.torch_git = value;
    if (field == "torch_cuda") stamp.torch_cuda = value;
  }
  if (stamp.api <= 0) return std::nullopt;
  return stamp;
}

const Stamp& host_stamp() {
  static const Stamp stamp = parse_stamp(CIFARPIPE_STAMP).value();
  return stamp;
}

std::vector<std::string> stamp_differences(const Stamp& plugin, const Stamp& host) {
  // Another API: the other fields may mean something else, so nothing is said about them.
  if (plugin.api != host.api) {
    return {
        fmt::format("it was built for SDK API {} and this program has {}", plugin.api, host.api)};
  }
  std::vector<std::string> out;
  if (plugin.headers != host.headers) {
    out.push_back(fmt::format("it was built with other SDK headers ({}) than this program ({})",
                              plugin.headers, host.headers));
  }
  if (plugin.compiler != host.compiler) {
    out.push_back(
        fmt::format("it was built by {} and this program by {}", plugin.compiler, host.compiler));
  }
  if (plugin.library != host.library) {
    out.push_back(fmt::format("it uses {} and this program {}", plugin.library, host.library));
  }
  if (plugin.sanitizers != host.sanitizers) {
    out.push_back(fmt::format("its sanitizers are '{}' and this program's '{}'", plugin.sanitizers,
                              host.sanitizers));
  }
  if (plugin.torch.empty()) return out;
  if (plugin.torch != host.torch) {
    out.push_back(fmt::format("it was built with libtorch {} and the worker has {}", plugin.torch,
                              host.torch.empty() ? "none" : host.torch));
  } else if (plugin.torch_git != host.torch_git || plugin.torch_cuda != host.torch_cuda) {
    const auto shown = [](const Stamp& stamp) {
      return fmt::format("commit {}{}{}", stamp.torch_git.substr(0, 12),
                         stamp.torch_cuda.empty() ? "" : ", CUDA ", stamp.torch_cuda);
    };
    out.push_back(
        fmt::format("it was built with another build of libtorch {} ({}) than the "
                    "worker's ({})",
                    plugin.torch, shown(plugin), shown(host)));
  }
  return out;
}

std::string stamp_problem(const std::string& path, const std::vector<std::string>& differences) {
  return fmt::format(
      "{} does not fit this cifarpipe: {}. Rebuild it with cifarpipe_add_stage "
      "against this installation",
      path, fmt::join(differences, "; "));
}

}  // namespace cifarpipe
