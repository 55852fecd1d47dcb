// The networks that a configuration can name. To add one: a file beside this one with a function
// that describes it (network.hpp), its declaration here, and a line in architectures.cpp; training,
// fusion, counting and every export follow from the description.
// No libtorch here. Pure functions: any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "stages/learn/network.hpp"

namespace cifarpipe::learn {

/// The networks' names, in the order of the table in architectures.cpp.
const std::vector<std::string>& architectures();
/// One sentence about a network.
std::string_view architecture_summary(std::string_view name);
/// The network for such images and classes. Throws an Error with a sentence for an unknown name or
/// a shape that does not suit it.
Network make_network(std::string_view architecture, const ModelShape& shape);

Network make_cifar10net(const ModelShape& shape);
Network make_linear(const ModelShape& shape);
Network make_resnet9(const ModelShape& shape);
Network make_resnet18(const ModelShape& shape);
Network make_wide_resnet16_4(const ModelShape& shape);
/// `widths`: the channels of its three groups.
Network make_fastnet(const ModelShape& shape, const std::vector<std::int64_t>& widths);

}  // namespace cifarpipe::learn
