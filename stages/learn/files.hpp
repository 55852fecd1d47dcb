// Reading and writing whole files for the formats of this folder: a read-only memory map and a
// buffered writer. Every failure is a cifarpipe::Error that names the file; a full disk is an
// environment error. Each object belongs to one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/error.hpp"

namespace cifarpipe::learn {

/// An Error for a failed system call on `file`: "cannot <what> <file>: <reason>".
Error file_error(std::string_view what, const std::filesystem::path& file, int error_number);

/// A whole file, mapped read-only for as long as the object lives. Moves, does not copy.
class MappedFile {
 public:
  MappedFile() = default;
  explicit MappedFile(const std::filesystem::path& file);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::uint8_t> bytes() const { return {data_, size_}; }

 private:
  const std::uint8_t* data_ = nullptr;
  std::size_t size_ = 0;
};

/// Appends to a new file through a buffer. `close` reports what a destructor cannot: without it
/// the file's content is not to be trusted.
class FileWriter {
 public:
  FileWriter() = default;
  explicit FileWriter(const std::filesystem::path& file);
  FileWriter(FileWriter&& other) noexcept;
  FileWriter& operator=(FileWriter&& other) noexcept;
  ~FileWriter();

  void write(const void* data, std::size_t size);
  void close();

 private:
  void flush();
  void write_through(const std::uint8_t* data, std::size_t size);

  std::filesystem::path file_;
  int fd_ = -1;
  std::vector<std::uint8_t> buffer_;
};

std::string read_text(const std::filesystem::path& file);
void write_text(const std::filesystem::path& file, std::string_view text);

}  // namespace cifarpipe::learn
