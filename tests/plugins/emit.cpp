// Writes one file and one metric from its parameters: the smallest useful stage of the tests.
#include <fstream>

#include "plugins/plugin.hpp"

namespace {

using namespace cifarpipe;

struct EmitParams {
  std::string text = "hello";
  double value = 1.0;
  int revision_of_nothing = 0;
  static Schema<EmitParams> schema() {
    return Schema<EmitParams>{}
        .field("text", &EmitParams::text, "What the file holds.")
        .field("value", &EmitParams::value, "The metric's value.")
        .field("revision_of_nothing", &EmitParams::revision_of_nothing, "Changes nothing.")
        .no_effect();
  }
};

class Emit : public Stage {
 public:
  using Params = EmitParams;
  static StageDescription describe() {
    StageDescription d;
    d.name = "emit";
    d.summary = "Writes a file and a metric.";
    d.outputs = {{"out", "test/text", "The file text.txt."}};
    d.metrics = {{"value", MetricInfo::Goal::maximize, "The parameter 'value'."}};
    return d;
  }
  explicit Emit(Params params) : params_(std::move(params)) {}

  void run(StageContext& context) override {
    std::ofstream(context.output("out") / "text.txt") << params_.text << '\n';
    context.metric("value", 0, params_.value);
  }

 private:
  Params params_;
};

}  // namespace

CIFARPIPE_PLUGIN("emit", "1.0.0", [](StageRegistry& r) { r.add<Emit>(); })
