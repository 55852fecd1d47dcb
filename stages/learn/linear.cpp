#include "stages/learn/linear.hpp"

namespace cifarpipe::learn {
namespace {

class LinearModel : public Model {
 public:
  explicit LinearModel(const ModelShape& shape)
      : fc_(shape.channels * shape.height * shape.width, shape.classes) {
    add("fc", fc_);
  }

  at::Tensor forward(const at::Tensor& images, ForwardPass&) override {
    return fc_.forward(images.flatten(1));
  }

 private:
  Linear fc_;
};

}  // namespace

std::unique_ptr<Model> make_linear(const ModelShape& shape) {
  return std::make_unique<LinearModel>(shape);
}

}  // namespace cifarpipe::learn
