// The same product in a worker, in a plugin that links OpenCV and thereby OpenBLAS.
#include <fstream>
#include <opencv2/core.hpp>

#include "plugins/plugin.hpp"
#include "product.hpp"

namespace {

struct NoParams {
  static cifarpipe::Schema<NoParams> schema() { return {}; }
};

class Product : public cifarpipe::Stage {
 public:
  using Params = NoParams;
  static cifarpipe::StageDescription describe() {
    cifarpipe::StageDescription d;
    d.name = "product";
    d.summary = "Writes the bits of a fixed matrix product.";
    d.outputs = {{"out", "test/text", "The file text.txt."}};
    return d;
  }
  explicit Product(Params) {}
  void run(cifarpipe::StageContext& context) override {
    const cv::Mat one = cv::Mat::eye(64, 64, CV_32F) * cv::Mat::eye(64, 64, CV_32F);
    std::ofstream(context.output("out") / "text.txt")
        << product_bits() << (one.at<float>(0, 0) == 1.0f ? "\n" : "?\n");
  }
};

}  // namespace

CIFARPIPE_PLUGIN("product", "1.0.0", [](cifarpipe::StageRegistry& r) { r.add<Product>(); })
