// A network that learns in few epochs, after Jordan's airbench (arXiv 2404.00498): fixed whitening
// of 2x2 patches, three groups of two convolutions that begin as the identity, batch norms
// without a learned scale, logits divided by 9.
#include <algorithm>

#include "stages/learn/architectures/architectures.hpp"

namespace cifarpipe::learn {

Network make_fastnet(const ModelShape& shape, const std::vector<std::int64_t>& widths) {
  NetworkBuilder net("fastnet", shape);
  // Running statistics follow fast, since there are few batches.
  const NormOptions norm{1e-12, 0.4, /*scale_learned=*/false};
  const ConvOptions dirac{3, 1, 1, /*bias=*/false, Init::dirac};
  // As many filters as a 2x2 patch has numbers, and their negatives.
  const std::int64_t patches = 2 * 4 * shape.channels;
  int x = net.conv(net.input(), "whiten", patches,
                   {2, 1, 0, /*bias=*/true, Init::whitening, Init::zero});
  x = net.gelu(x);
  int number = 1;
  for (const auto width : widths) {
    const std::string name = "group" + std::to_string(number++);
    x = net.max_pool(net.conv(x, name + ".conv1", width, dirac), 2);
    x = net.gelu(net.batch_norm(x, name + ".norm1", norm));
    x = net.conv(x, name + ".conv2", width, dirac);
    x = net.gelu(net.batch_norm(x, name + ".norm2", norm));
  }
  x = net.max_pool(x, std::max<std::int64_t>(1, std::min(net.node(x).height, net.node(x).width)));
  x = net.linear(net.flatten(x), "head", shape.classes, /*bias=*/false);
  net.scale(x, 1.0 / 9);
  return std::move(net).finish();
}

}  // namespace cifarpipe::learn
