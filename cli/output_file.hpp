// A file that a command writes where somebody asked for it: there whole or not at all. Main thread.
#pragma once

#include <filesystem>
#include <fstream>
#include <string_view>

namespace cifarpipe::cli {

class OutputFile {
 public:
  /// Begins to write beside `file`. Throws Error (usage) if its folder is not there.
  explicit OutputFile(const std::filesystem::path& file);
  /// Leaves nothing behind unless committed.
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;

  std::ostream& stream() { return out_; }
  /// Puts it in place of what was there. Throws Error (environment) if it could not all be written.
  void commit();

 private:
  std::filesystem::path file_;
  std::filesystem::path part_;
  std::ofstream out_;
  bool done_ = false;
};

}  // namespace cifarpipe::cli
