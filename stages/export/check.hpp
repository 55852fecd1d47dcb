// That a written file gives what the checkpoint gives, on real images. Stage's thread only.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "stages/learn/model.hpp"

namespace cifarpipe {

/// What every file has to agree with.
struct Reference {
  at::Tensor normalised;                ///< The images as the network takes them.
  at::Tensor images;                    ///< As the exported models take them.
  at::Tensor logits;                    ///< The checkpoint's.
  std::vector<std::int64_t> positions;  ///< Of each image in the source.
  std::string split;
  double tolerance = 0;
  int threads = 1;
};

/// The largest difference of two logits of one image, as a part of the largest absolute value of
/// the image's reference logits, or of 1 where that is larger. Throws one sentence (file,
/// difference, image) if it is over the tolerance or not a number.
double require_agreement(const std::string& file, const at::Tensor& logits,
                         const Reference& reference);

// Each reads the file and requires agreement; returns the largest difference.
double check_onnx(const std::filesystem::path& file, const Reference& reference);
/// With the file's 8-bit operations spelled out in floats (onnx_spelled.hpp): OpenCV 4.6 knows them
/// only in part. The reference has the quantiser's logits.
double check_onnx_int8(const std::filesystem::path& file, const Reference& reference);
double check_script(const std::filesystem::path& file, const Reference& reference);
/// safetensors and .pth; `empty` is a model of the same network, which gets the weights.
double check_weights(const std::filesystem::path& file, const Reference& reference,
                     const learn::Model& empty);

/// The answers for all images, taken in batches so that any number of them has room.
at::Tensor in_batches(const at::Tensor& images,
                      const std::function<at::Tensor(const at::Tensor& batch)>& answer);
/// N x classes.
at::Tensor answers(const learn::Model& model, const at::Tensor& normalised);

}  // namespace cifarpipe
