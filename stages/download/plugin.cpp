#include "plugins/plugin.hpp"

#include "stages/download/download_stage.hpp"

CIFARPIPE_PLUGIN("download", "1.0.0", [](cifarpipe::StageRegistry& registry) {
  registry.add<cifarpipe::download::DownloadStage>();
})
