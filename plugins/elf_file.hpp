// Reads sections and notes of an ELF file without loading it: what a plugin says about itself
// before any of its code can run. Every offset and size in the file is checked against the file,
// so a truncated or hostile one gives an Error and nothing else. Owns its descriptor; one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cifarpipe {

class ElfFile {
 public:
  struct Section {
    std::string name;
    std::uint32_t type = 0;
    std::uint64_t flags = 0;
    std::uint64_t offset = 0;
    std::uint64_t size = 0;
  };

  /// Throws Error (environment) if it is not a shared library for this machine; the sentence
  /// begins with the path.
  explicit ElfFile(std::filesystem::path path);
  ~ElfFile();
  ElfFile(const ElfFile&) = delete;
  ElfFile& operator=(const ElfFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  const std::vector<Section>& sections() const { return sections_; }
  const Section* find(std::string_view name) const;
  /// Owner and permission bits, of the opened file itself.
  unsigned owner() const { return owner_; }
  unsigned mode() const { return mode_; }

  /// The content of a section; an Error if it is larger than `limit`.
  std::string read(const Section& section, std::size_t limit) const;
  /// The content of the first note of this owner and type in section `name`, if there is one.
  std::optional<std::string> note(std::string_view name, std::string_view owner,
                                  std::uint32_t type) const;
  /// Hex; empty if it was linked without --build-id.
  std::string build_id() const;

 private:
  [[noreturn]] void fail(const std::string& problem) const;
  std::string read_bytes(std::uint64_t offset, std::uint64_t size, const char* what) const;
  void read_sections();

  std::filesystem::path path_;
  int fd_ = -1;
  std::uint64_t size_ = 0;
  unsigned owner_ = 0;
  unsigned mode_ = 0;
  std::vector<Section> sections_;
};

}  // namespace cifarpipe
