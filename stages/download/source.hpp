// What the parameter `source` can name. Pure functions: any thread.
#pragma once

#include <filesystem>
#include <string>

namespace cifarpipe::download {

struct Source {
  enum class Kind { cifar10, synthetic, http, local };
  Kind kind = Kind::local;
  std::string url;             ///< http and cifar10.
  std::filesystem::path path;  ///< local: an archive or a folder.
};

/// Throws an Error for a scheme that nothing here can read and for a file:// URL of another host.
Source parse_source(const std::string& text);

}  // namespace cifarpipe::download
