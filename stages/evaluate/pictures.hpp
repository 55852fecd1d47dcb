// The pictures of an evaluation beside the confusion matrix. Stage's thread.
#pragma once

#include <filesystem>

#include "stages/evaluate/report.hpp"
#include "stages/learn/model.hpp"

namespace cifarpipe {

/// The reliability diagram.
void draw_calibration(const std::filesystem::path& png, const EvaluationReport& report);

/// The surest wrong answers. No file when there are none, or when `count` is 0.
void draw_mistakes(const std::filesystem::path& png, const EvaluationReport& report,
                   const learn::ModelInfo& info, const learn::SplitView& split, std::size_t count);

/// Of the surest wrong answers, which pixels they hung on. `model` can not be trained afterwards.
void draw_saliency(const std::filesystem::path& png, const EvaluationReport& report,
                   const learn::ModelInfo& info, const learn::SplitView& split, learn::Model& model,
                   std::size_t count);

}  // namespace cifarpipe
