// The smallest model: one linear layer on the pixels. A floor to compare networks with, and quick.
#pragma once

#include <memory>

#include "stages/learn/model.hpp"

namespace cifarpipe::learn {

std::unique_ptr<Model> make_linear(const ModelShape& shape);

}  // namespace cifarpipe::learn
