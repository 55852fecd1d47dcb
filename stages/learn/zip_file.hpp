// Zip archives where they lie in memory, zip64 too: those that torch.save writes, whose entries are
// stored, and others, whose entries may be deflated. Nothing is copied. Pure functions: any thread.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>

namespace cifarpipe::learn {

/// What an archive says of an entry.
struct ZipEntry {
  std::span<const std::uint8_t> packed;  ///< As it lies in the archive.
  std::uint64_t size = 0;                ///< Unpacked. Not checked where `deflated`.
  std::uint32_t crc = 0;                 ///< Of the unpacked bytes. Not checked by list_zip.
  bool deflated = false;
};

/// The entries by their paths, in the archive's memory; everything is checked against its size.
/// Throws an Error that begins with `name`.
std::map<std::string, ZipEntry, std::less<>> list_zip(std::span<const std::uint8_t> archive,
                                                      const std::string& name);

/// The same, of an archive that must have only stored entries: their contents, with their checksums
/// checked. A checksum of 0 is none: torch.save leaves it out where it is asked to.
std::map<std::string, std::span<const std::uint8_t>, std::less<>> read_zip(
    std::span<const std::uint8_t> archive, const std::string& name);

}  // namespace cifarpipe::learn
