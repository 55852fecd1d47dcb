// A zip archive of stored entries, each content at a multiple of 64 bytes so that it can be mapped
// into memory. All dates are the earliest that zip knows: bytes depend on the contents alone.
// Up to 4 GiB. One thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "stages/learn/files.hpp"

namespace cifarpipe {

class ZipWriter {
 public:
  explicit ZipWriter(const std::filesystem::path& file) : out_(file) {}

  void add(const std::string& path, std::span<const std::uint8_t> content);
  void add(const std::string& path, std::string_view content);
  /// Writes the directory. Without it there is no archive.
  void finish();

 private:
  struct Entry {
    std::string path;
    std::uint32_t crc = 0;
    std::uint32_t size = 0;
    std::uint32_t offset = 0;
  };
  void write(std::string_view bytes);

  learn::FileWriter out_;
  std::uint64_t at_ = 0;
  std::vector<Entry> entries_;
};

}  // namespace cifarpipe
