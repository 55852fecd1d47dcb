// An input example for a model's page and for who tries it: a real image, as the model takes it.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tracking/content_run.hpp"

namespace cifarpipe::content {

/// A tensor that a model takes or gives.
struct ModelPort {
  std::string name;
  std::string dtype;                ///< As numpy calls it: "float32".
  std::vector<std::int64_t> shape;  ///< -1: any.
};

/// JSON of one batch of one image, nested lists: the first of the test split (else of what there
/// is) of the export's dataset, where it has the model's shape; else zeros. "" if `input` is no
/// batch of images of known size. `info` is the model's model.json, or an empty object.
std::string input_example(const RunView& view, const StageRow& export_stage,
                          const nlohmann::ordered_json& info, const ModelPort& input);

}  // namespace cifarpipe::content
