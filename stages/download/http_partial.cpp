#include "stages/download/http_partial.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>

#include "stages/learn/files.hpp"

namespace cifarpipe::download {
namespace {

/// FNV-1a: the note recognises its URL again without holding what may be secret in it.
std::string url_mark(const std::string& url) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : url) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return std::to_string(hash);
}

}  // namespace

std::filesystem::path note_of(const std::filesystem::path& file) {
  std::filesystem::path note = file;
  note += ".state";
  return note;
}

PartialFile::PartialFile(std::filesystem::path file, const std::string& url, bool pinned)
    : file_(std::move(file)), url_(url_mark(url)), pinned_(pinned) {
  fd_ = ::open(file_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (fd_ < 0) throw learn::file_error("open", file_, errno);
  struct stat info {};
  if (::fstat(fd_, &info) == 0) size_ = info.st_size;
  if (size_ > 0) read_note();
  const bool stale = size_ > 0 && (!resumable() || (total_ > 0 && size_ > total_));
  if (stale) restart("", "", 0);
  if (::lseek(fd_, 0, SEEK_END) < 0) throw learn::file_error("seek in", file_, errno);
}

PartialFile::~PartialFile() {
  ::close(fd_);
}

std::string PartialFile::validator() const {
  // A weak ETag does not promise equal bytes; If-Range must not use it.
  if (!etag_.empty() && etag_.rfind("W/", 0) != 0) return etag_;
  return last_modified_;
}

void PartialFile::restart(const std::string& etag, const std::string& last_modified,
                          std::int64_t total) {
  // First the bytes go, then the note changes: never old bytes under a new note.
  if (::ftruncate(fd_, 0) != 0) throw learn::file_error("truncate", file_, errno);
  if (::lseek(fd_, 0, SEEK_SET) < 0) throw learn::file_error("seek in", file_, errno);
  size_ = 0;
  etag_ = etag;
  last_modified_ = last_modified;
  total_ = total;
  write_note();
}

void PartialFile::append(const char* data, std::size_t size) {
  while (size > 0) {
    const ssize_t n = ::write(fd_, data, size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw learn::file_error("write", file_, errno);
    data += n;
    size -= static_cast<std::size_t>(n);
    size_ += n;
  }
}

void PartialFile::sync() {
  if (::fdatasync(fd_) != 0) throw learn::file_error("write", file_, errno);
}

void PartialFile::read_note() {
  std::ifstream note(note_of(file_));
  std::string url;
  std::string total;
  std::string etag;
  std::string last_modified;
  std::getline(note, url);
  std::getline(note, total);
  std::getline(note, etag);
  std::getline(note, last_modified);
  // The last line proves that the note was written whole.
  std::string end;
  std::getline(note, end);
  if (end != "end" || url != url_) {
    if (::ftruncate(fd_, 0) != 0) throw learn::file_error("truncate", file_, errno);
    size_ = 0;
    return;
  }
  total_ = std::strtoll(total.c_str(), nullptr, 10);
  etag_ = etag;
  last_modified_ = last_modified;
}

void PartialFile::write_note() const {
  learn::write_text(note_of(file_), url_ + "\n" + std::to_string(total_) + "\n" + etag_ + "\n" +
                                        last_modified_ + "\nend\n");
}

}  // namespace cifarpipe::download
