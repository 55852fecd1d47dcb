// The model artifact, port type `model/classifier`: a directory with `model.safetensors` and
// `model.json`, which says all that is needed to use the weights. No libtorch here: whoever only
// wants to know what a model is reads this. Values only: any thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "stages/learn/dataset_file.hpp"

namespace cifarpipe::learn {

/// What model.json says.
struct ModelInfo {
  std::string architecture;
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::int64_t channels = 0;
  std::vector<std::string> classes;  ///< An output's index is an index into these.
  std::vector<double> mean;          ///< As in the dataset that it was trained on.
  std::vector<double> std;
  std::int64_t parameters = 0;
  std::int64_t epoch = 0;  ///< The epoch after which the weights were taken, from 1.
  /// Only of a model whose classes are groups of a dataset's: (class, what belongs to it), in the
  /// order of `classes`.
  std::vector<std::pair<std::string, std::vector<std::string>>> groups = {};
};

ModelInfo read_model_info(const std::filesystem::path& dir);
void write_model_info(const std::filesystem::path& dir, const ModelInfo& info);
std::filesystem::path weights_file(const std::filesystem::path& dir);

/// Throws one sentence that says in what the two differ, unless the model can be used on images
/// and labels of the dataset.
void require_fit(const ModelInfo& model, const DatasetInfo& data);

/// The model's class of each of the dataset's: the same ones, or the groups that they belong to.
/// Throws as `require_fit`.
std::vector<std::int32_t> fit_labels(const ModelInfo& model, const DatasetInfo& data);

}  // namespace cifarpipe::learn
