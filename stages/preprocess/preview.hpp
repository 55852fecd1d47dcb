// Collects what a person wants to see of a dataset: the first images of each class and how many
// there are. One thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "stages/preprocess/cifar_layout.hpp"

namespace cifarpipe::preprocess {

class Preview {
 public:
  explicit Preview(const CifarLayout& layout);

  /// `pixels` are interleaved. Keeps the first few of each class of the training split.
  void take(std::string_view split, int label, std::span<const std::uint8_t> pixels);
  /// Writes contact-sheet.png and summary.json.
  void write(const std::filesystem::path& dir, const std::vector<double>& mean,
             const std::vector<double>& std, const std::string& normalization) const;

 private:
  const CifarLayout& layout_;
  std::size_t images_a_class_;
  std::vector<std::vector<std::vector<std::uint8_t>>> first_;
  std::map<std::string, std::vector<std::int64_t>, std::less<>> counts_;
};

}  // namespace cifarpipe::preprocess
