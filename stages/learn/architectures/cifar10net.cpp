#include "stages/learn/architectures/architectures.hpp"
#include "stages/learn/files.hpp"

namespace cifarpipe::learn {

Network make_cifar10net(const ModelShape& shape) {
  if (shape.height % 8 != 0 || shape.width % 8 != 0 || shape.height < 8 || shape.width < 8) {
    throw Error("cifar10net takes images whose sides are multiples of 8, not " +
                    std::to_string(shape.height) + "x" + std::to_string(shape.width) +
                    " (height x width)",
                ErrorKind::usage);
  }
  NetworkBuilder net("cifar10net", shape);
  int x = net.input();
  int number = 1;
  for (const int width : {32, 64, 128}) {
    for (int i = 0; i < 2; ++i, ++number) {
      x = net.conv(x, "conv" + std::to_string(number), width);
      x = net.relu(net.batch_norm(x, "bn" + std::to_string(number)));
    }
    x = net.dropout(net.max_pool(x, 2), 0.25);
  }
  x = net.relu(net.linear(net.flatten(x), "fc1", 512));
  net.linear(net.dropout(x, 0.5), "fc2", shape.classes);
  return std::move(net).finish();
}

Network make_linear(const ModelShape& shape) {
  NetworkBuilder net("linear", shape);
  net.linear(net.flatten(net.input()), "fc", shape.classes);
  return std::move(net).finish();
}

}  // namespace cifarpipe::learn
