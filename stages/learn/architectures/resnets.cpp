// Residual networks for small images. Tensors are named as the publications' PyTorch code names
// them, so that weights files from there fit.
#include <algorithm>

#include "stages/learn/architectures/architectures.hpp"

namespace cifarpipe::learn {
namespace {

constexpr ConvOptions k3x3{3, 1, 1, /*bias=*/false};

int conv_norm_relu(NetworkBuilder& net, int x, const std::string& name, std::int64_t width) {
  x = net.conv(x, name + ".conv", width, k3x3);
  return net.relu(net.batch_norm(x, name + ".norm"));
}

/// He et al.: conv, BN, ReLU, conv, BN, plus the input, ReLU.
int basic_block(NetworkBuilder& net, int x, const std::string& name, std::int64_t width,
                std::int64_t stride) {
  int y = net.conv(x, name + ".conv1", width, {3, stride, 1, false});
  y = net.relu(net.batch_norm(y, name + ".bn1"));
  y = net.batch_norm(net.conv(y, name + ".conv2", width, k3x3), name + ".bn2");
  if (stride != 1 || net.node(x).channels != width) {
    x = net.conv(x, name + ".downsample.0", width, {1, stride, 0, false});
    x = net.batch_norm(x, name + ".downsample.1");
  }
  return net.relu(net.add(y, x));
}

/// Zagoruyko and Komodakis: BN and ReLU come before each convolution.
int wide_block(NetworkBuilder& net, int x, const std::string& name, std::int64_t width,
               std::int64_t stride) {
  const int active = net.relu(net.batch_norm(x, name + ".bn1"));
  int y = net.conv(active, name + ".conv1", width, {3, stride, 1, false});
  y = net.relu(net.batch_norm(y, name + ".bn2"));
  y = net.conv(y, name + ".conv2", width, k3x3);
  if (net.node(x).channels == width) return net.add(y, x);
  return net.add(y, net.conv(active, name + ".convShortcut", width, {1, stride, 0, false}));
}

}  // namespace

// David Page's ResNet9 (cifar10-fast, 2018), ReLU and plain batch norm.
Network make_resnet9(const ModelShape& shape) {
  NetworkBuilder net("resnet9", shape);
  const auto residual = [&](int x, const std::string& name, std::int64_t width) {
    const int y = conv_norm_relu(net, x, name + ".res1", width);
    return net.add(conv_norm_relu(net, y, name + ".res2", width), x);
  };
  int x = conv_norm_relu(net, net.input(), "prep", 64);
  x = net.max_pool(conv_norm_relu(net, x, "layer1", 128), 2);
  x = residual(x, "layer1", 128);
  x = net.max_pool(conv_norm_relu(net, x, "layer2", 256), 2);
  x = net.max_pool(conv_norm_relu(net, x, "layer3", 512), 2);
  x = residual(x, "layer3", 512);
  x = net.max_pool(x, std::min(net.node(x).height, net.node(x).width));
  x = net.linear(net.flatten(x), "fc", shape.classes, /*bias=*/false);
  net.scale(x, 0.125);
  return std::move(net).finish();
}

Network make_resnet18(const ModelShape& shape) {
  NetworkBuilder net("resnet18", shape);
  int x = net.conv(net.input(), "conv1", 64, k3x3);
  x = net.relu(net.batch_norm(x, "bn1"));
  std::int64_t width = 64;
  for (int layer = 1; layer <= 4; ++layer, width *= 2) {
    const std::string name = "layer" + std::to_string(layer);
    x = basic_block(net, x, name + ".0", width, layer == 1 ? 1 : 2);
    x = basic_block(net, x, name + ".1", width, 1);
  }
  net.linear(net.average_pool(x), "fc", shape.classes);
  return std::move(net).finish();
}

Network make_wide_resnet16_4(const ModelShape& shape) {
  NetworkBuilder net("wide_resnet16_4", shape);
  int x = net.conv(net.input(), "conv1", 16, k3x3);
  std::int64_t width = 64;
  for (int group = 1; group <= 3; ++group, width *= 2) {
    const std::string name = "block" + std::to_string(group) + ".layer.";
    x = wide_block(net, x, name + "0", width, group == 1 ? 1 : 2);
    x = wide_block(net, x, name + "1", width, 1);
  }
  x = net.relu(net.batch_norm(x, "bn1"));
  net.linear(net.average_pool(x), "fc", shape.classes);
  return std::move(net).finish();
}

}  // namespace cifarpipe::learn
