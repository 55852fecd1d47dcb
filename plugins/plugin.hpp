// The contract between cifarpipe and a plugin. One line in one .cpp makes a shared library with
// stages a plugin:
//
//   CIFARPIPE_PLUGIN("train", "1.0.0", [](cifarpipe::StageRegistry& r) { r.add<TrainStage>(); })
//
// Plugins are never unloaded: what is declared here lives as long as the process. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>

#include "pipeline/stage.hpp"
#include "plugins/stamp.hpp"

extern "C" {
/// Exported once by each plugin as `cifarpipe_plugin`.
struct cifarpipe_plugin_v1 {
  std::uint32_t api;    ///< CIFARPIPE_SDK_API of the headers that it was built with. Always first.
  const char* stamp;    ///< The same text as in its ELF note `.note.cifarpipe`.
  const char* name;     ///< As messages call it.
  const char* version;  ///< "1.0.0"
  void (*register_stages)(cifarpipe::StageRegistry& registry);
};
}

namespace cifarpipe {

/// The stamp as an ELF note: readable from the file, without loading it.
template <std::size_t N>
struct StampNote {
  std::uint32_t name_size = sizeof(StampNote::name);
  std::uint32_t text_size = N;
  std::uint32_t type = 1;
  char name[12] = "cifarpipe\0";
  char text[N];
};

}  // namespace cifarpipe

// The linker must keep the note though nothing refers to it.
#if defined(__has_attribute) && __has_attribute(retain)
#define CIFARPIPE_RETAIN retain
#else
#define CIFARPIPE_RETAIN used
#endif

/// `...` is a function or a lambda without captures that takes a StageRegistry&.
#define CIFARPIPE_PLUGIN(plugin_name, plugin_version, ...) \
  CIFARPIPE_PLUGIN_WITH_STAMP(CIFARPIPE_STAMP, plugin_name, plugin_version, __VA_ARGS__)

/// For tests of the loader: a plugin with a stamp that is not its own.
#define CIFARPIPE_PLUGIN_WITH_STAMP(stamp_text, plugin_name, plugin_version, ...)              \
  extern "C" {                                                                                 \
  extern const ::cifarpipe::StampNote<sizeof(stamp_text)> cifarpipe_stamp_note                 \
      __attribute__((visibility("hidden")));                                                   \
  __attribute__((section(".note.cifarpipe"), used, CIFARPIPE_RETAIN, aligned(4)))              \
  const ::cifarpipe::StampNote<sizeof(stamp_text)>                                             \
      cifarpipe_stamp_note = {.text = stamp_text};                                             \
  extern const cifarpipe_plugin_v1 cifarpipe_plugin __attribute__((visibility("default")));    \
  __attribute__((used)) const cifarpipe_plugin_v1 cifarpipe_plugin = {                         \
      CIFARPIPE_SDK_API, cifarpipe_stamp_note.text, plugin_name, plugin_version, __VA_ARGS__}; \
  }
