// Which images of a split also stand in the training split, as a list says it. Any thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <set>
#include <string>

namespace cifarpipe::learn {

/// The list that the preprocess stage writes into its dataset's folder.
inline constexpr const char* kDuplicatesFile = "duplicates.csv";

/// Positions in the official order. `list` is CSV with a column `TestID` (images of the test
/// split), or with the columns split, index and other_split as the preprocess stage writes them.
/// Throws an Error that names the file and the line.
std::set<std::int64_t> read_duplicates(const std::filesystem::path& list, const std::string& split);

}  // namespace cifarpipe::learn
