#include "stages/download/archive.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <memory>
#include <set>
#include <vector>

#include "pipeline/error.hpp"
#include "stages/learn/files.hpp"

namespace fs = std::filesystem;

namespace cifarpipe::download {
namespace {

constexpr int kUnpackingFailed = -1;  // ARCHIVE_ERRNO_MISC, which libarchive keeps to itself.

const char* kind_of(const archive_entry* entry) {
  // The accessors take a pointer to non-const but only read.
  auto* e = const_cast<archive_entry*>(entry);
  if (archive_entry_hardlink(e) != nullptr) return "a hard link";
  switch (archive_entry_filetype(e)) {
    case AE_IFREG:
      return nullptr;
    case AE_IFDIR:
      return nullptr;
    case AE_IFLNK:
      return "a symbolic link";
    case AE_IFCHR:
      return "a character device";
    case AE_IFBLK:
      return "a block device";
    case AE_IFIFO:
      return "a pipe";
    case AE_IFSOCK:
      return "a socket";
    default:
      return "neither a file nor a folder";
  }
}

class Extraction {
 public:
  Extraction(const fs::path& file, std::string name, const fs::path& dir, const Limits& limits,
             const ByteProgress& progress)
      : archive_(archive_read_new(), archive_read_free),
        name_(std::move(name)),
        dir_(dir),
        limits_(limits),
        progress_(progress) {
    if (!archive_) throw Error("not enough memory to open " + name_);
    // Named one by one: "all" would include filters that start other programs.
    archive_read_support_filter_gzip(archive_.get());
    archive_read_support_filter_bzip2(archive_.get());
    archive_read_support_filter_xz(archive_.get());
    archive_read_support_filter_zstd(archive_.get());
    archive_read_support_format_tar(archive_.get());
    archive_read_support_format_zip(archive_.get());
    total_ = static_cast<std::int64_t>(fs::file_size(file));
    if (archive_read_open_filename(archive_.get(), file.c_str(), 1 << 16) != ARCHIVE_OK) {
      throw broken_between();
    }
  }

  void run() {
    archive_entry* entry = nullptr;
    for (;;) {
      const int result = archive_read_next_header(archive_.get(), &entry);
      if (result == ARCHIVE_EOF) break;
      if (result != ARCHIVE_OK && result != ARCHIVE_WARN) throw broken_between();
      take(entry);
    }
    if (files_ == 0) throw Error(name_ + " holds no files");
  }

 private:
  std::string reason() const {
    const char* text = archive_error_string(archive_.get());
    return text == nullptr ? "unreadable" : text;
  }

  BadArchive broken_between() const {
    if (!last_.empty()) {
      return BadArchive(
          fmt::format("{} is damaged after '{}': {}", name_, printable(last_), reason()));
    }
    // What was packed and cannot be unpacked has no other number: what is of no known format has
    // its own, and what cannot be opened that of the system.
    if (archive_errno(archive_.get()) == kUnpackingFailed) {
      return BadArchive(fmt::format(
          "{} is damaged or cut off ({}): fetch it again, or pack it anew", name_, reason()));
    }
    return BadArchive(fmt::format("{} is not a tar or zip archive ({})", name_, reason()));
  }

  Error refusal(const std::string& why) const {
    return Error(fmt::format("{} is refused: its entry {}", name_, why));
  }

  void take(archive_entry* entry) {
    // The UTF-8 form does not depend on the locale; it is null for names in other encodings.
    const char* name = archive_entry_pathname_utf8(entry);
    if (name == nullptr) name = archive_entry_pathname(entry);
    last_ = name == nullptr ? "" : name;
    std::string path;
    try {
      path = entry_path(last_);
    } catch (const Error& error) {
      throw refusal(error.what());
    }
    if (const char* kind = kind_of(entry)) {
      throw refusal(fmt::format("'{}' is {}", printable(last_), kind));
    }
    if (++entries_ > limits_.max_files) {
      throw refusal(
          fmt::format("'{}' is one more than max_files = {}", printable(last_), limits_.max_files));
    }
    const fs::path target = dir_ / path;
    if (archive_entry_filetype(entry) == AE_IFDIR) {
      make_folder(target);
      return;
    }
    if (path.empty()) throw refusal(fmt::format("'{}' has no name", printable(last_)));
    make_folder(target.parent_path());
    if (!written_.insert(path).second) {
      throw refusal(fmt::format("'{}' occurs twice", printable(last_)));
    }
    if (archive_entry_size_is_set(entry)) check_size(archive_entry_size(entry));
    write_file(target);
    ++files_;
  }

  void make_folder(const fs::path& folder) {
    std::error_code code;
    fs::create_directories(folder, code);
    if (code == std::errc::not_a_directory || code == std::errc::file_exists ||
        (!code && !fs::is_directory(folder))) {
      throw refusal(fmt::format("'{}' needs a folder where there is a file", printable(last_)));
    }
    if (code) throw learn::file_error("make", folder, code.value());
  }

  void check_size(std::int64_t size) {
    // Compared so that a huge declared size cannot overflow.
    if (size > limits_.max_bytes - bytes_) {
      throw refusal(fmt::format("'{}' takes the unpacked size over max_bytes = {} ({})",
                                printable(last_), limits_.max_bytes, size_text(limits_.max_bytes)));
    }
    if (size > checked_space_) {
      check_free_space(dir_, size, "unpacking " + name_);
    }
  }

  void write_file(const fs::path& target) {
    // Until here every file and folder below `dir_` is this object's own: no link can be in the
    // way.
    std::error_code code;
    if (fs::exists(fs::symlink_status(target, code))) {
      throw refusal(fmt::format("'{}' is a file and a folder at once", printable(last_)));
    }
    learn::FileWriter file(target);
    static const std::vector<char> zeros(1 << 16);
    std::int64_t position = 0;
    for (;;) {
      const void* data = nullptr;
      std::size_t size = 0;
      la_int64_t offset = 0;
      const int result = archive_read_data_block(archive_.get(), &data, &size, &offset);
      if (result == ARCHIVE_EOF) break;
      if (result != ARCHIVE_OK && result != ARCHIVE_WARN) {
        throw BadArchive(
            fmt::format("{} is damaged in '{}': {}", name_, printable(last_), reason()));
      }
      if (offset < position) throw refusal(fmt::format("'{}' overlaps", printable(last_)));
      check_size(offset - position + static_cast<std::int64_t>(size));
      while (position < offset) {  // A hole of a sparse file.
        const auto step =
            std::min<std::int64_t>(offset - position, static_cast<std::int64_t>(zeros.size()));
        file.write(zeros.data(), static_cast<std::size_t>(step));
        position += step;
        bytes_ += step;
      }
      file.write(data, size);
      position += static_cast<std::int64_t>(size);
      bytes_ += static_cast<std::int64_t>(size);
      progress_(archive_filter_bytes(archive_.get(), -1), total_);
    }
    file.close();
  }

  std::unique_ptr<archive, int (*)(archive*)> archive_;
  std::string name_;
  fs::path dir_;
  Limits limits_;
  const ByteProgress& progress_;
  std::int64_t total_ = 0;
  std::int64_t bytes_ = 0;
  std::int64_t entries_ = 0;
  std::int64_t files_ = 0;
  const std::int64_t checked_space_ = 1 << 20;  ///< Smaller files are not worth a system call.
  std::string last_;
  std::set<std::string> written_;
};

}  // namespace

void extract_archive(const fs::path& archive, const std::string& name, const fs::path& dir,
                     const Limits& limits, const ByteProgress& progress) {
  Extraction(archive, name, dir, limits, progress).run();
}

void copy_folder(const fs::path& from, const fs::path& dir, const Limits& limits,
                 const ByteProgress& progress) {
  // Listed first, so that limits and links are found before anything is written.
  std::vector<std::pair<fs::path, std::int64_t>> files;
  std::int64_t entries = 0;
  std::int64_t total = 0;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(from)) {
    const std::string relative = entry.path().lexically_relative(from).generic_string();
    const auto refusal = [&](const std::string& why) {
      return Error(fmt::format("the folder {} is refused: '{}' {}", from.string(),
                               printable(relative), why));
    };
    const fs::file_status status = entry.symlink_status();
    if (fs::is_symlink(status)) throw refusal("is a symbolic link");
    if (!fs::is_directory(status) && !fs::is_regular_file(status)) {
      throw refusal("is neither a file nor a folder");
    }
    try {
      entry_path(relative);
    } catch (const Error& error) {
      throw Error(fmt::format("the folder {} is refused: {}", from.string(), error.what()));
    }
    if (++entries > limits.max_files) {
      throw refusal(fmt::format("is one more than max_files = {}", limits.max_files));
    }
    if (fs::is_directory(status)) continue;
    const auto size = static_cast<std::int64_t>(entry.file_size());
    if (size > limits.max_bytes - total) {
      throw refusal(fmt::format("takes the size over max_bytes = {} ({})", limits.max_bytes,
                                size_text(limits.max_bytes)));
    }
    total += size;
    files.emplace_back(relative, size);
  }
  if (files.empty()) throw Error(fmt::format("the folder {} holds no files", from.string()));
  check_free_space(dir, total, "copying the folder " + from.string());
  std::int64_t done = 0;
  fs::path folder;  // That of the file before: most files have neighbours.
  for (const auto& [relative, size] : files) {
    const fs::path target = dir / relative;
    if (target.parent_path() != folder) {
      folder = target.parent_path();
      fs::create_directories(folder);
    }
    learn::FileWriter file(target);
    const learn::MappedFile source(from / relative);
    constexpr std::size_t kStep = 1 << 20;
    for (std::size_t at = 0; at < source.bytes().size(); at += kStep) {
      const auto part = source.bytes().subspan(at, std::min(kStep, source.bytes().size() - at));
      file.write(part.data(), part.size());
      done += static_cast<std::int64_t>(part.size());
      progress(done, total);
    }
    file.close();
  }
}

}  // namespace cifarpipe::download
