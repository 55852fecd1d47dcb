// One job of the stage `preprocess`, from the files to the dataset and what is to be seen of it.
// Belongs to the stage's thread; images are read on others.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "stages/learn/dataset_file.hpp"
#include "stages/preprocess/bad_images.hpp"
#include "stages/preprocess/channel_statistics.hpp"
#include "stages/preprocess/image_source.hpp"
#include "stages/preprocess/preprocess_stage.hpp"
#include "stages/preprocess/preview.hpp"
#include "stages/preprocess/reading.hpp"

namespace cifarpipe::preprocess {

class Conversion {
 public:
  /// Finds the data and plans the splits; reads no image but the first.
  Conversion(const PreprocessParams& params, StageContext& context);
  void run();

 private:
  struct Normalisation {
    std::vector<double> mean;
    std::vector<double> std;
  };

  ImageShape chosen_shape() const;
  void normalisation_can_be_met() const;
  learn::DatasetInfo info() const;
  void read_all();
  void take(const Item& item, ReadImage read);
  Normalisation normalisation() const;
  void list_files() const;
  std::string summary() const;

  const PreprocessParams& params_;
  StageContext& context_;
  std::unique_ptr<ImageSource> source_;
  SplitPlan plan_;
  BadImages bad_;
  ImageShape shape_;
  learn::DatasetWriter writer_;
  Preview preview_;
  ChannelStatistics statistics_;
  std::size_t done_ = 0;
};

}  // namespace cifarpipe::preprocess
