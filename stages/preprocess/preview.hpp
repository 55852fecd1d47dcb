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

#include "stages/learn/dataset_file.hpp"
#include "stages/preprocess/image_source.hpp"

namespace cifarpipe::preprocess {

class Preview {
 public:
  Preview(std::string layout, learn::DatasetInfo info);

  /// Keeps the first few of each class of the training split, large ones made smaller.
  void take(std::string_view split, int label, const vision::Image& image);
  /// Writes contact-sheet.png and summary.json.
  void write(const std::filesystem::path& dir, const std::vector<double>& mean,
             const std::vector<double>& std, const std::string& normalization) const;

 private:
  std::string layout_;
  learn::DatasetInfo info_;
  std::size_t images_a_class_;
  int shown_width_;
  int shown_height_;
  std::vector<std::vector<std::vector<std::uint8_t>>> first_;
  std::map<std::string, std::vector<std::int64_t>, std::less<>> counts_;
};

}  // namespace cifarpipe::preprocess
