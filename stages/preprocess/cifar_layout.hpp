// Finds CIFAR-10's or CIFAR-100's binary files in a folder tree and says how to read them. One
// thread; what is returned are values.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "stages/preprocess/folder_tree.hpp"

namespace cifarpipe::preprocess {

inline constexpr int kSide = 32;
inline constexpr int kChannels = 3;
inline constexpr std::int64_t kPixelBytes = kSide * kSide * kChannels;

struct CifarLayout {
  std::string name;              ///< "cifar10" or "cifar100": the layout, not what is in it.
  std::int64_t label_bytes = 1;  ///< In front of each record's pixels.
  std::int64_t label_at = 0;     ///< Which of them is the label that counts.
  std::vector<std::filesystem::path> train;  ///< In the official order.
  std::vector<std::filesystem::path> test;
  std::vector<std::string> classes;
  bool official_classes = false;  ///< CIFAR-10's own ten, now by their short names.

  std::int64_t record_bytes() const { return label_bytes + kPixelBytes; }
};

/// Whether the folder itself holds data_batch_N.bin, or train.bin.
bool is_cifar10(const Folder& folder);
bool is_cifar100(const Folder& folder);
/// Whether it holds CIFAR's version for Python, with the same names but no ".bin".
bool is_cifar_for_python(const Folder& folder);

/// Of a folder for which one of the first two holds. Throws an Error that says what is missing.
CifarLayout read_cifar10(const std::filesystem::path& top, const Folder& folder);
CifarLayout read_cifar100(const std::filesystem::path& top, const Folder& folder, bool coarse);

}  // namespace cifarpipe::preprocess
