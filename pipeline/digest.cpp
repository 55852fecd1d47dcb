#include "pipeline/digest.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "pipeline/error.hpp"
#include "pipeline/file_ops.hpp"

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace cifarpipe {
namespace fs = std::filesystem;
namespace {

EVP_MD_CTX* start(const EVP_MD* kind) {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  if (context == nullptr || EVP_DigestInit_ex(context, kind, nullptr) != 1) {
    EVP_MD_CTX_free(context);
    throw Error("OpenSSL cannot compute this kind of digest", ErrorKind::environment);
  }
  return context;
}

/// Hashes all that can be read from `fd`. The file may grow or shrink meanwhile: what is hashed is
/// what was read.
std::string hash_descriptor(int fd, const fs::path& file, const EVP_MD* kind) {
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(start(kind), EVP_MD_CTX_free);
  constexpr std::size_t kBuffer = 256 * 1024;
  const auto buffer = std::make_unique_for_overwrite<char[]>(kBuffer);
  for (;;) {
    const ssize_t n = ::read(fd, buffer.get(), kBuffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw file_error("read", file, errno);
    if (n == 0) break;
    EVP_DigestUpdate(context.get(), buffer.get(), static_cast<std::size_t>(n));
  }
  std::array<std::uint8_t, EVP_MAX_MD_SIZE> digest;
  unsigned size = 0;
  EVP_DigestFinal_ex(context.get(), digest.data(), &size);
  return hex({digest.data(), size});
}

std::string hash_file(const fs::path& file, const EVP_MD* kind) {
  const Descriptor fd = open_file(file, O_RDONLY);
  return hash_descriptor(fd.get(), file, kind);
}

constexpr std::array<std::uint32_t, 256> make_crc_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) ? 0x82f63b78u : 0u);
    table[i] = crc;
  }
  return table;
}
constexpr auto kCrcTable = make_crc_table();

std::uint32_t crc32c_table(std::span<const std::byte> bytes, std::uint32_t crc) {
  for (const std::byte b : bytes) {
    crc = (crc >> 8) ^ kCrcTable[(crc ^ std::to_integer<std::uint32_t>(b)) & 0xff];
  }
  return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) std::uint32_t crc32c_sse42(std::span<const std::byte> bytes,
                                                             std::uint32_t crc) {
  const std::byte* p = bytes.data();
  std::size_t n = bytes.size();
  std::uint64_t wide = crc;
  for (; n >= 8; p += 8, n -= 8) {
    std::uint64_t word;
    std::memcpy(&word, p, 8);
    wide = _mm_crc32_u64(wide, word);
  }
  auto narrow = static_cast<std::uint32_t>(wide);
  for (; n > 0; ++p, --n) narrow = _mm_crc32_u8(narrow, std::to_integer<std::uint8_t>(*p));
  return narrow;
}
#endif

using Crc32c = std::uint32_t (*)(std::span<const std::byte>, std::uint32_t);

Crc32c choose_crc32c() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("sse4.2")) return crc32c_sse42;
#endif
  return crc32c_table;
}

bool is_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const std::size_t length = lead < 0x80                    ? 1
                               : lead >= 0xc2 && lead < 0xe0  ? 2
                               : lead >= 0xe0 && lead < 0xf0  ? 3
                               : lead >= 0xf0 && lead <= 0xf4 ? 4
                                                              : 0;
    if (length == 0 || i + length > text.size()) return false;
    for (std::size_t k = 1; k < length; ++k) {
      if ((static_cast<unsigned char>(text[i + k]) & 0xc0) != 0x80) return false;
    }
    const auto second = length > 1 ? static_cast<unsigned char>(text[i + 1]) : 0u;
    // Overlong forms, surrogates and what lies beyond U+10FFFF.
    if ((lead == 0xe0 && second < 0xa0) || (lead == 0xed && second > 0x9f) ||
        (lead == 0xf0 && second < 0x90) || (lead == 0xf4 && second > 0x8f)) {
      return false;
    }
    i += length;
  }
  return true;
}

std::string_view kind_of(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFLNK:
      return "a symbolic link";
    case S_IFIFO:
      return "a pipe";
    case S_IFSOCK:
      return "a socket";
    case S_IFCHR:
    case S_IFBLK:
      return "a device";
    default:
      return "neither a file nor a folder";
  }
}

struct CloseDir {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

/// Walks by descriptors and never through a link, so that what is listed lies below the root even
/// when someone swaps a folder for a link meanwhile.
void walk(int parent, const char* name, const std::string& prefix, const fs::path& root, bool hash,
          std::vector<FileDigest>& files) {
  const fs::path here = root / prefix;
  const int fd = ::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) throw file_error("open", here, errno);
  const std::unique_ptr<DIR, CloseDir> dir(::fdopendir(fd));
  if (!dir) {
    const int reason = errno;
    ::close(fd);
    throw file_error("open", here, reason);
  }
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(dir.get());
    if (entry == nullptr && errno != 0) throw file_error("list", here, errno);
    if (entry == nullptr) return;
    const std::string_view child = entry->d_name;
    if (child == "." || child == "..") continue;
    const std::string path =
        prefix.empty() ? std::string(child) : fmt::format("{}/{}", prefix, child);
    struct stat info;
    if (::fstatat(fd, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
      throw file_error("look at", root / path, errno);
    }
    if (!is_utf8(child))
      throw Error(fmt::format("'{}': the name is not UTF-8", (root / path).string()));
    if (S_ISDIR(info.st_mode)) {
      walk(fd, entry->d_name, path, root, hash, files);
    } else if (S_ISREG(info.st_mode)) {
      FileDigest file{path, static_cast<std::uint64_t>(info.st_size), ""};
      if (hash) {
        const Descriptor content(::openat(fd, entry->d_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
        if (content.get() < 0) throw file_error("open", root / path, errno);
        file.sha256 = hash_descriptor(content.get(), root / path, EVP_sha256());
      }
      files.push_back(std::move(file));
    } else {
      throw Error(fmt::format("'{}' is {}; only files and folders can be kept",
                              (root / path).string(), kind_of(info.st_mode)));
    }
  }
}

std::vector<FileDigest> tree(const fs::path& dir, bool hash) {
  std::vector<FileDigest> files;
  walk(AT_FDCWD, dir.c_str(), "", dir, hash, files);
  std::ranges::sort(files, {}, &FileDigest::path);
  return files;
}

}  // namespace

Sha256::Sha256() : context_(start(EVP_sha256())) {}
Sha256::~Sha256() {
  EVP_MD_CTX_free(static_cast<EVP_MD_CTX*>(context_));
}

void Sha256::update(std::span<const std::byte> bytes) {
  EVP_DigestUpdate(static_cast<EVP_MD_CTX*>(context_), bytes.data(), bytes.size());
}

void Sha256::update(std::string_view text) {
  update(std::as_bytes(std::span(text)));
}

std::array<std::uint8_t, 32> Sha256::finish() {
  std::array<std::uint8_t, 32> digest;
  EVP_DigestFinal_ex(static_cast<EVP_MD_CTX*>(context_), digest.data(), nullptr);
  return digest;
}

std::string hex(std::span<const std::uint8_t> bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const std::uint8_t b : bytes) {
    text += kDigits[b >> 4];
    text += kDigits[b & 15];
  }
  return text;
}

std::string sha256(std::string_view text) {
  Sha256 digest;
  digest.update(text);
  return hex(digest.finish());
}

std::string sha256_file(const fs::path& file) {
  return hash_file(file, EVP_sha256());
}
std::string md5_file(const fs::path& file) {
  return hash_file(file, EVP_md5());
}

std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t seed) {
  static const Crc32c compute = choose_crc32c();
  return ~compute(bytes, ~seed);
}

std::vector<FileDigest> list_tree(const fs::path& dir) {
  return tree(dir, false);
}
std::vector<FileDigest> digest_tree(const fs::path& dir) {
  return tree(dir, true);
}

std::string combined_digest(const std::vector<FileDigest>& files) {
  std::vector<const FileDigest*> sorted;
  for (const FileDigest& file : files) sorted.push_back(&file);
  std::ranges::sort(sorted, {}, [](const FileDigest* f) -> const std::string& { return f->path; });
  Sha256 digest;
  for (const FileDigest* file : sorted) {
    // A path holds no NUL, so no two different sets give the same bytes.
    digest.update(file->path);
    digest.update(std::string_view("\0", 1));
    digest.update(file->sha256);
    digest.update("\n");
  }
  return hex(digest.finish());
}

}  // namespace cifarpipe
