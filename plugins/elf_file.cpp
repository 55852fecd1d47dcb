#include "plugins/elf_file.hpp"

#include <elf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstring>

#include "pipeline/error.hpp"

namespace cifarpipe {
namespace {

// Generous for a plugin (a large one has some 60 sections), small enough to read without thought.
constexpr std::uint64_t kMaxSections = 4096;
constexpr std::uint64_t kMaxNames = 1 << 20;
constexpr std::uint64_t kMaxNote = 1 << 16;

#if defined(__x86_64__)
constexpr unsigned kMachine = EM_X86_64;
#elif defined(__aarch64__)
constexpr unsigned kMachine = EM_AARCH64;
#else
constexpr unsigned kMachine = EM_NONE;
#endif

template <class T>
T copy_as(const std::string& bytes, std::size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

std::size_t padded(std::size_t size) {
  return (size + 3) & ~std::size_t{3};
}

}  // namespace

ElfFile::ElfFile(std::filesystem::path path) : path_(std::move(path)) {
  // Not blocking: a FIFO of that name must not hold the program up.
  fd_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd_ < 0) fail(fmt::format("cannot be opened: {}", std::strerror(errno)));
  try {
    struct stat status {};
    if (::fstat(fd_, &status) != 0) fail(fmt::format("cannot be read: {}", std::strerror(errno)));
    if (!S_ISREG(status.st_mode)) fail("is not a regular file");
    size_ = static_cast<std::uint64_t>(status.st_size);
    owner_ = status.st_uid;
    mode_ = status.st_mode & 07777;
    read_sections();
  } catch (...) {
    ::close(fd_);
    throw;
  }
}

ElfFile::~ElfFile() {
  ::close(fd_);
}

void ElfFile::fail(const std::string& problem) const {
  throw Error(fmt::format("{} {}", path_.string(), problem), ErrorKind::environment);
}

std::string ElfFile::read_bytes(std::uint64_t offset, std::uint64_t size, const char* what) const {
  if (offset > size_ || size > size_ - offset) {
    fail(fmt::format("is truncated: its {} would end beyond the file's {} bytes", what, size_));
  }
  std::string bytes(size, '\0');
  std::size_t done = 0;
  while (done < size) {
    const ssize_t n =
        ::pread(fd_, bytes.data() + done, size - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail(fmt::format("cannot be read: {}", std::strerror(errno)));
    if (n == 0) fail(fmt::format("became shorter while its {} was read", what));
    done += static_cast<std::size_t>(n);
  }
  return bytes;
}

void ElfFile::read_sections() {
  if (size_ < sizeof(Elf64_Ehdr)) fail("is not a shared library: it is too short");
  const auto header = copy_as<Elf64_Ehdr>(read_bytes(0, sizeof(Elf64_Ehdr), "header"), 0);
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) {
    fail("is not a shared library: it does not begin as an ELF file");
  }
  constexpr auto data = std::endian::native == std::endian::little ? ELFDATA2LSB : ELFDATA2MSB;
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != data ||
      header.e_machine != kMachine) {
    fail("was built for another kind of machine");
  }
  if (header.e_type != ET_DYN) fail("is not a shared library");
  if (header.e_shoff == 0 || header.e_shnum == 0) fail("has no section headers (stripped?)");
  if (header.e_shentsize != sizeof(Elf64_Shdr) || header.e_shnum > kMaxSections ||
      header.e_shstrndx >= header.e_shnum) {
    fail("is damaged: its section headers make no sense");
  }
  const std::string table = read_bytes(
      header.e_shoff, std::uint64_t{header.e_shnum} * sizeof(Elf64_Shdr), "section headers");
  const auto entry = [&](std::size_t i) {
    return copy_as<Elf64_Shdr>(table, i * sizeof(Elf64_Shdr));
  };
  const Elf64_Shdr names_entry = entry(header.e_shstrndx);
  if (names_entry.sh_size > kMaxNames) fail("is damaged: its section names make no sense");
  const std::string names = read_bytes(names_entry.sh_offset, names_entry.sh_size, "section names");
  for (std::size_t i = 0; i < header.e_shnum; ++i) {
    const Elf64_Shdr e = entry(i);
    if (e.sh_name >= names.size() && e.sh_type != SHT_NULL) {
      fail("is damaged: a section's name lies outside the table of names");
    }
    // c_str: up to the next 0, or to the end of the table.
    sections_.push_back({e.sh_type == SHT_NULL ? "" : names.c_str() + e.sh_name, e.sh_type,
                         e.sh_flags, e.sh_offset, e.sh_size});
  }
}

const ElfFile::Section* ElfFile::find(std::string_view name) const {
  for (const Section& section : sections_) {
    if (section.name == name) return &section;
  }
  return nullptr;
}

std::string ElfFile::read(const Section& section, std::size_t limit) const {
  if (section.type == SHT_NOBITS || (section.flags & SHF_COMPRESSED) != 0) {
    fail(fmt::format("has a section {} without readable content", section.name));
  }
  if (section.size > limit) {
    fail(fmt::format("has a section {} of {} bytes; at most {} are expected", section.name,
                     section.size, limit));
  }
  return read_bytes(section.offset, section.size, ("section " + section.name).c_str());
}

std::optional<std::string> ElfFile::note(std::string_view name, std::string_view owner,
                                         std::uint32_t type) const {
  const Section* section = find(name);
  if (section == nullptr || section->type != SHT_NOTE) return std::nullopt;
  const std::string bytes = read(*section, kMaxNote);
  std::size_t at = 0;
  while (bytes.size() - at >= sizeof(Elf64_Nhdr)) {
    const auto header = copy_as<Elf64_Nhdr>(bytes, at);
    at += sizeof header;
    const std::size_t rest = bytes.size() - at;
    // Compared before adding: the sizes are whatever the file says, up to 4 GB each.
    if (header.n_namesz > rest || padded(header.n_namesz) > rest ||
        header.n_descsz > rest - padded(header.n_namesz)) {
      fail(fmt::format("is damaged: a note in {} is longer than its section", name));
    }
    std::string_view note_owner(bytes.data() + at, header.n_namesz);
    note_owner = note_owner.substr(0, note_owner.find('\0'));
    at += padded(header.n_namesz);
    if (note_owner == owner && header.n_type == type) return bytes.substr(at, header.n_descsz);
    at += std::min(padded(header.n_descsz), bytes.size() - at);
  }
  return std::nullopt;
}

std::string ElfFile::build_id() const {
  const auto id = note(".note.gnu.build-id", ELF_NOTE_GNU, NT_GNU_BUILD_ID);
  std::string text;
  if (id) {
    for (const char c : *id) text += fmt::format("{:02x}", static_cast<unsigned char>(c));
  }
  return text;
}

}  // namespace cifarpipe
