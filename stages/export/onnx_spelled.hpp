// An 8-bit ONNX model as one of floats that computes the same: what was rounded is put back into
// numbers, and each rounding becomes a division, a rounding to whole numbers, a limit and a
// product. So readers that know no 8-bit operations can carry the file out. No protobuf in this
// header. Pure function: any thread.
#pragma once

#include <string>

namespace cifarpipe {

/// `name` is for messages. Made for OpenCV: `Clip` has its limits as attributes, as before
/// opset 11.
std::string spelled_out(const std::string& model, const std::string& name);

}  // namespace cifarpipe
