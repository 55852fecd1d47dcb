#include "stages/learn/cifar10net.hpp"

#include <ATen/ops/relu.h>

namespace cifarpipe::learn {
namespace {

constexpr std::int64_t kHidden = 512;

class Cifar10Net : public Model {
 public:
  explicit Cifar10Net(const ModelShape& shape)
      : block1_(shape.channels, 32, 0.25, format(shape)),
        block2_(32, 64, 0.25, format(shape)),
        block3_(64, 128, 0.25, format(shape)),
        fc1_(128 * (shape.height / 8) * (shape.width / 8), kHidden),
        fc2_(kHidden, shape.classes) {
    int number = 1;
    for (const ConvBlock* block : {&block1_, &block2_, &block3_}) {
      for (const auto& [conv, norm] : {std::pair{&block->first, &block->first_norm},
                                       std::pair{&block->second, &block->second_norm}}) {
        add("conv" + std::to_string(number), *conv);
        add("bn" + std::to_string(number), *norm);
        ++number;
      }
    }
    add("fc1", fc1_);
    add("fc2", fc2_);
  }

  at::Tensor forward(const at::Tensor& images, ForwardPass& pass) override {
    at::Tensor x = block1_.forward(images, pass);
    x = block2_.forward(x, pass);
    x = block3_.forward(x, pass);
    x = x.flatten(1);  // Channel-major, whatever the memory order is.
    x = fc1_.forward(x);
    x = pass.dropout(at::relu_(x), 0.5);
    return fc2_.forward(x);
  }

 private:
  static at::MemoryFormat format(const ModelShape& shape) {
    return shape.channels_last ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
  }

  ConvBlock block1_;
  ConvBlock block2_;
  ConvBlock block3_;
  Linear fc1_;
  Linear fc2_;
};

}  // namespace

std::unique_ptr<Model> make_cifar10net(const ModelShape& shape) {
  if (shape.height % 8 != 0 || shape.width % 8 != 0 || shape.height < 8 || shape.width < 8) {
    throw Error("cifar10net takes images whose sides are multiples of 8, not " +
                std::to_string(shape.height) + "x" + std::to_string(shape.width));
  }
  return std::make_unique<Cifar10Net>(shape);
}

}  // namespace cifarpipe::learn
