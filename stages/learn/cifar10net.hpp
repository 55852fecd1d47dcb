// The reference network: three blocks of two 3x3 convolutions, and a head of two linear layers.
#pragma once

#include <memory>

#include "stages/learn/model.hpp"

namespace cifarpipe::learn {

/// Sides must be multiples of 8; 1,342,122 parameters for 32x32x3 and ten classes.
std::unique_ptr<Model> make_cifar10net(const ModelShape& shape);

}  // namespace cifarpipe::learn
