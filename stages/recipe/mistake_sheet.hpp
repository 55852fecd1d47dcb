// Sheets of images that a model answered wrongly. Stage's thread.
#pragma once

#include <filesystem>
#include <span>
#include <vector>

#include "stages/learn/evaluation.hpp"
#include "stages/learn/model_file.hpp"
#include "stages/vision/tiles.hpp"

namespace cifarpipe {

/// The image that was judged, with the answer below. Of `info` only the image's shape and the
/// classes count; `split` is where the judgement's row lies.
vision::Tile judged_tile(const learn::ModelInfo& info, const learn::SplitView& split,
                         const learn::Judgement& judgement);

/// One sheet of the surest mistakes for each epoch of a training, and `mistakes.csv`, which says
/// what is on them. They are made in a folder that outlives kills, since a training that goes on
/// does not go back to earlier epochs.
class MistakeSheets {
 public:
  /// `work` is made if it is not there. `split` is borrowed.
  MistakeSheets(std::filesystem::path work, learn::ModelInfo info, const learn::SplitView& split);

  /// Replaces what an earlier attempt left of this epoch. `worst`: the surest mistake first.
  void add(std::int64_t epoch, std::span<const learn::Judgement> worst);
  /// Copies `epoch_NNN.png` and `mistakes.csv` of the first `epochs` epochs to `dir`.
  void publish(const std::filesystem::path& dir, std::int64_t epochs) const;

 private:
  std::filesystem::path work_;
  learn::ModelInfo info_;
  const learn::SplitView& split_;
};

}  // namespace cifarpipe
