// The stages of all plugin files on the search path, known without loading any plugin: from each
// file's ELF note and its section `.cifarpipe.schema`. A file that cannot be used is a problem
// that is told only to those who need it. Read-only after construction: any thread.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/catalog.hpp"

namespace cifarpipe {

/// Folders in the order in which they are searched: `--plugin-path`, `[plugins] paths`,
/// CIFARPIPE_PLUGIN_PATH (colons between), then `../lib/cifarpipe/plugins` from the program's
/// folder. Never the current directory: relative or empty parts of the variable are dropped.
std::vector<std::filesystem::path> plugin_search_path(
    const std::vector<std::filesystem::path>& from_command_line,
    const std::vector<std::filesystem::path>& from_file, const char* environment,
    const std::filesystem::path& executable);

class PluginCatalog : public StageCatalog {
 public:
  /// Reads every `*.stage.so` of `folders`. Nothing is loaded and nothing is thrown: what is wrong
  /// becomes a Problem. A missing folder is one only if it is not the last (the program's own).
  explicit PluginCatalog(const std::vector<std::filesystem::path>& folders);
  ~PluginCatalog() override;

  const StageType* find(std::string_view uses) const override;
  std::vector<std::string> names() const override;
  std::optional<std::string> problem_for(std::string_view uses) const override;

  const std::vector<Problem>& problems() const override { return problems_; }

 private:
  void read_folder(const std::filesystem::path& folder);
  void read_file(const std::filesystem::path& path);
  void add(StageType type);

  std::map<std::string, std::unique_ptr<StageType>, std::less<>> types_;
  std::map<std::string, std::string, std::less<>> duplicates_;  // stage → sentence
  std::vector<Problem> problems_;
};

}  // namespace cifarpipe
