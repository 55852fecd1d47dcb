// Takes archives and folders apart into a folder, trusting nothing in them: no entry may land
// outside, be a link or a device, or go over the limits. Every refusal names the entry. One thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "pipeline/error.hpp"

namespace cifarpipe::download {

struct Limits {
  std::int64_t max_bytes = std::int64_t{4} << 30;  ///< All files together, unpacked.
  std::int64_t max_files = 100000;                 ///< Files and folders.
};

/// Called now and then with bytes done and bytes in all; may throw to stop.
using ByteProgress = std::function<void(std::int64_t done, std::int64_t total)>;

/// The path of an entry below the folder that it is unpacked into: "./a//b" becomes "a/b"; empty
/// for the folder itself. Throws an Error for a name that leads out of it or that no file can have.
std::string entry_path(std::string_view name);

/// The file is no archive, or damaged: another copy of it may be whole.
class BadArchive : public Error {
 public:
  using Error::Error;
};

/// Unpacks a tar (plain, gzip, bzip2, xz or zstd) or zip file into `dir`, which must exist and be
/// empty. `name` is what messages call the archive. Throws BadArchive, or an Error for what is
/// refused.
void extract_archive(const std::filesystem::path& archive, const std::string& name,
                     const std::filesystem::path& dir, const Limits& limits,
                     const ByteProgress& progress);

/// Copies the regular files below `from` into `dir`, which must exist and be empty.
void copy_folder(const std::filesystem::path& from, const std::filesystem::path& dir,
                 const Limits& limits, const ByteProgress& progress);

/// Throws an environment Error when the file system of `dir` has less than `bytes` (and a reserve)
/// left; `what` needs them.
void check_free_space(const std::filesystem::path& dir, std::int64_t bytes,
                      const std::string& what);

/// A name for messages: what could confuse a terminal is written as \xNN.
std::string printable(std::string_view name);

/// "170.5 MB"
std::string size_text(std::int64_t bytes);

}  // namespace cifarpipe::download
