// An ONNX file as OpenCV reads it: another program's reading of what was written. No libtorch, and
// no OpenCV in this header. One thread.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

namespace cifarpipe {

/// The outputs of the model in `file` for `images`, N x C x H x W in row-major order, computed with
/// `threads` threads. Throws an Error that names the file if OpenCV cannot read or compute it.
std::vector<float> answers_by_opencv(const std::filesystem::path& file,
                                     std::span<const float> images,
                                     const std::array<std::int64_t, 4>& shape, int threads);

}  // namespace cifarpipe
