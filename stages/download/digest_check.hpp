// SHA-256 and MD5 of a file in one pass, and the check against what the user pinned. Stateless.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

namespace cifarpipe::download {

/// Lower-case hex; empty = not pinned.
struct Pins {
  std::string sha256;
  std::string md5;
  bool any() const { return !sha256.empty() || !md5.empty(); }
};

/// Throws if a pin does not look like one: the right number of hex digits. Makes it lower case.
Pins checked_pins(const std::string& sha256, const std::string& md5);

/// Both digests of a file. `tick` is called every megabyte and may throw to stop.
Pins digests_of(const std::filesystem::path& file, const std::function<void()>& tick);

/// Throws an Error with both digests if a pin differs; `name` is what was downloaded or read.
void check_pins(const Pins& pins, const Pins& found, const std::string& name);

}  // namespace cifarpipe::download
