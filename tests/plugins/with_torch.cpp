// A stage that links libtorch and, through a macro of its headers, holds a path to them: what
// would make the build-id differ between two folders if nobody took care.
#include <c10/util/ArrayRef.h>

#include "plugins/plugin.hpp"

namespace {

using namespace cifarpipe;

struct TorchParams {
  int value = 1;
  static Schema<TorchParams> schema() {
    return Schema<TorchParams>{}.field("value", &TorchParams::value, "Zero makes it fail.");
  }
};

class WithTorch : public Stage {
 public:
  using Params = TorchParams;
  static StageDescription describe() {
    StageDescription d;
    d.name = "with_torch";
    d.summary = "Throws a c10::Error if it is told to.";
    d.numerics.threads = true;
    return d;
  }
  explicit WithTorch(Params params) : params_(params) {}
  void run(StageContext&) override {
    TORCH_CHECK(params_.value != 0, "the value is zero");
    const int numbers[] = {1, 2, 3};
    // Its check, with the header's name in the message, is compiled in here.
    c10::ArrayRef<int>(numbers).slice(static_cast<std::size_t>(params_.value), 1);
  }

 private:
  Params params_;
};

}  // namespace

CIFARPIPE_PLUGIN("with_torch", "1.0.0", [](StageRegistry& r) { r.add<WithTorch>(); })
