// Looks through a folder for the one data set in it, whatever its layout. One thread.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "stages/preprocess/image_source.hpp"

namespace cifarpipe::preprocess {

struct SourceOptions {
  bool coarse = false;          ///< CIFAR-100's 20 superclasses.
  std::string layout = "auto";  ///< Of NumPy arrays with a channel axis: "auto", "NHWC" or "NCHW".
};

/// Throws an Error that says what is there and what is understood when there is no data set or more
/// than one.
std::unique_ptr<ImageSource> find_source(const std::filesystem::path& top,
                                         const SourceOptions& options);

}  // namespace cifarpipe::preprocess
