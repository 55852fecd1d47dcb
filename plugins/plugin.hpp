// The contract between cifarpipe and a plugin. One line in one .cpp makes a shared library with
// stages a plugin:
//
//   CIFARPIPE_PLUGIN("train", "1.0.0", [](cifarpipe::StageRegistry& r) { r.add<TrainStage>(); })
#pragma once

#include <cstdint>

#include "pipeline/stage.hpp"

/// Raised whenever an old plugin could no longer be loaded.
#define CIFARPIPE_SDK_API 1

extern "C" {
/// Exported once by each plugin as `cifarpipe_plugin`. Lives as long as the process: plugins are
/// never unloaded.
struct cifarpipe_plugin_v1 {
  std::uint32_t api;    ///< CIFARPIPE_SDK_API of the headers that it was built with. Always first.
  const char* stamp;    ///< The same text as in its ELF note `.note.cifarpipe`.
  const char* name;     ///< As messages call it.
  const char* version;  ///< "1.0.0"
  void (*register_stages)(cifarpipe::StageRegistry& registry);
};
}

#define CIFARPIPE_PLUGIN(name, version, register_function)                                  \
  extern "C" __attribute__((visibility("default"), used))                                   \
  const cifarpipe_plugin_v1 cifarpipe_plugin = {CIFARPIPE_SDK_API, "", name, version,       \
                                                register_function};
