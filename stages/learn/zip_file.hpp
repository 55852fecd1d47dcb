// The zip archives that torch.save writes: entries that are stored and not compressed, zip64 too.
// Nothing is copied. Pure function: any thread.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>

namespace cifarpipe::learn {

/// The entries by their paths, in the archive's memory; everything is checked against its size.
/// Throws an Error that begins with `name`.
std::map<std::string, std::span<const std::uint8_t>, std::less<>> read_zip(
    std::span<const std::uint8_t> archive, const std::string& name);

}  // namespace cifarpipe::learn
