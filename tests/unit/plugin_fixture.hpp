// What the tests of plugins share: a folder that goes away, and copies of plugin files to damage.
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace cifarpipe::testing {

class PluginFolder {
 public:
  PluginFolder() {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "cifarpipe-plugins-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~PluginFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  PluginFolder(const PluginFolder&) = delete;
  PluginFolder& operator=(const PluginFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

  /// A file with this content; readable by all, writable by its owner.
  std::filesystem::path write(const std::string& name, const std::string& bytes) const {
    std::ofstream(path_ / name, std::ios::binary) << bytes;
    using std::filesystem::perms;
    std::filesystem::permissions(path_ / name, perms(0644));
    return path_ / name;
  }

 private:
  std::filesystem::path path_;
};

inline std::string bytes_of(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// A plugin of the tests, such as "emit" or "refused/wrong_stamp".
inline std::filesystem::path test_plugin(const std::string& name) {
  return std::filesystem::path(CIFARPIPE_TEST_PLUGINS) / (name + ".stage.so");
}

/// What `act` throws, as text; empty if it returns.
template <class F>
std::string message_of(F act) {
  try {
    act();
  } catch (const std::exception& e) {
    return e.what();
  }
  return {};
}

}  // namespace cifarpipe::testing
