// An ONNX file as OpenCV reads it: another program's reading of what was written. No libtorch, and
// no OpenCV in this header. One thread.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace cifarpipe {

/// The outputs of the ONNX model in `bytes` for `images`, N x C x H x W in row-major order,
/// computed with `threads` threads. Throws an Error that begins with `name` if OpenCV cannot read
/// or compute it.
std::vector<float> answers_by_opencv(const std::string& bytes, const std::string& name,
                                     std::span<const float> images,
                                     const std::array<std::int64_t, 4>& shape, int threads);

}  // namespace cifarpipe
