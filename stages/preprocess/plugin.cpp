#include "plugins/plugin.hpp"

#include "stages/preprocess/preprocess_stage.hpp"

CIFARPIPE_PLUGIN("preprocess", "1.0.0", [](cifarpipe::StageRegistry& registry) {
  registry.add<cifarpipe::preprocess::PreprocessStage>();
})
