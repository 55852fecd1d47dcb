// The partial file of a download and the note beside it that says what it is a part of. One thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace cifarpipe::download {

class PartialFile {
 public:
  /// Opens or makes `file`. What is there is kept only if its note names this URL and something to
  /// recognise the version by (`pinned`: the digest does that).
  PartialFile(std::filesystem::path file, const std::string& url, bool pinned);
  ~PartialFile();
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  std::int64_t size() const { return size_; }
  std::int64_t total() const { return total_; }  ///< 0 = unknown.
  const std::string& etag() const { return etag_; }
  bool complete() const { return total_ > 0 && size_ == total_; }
  /// What `If-Range` should say; empty: nothing is known that a server could compare.
  std::string validator() const;

  /// Drops all bytes and notes down the version that the next ones belong to.
  void restart(const std::string& etag, const std::string& last_modified, std::int64_t total);
  /// Whether a next process could go on from here.
  bool resumable() const { return size_ > 0 && (pinned_ || !validator().empty()); }
  void append(const char* data, std::size_t size);
  void sync();

 private:
  void read_note();
  void write_note() const;

  std::filesystem::path file_;
  std::string url_;
  bool pinned_;
  int fd_ = -1;
  std::int64_t size_ = 0;
  std::int64_t total_ = 0;
  std::string etag_;
  std::string last_modified_;
};

std::filesystem::path note_of(const std::filesystem::path& file);

}  // namespace cifarpipe::download
