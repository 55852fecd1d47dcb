// The card of an export: README.md, for whoever gets the files and nothing else. What it says is a
// function of the model, the data and the parameters alone. No libtorch. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "stages/learn/dataset_file.hpp"
#include "stages/learn/model_file.hpp"

namespace cifarpipe {

/// One file of an export.
struct ExportedFile {
  std::string format;  ///< As in the parameter `formats`.
  std::string name;
  std::uint64_t bytes = 0;
  std::string sha256;
};

/// How a model did on one split.
struct SplitFigures {
  std::string split;
  std::int64_t images = 0;
  std::int64_t correct = 0;
  double loss = 0;
  std::int64_t duplicates = 0;  ///< Images that have a near-duplicate in the training split.
  std::int64_t duplicates_correct = 0;
  std::vector<bool> right = {};  ///< Of each image, in their order; not on the card.
};

struct CardFacts {
  learn::ModelInfo model;
  std::int64_t multiply_adds = 0;
  learn::DatasetInfo data;
  std::vector<std::pair<std::string, std::int64_t>> splits;  ///< Names and counts.
  std::vector<SplitFigures> figures;
  std::optional<SplitFigures> int8;
  std::string calibration_split;
  std::int64_t calibration_images = 0;
  std::string checked_split;
  std::int64_t checked_images = 0;
  double tolerance = 0;
  double int8_tolerance = 0;  ///< Of the 8-bit file's logits, from those that were judged.
  int opset = 0;
  bool normalised_inside = true;
  std::vector<ExportedFile> files;
};

/// The card as Markdown.
std::string card_text(const CardFacts& facts);

}  // namespace cifarpipe
