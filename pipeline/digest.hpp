// SHA-256, MD5 and CRC32C, and digests of files and folders. Stateless: any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cifarpipe {

/// Incremental SHA-256.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  void update(std::span<const std::byte> bytes);
  void update(std::string_view text);
  /// At most once; nothing may be added afterwards.
  std::array<std::uint8_t, 32> finish();

 private:
  void* context_;
};

std::string hex(std::span<const std::uint8_t> bytes);
/// Hex digest of a text.
std::string sha256(std::string_view text);
/// Hex digest of a file's content. Throws Error.
std::string sha256_file(const std::filesystem::path& file);
/// For comparing with digests that others published; nothing here relies on it. Throws Error.
std::string md5_file(const std::filesystem::path& file);
/// CRC32C (Castagnoli). `seed` is the value of what came before, so that parts can be chained.
std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t seed = 0);

/// One file of an output, with its path relative to the output's directory, '/'-separated.
struct FileDigest {
  std::string path;
  std::uint64_t size = 0;
  std::string sha256;
  friend bool operator==(const FileDigest&, const FileDigest&) = default;
};

/// The regular files below `dir` with their sizes, sorted by path; their digests are left empty.
/// Anything that is neither a regular file nor a folder (a link, a device), and a name that is not
/// UTF-8, is an Error that names it.
std::vector<FileDigest> list_tree(const std::filesystem::path& dir);
/// The same with digests.
std::vector<FileDigest> digest_tree(const std::filesystem::path& dir);
/// The content digest of a set of files: SHA-256 over the (path, SHA-256) pairs, sorted by path.
std::string combined_digest(const std::vector<FileDigest>& files);

}  // namespace cifarpipe
