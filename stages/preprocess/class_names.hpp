// Names of classes: from a file with a line each, and CIFAR-10's own ten, which have a short and a
// long form. Pure functions: any thread.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

namespace cifarpipe::preprocess {

/// The lines that are not empty, without spaces at their ends. Throws an Error unless there are 1
/// to `most` and all differ.
std::vector<std::string> read_class_names(const std::filesystem::path& file, std::size_t most);

/// If these are CIFAR-10's ten in their order, all long or all short, makes them the short ones and
/// says so.
bool shorten_official_names(std::vector<std::string>& names);

/// If these are CIFAR-10's ten in any order, the place of each in the official order; else empty.
std::vector<std::size_t> official_places(const std::vector<std::string>& names);

/// CIFAR-10's ten by their short names, in the official order.
const std::vector<std::string>& official_names();

}  // namespace cifarpipe::preprocess
