// Whitening filters: the first convolution of some networks, made from the training images instead
// of learned (airbench, arXiv 2404.00498; Page's "How to train your ResNet", part 8).
// Stage's thread only.
#pragma once

#include "stages/learn/batch.hpp"
#include "stages/learn/model.hpp"

namespace cifarpipe::learn {

/// Sets every filter bank that a network wants whitened. Of the uncentred covariance P^T P / n of
/// all patches of the first `images` images, with eigenvectors e and eigenvalues v, the filters are
/// e / sqrt(v + epsilon), the largest v first, and then their negatives.
void whiten(const Model& model, const BatchMaker& maker, const SplitView& train,
            std::int64_t images = 5000, double epsilon = 5e-4);

}  // namespace cifarpipe::learn
