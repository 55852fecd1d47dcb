// The smallest useful stages of the tests: `emit` writes a file and a metric from its parameters,
// `join` puts files together, so that pipelines of any shape can be made of the two.
#include <fstream>
#include <iterator>

#include "plugins/plugin.hpp"

#ifndef EMIT_VERSION
#define EMIT_VERSION "1.0.0"
#endif

namespace {

using namespace cifarpipe;

struct EmitParams {
  std::string text = "hello";
  double value = 1.0;
  int ignored = 0;
  static Schema<EmitParams> schema() {
    return Schema<EmitParams>{}
        .field("text", &EmitParams::text, "What the file holds.")
        .field("value", &EmitParams::value, "The metric's value.")
        .field("ignored", &EmitParams::ignored, "Changes nothing.")
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

struct JoinParams {
  std::string suffix;
  static Schema<JoinParams> schema() {
    return Schema<JoinParams>{}.field("suffix", &JoinParams::suffix, "Comes after the inputs.");
  }
};

class Join : public Stage {
 public:
  using Params = JoinParams;
  static StageDescription describe() {
    StageDescription d;
    d.name = "join";
    d.summary = "Puts one or two texts into one.";
    d.inputs = {{"first", "test/text", "Comes first."},
                {"second", "test/text", "Comes second.", true}};
    d.outputs = {{"out", "test/text", "The file text.txt."}};
    d.metrics = {{"bytes", MetricInfo::Goal::none, "Length of the result."}};
    return d;
  }
  explicit Join(Params params) : params_(std::move(params)) {}

  void run(StageContext& context) override {
    std::string text;
    for (const char* port : {"first", "second"}) {
      const auto* folder = context.input(port);
      if (folder == nullptr) continue;
      std::ifstream in(*folder / "text.txt");
      text.append(std::istreambuf_iterator<char>(in), {});
    }
    text += params_.suffix;
    std::ofstream(context.output("out") / "text.txt") << text;
    context.metric("bytes", 0, static_cast<double>(text.size()));
  }

 private:
  Params params_;
};

}  // namespace

CIFARPIPE_PLUGIN("emit", EMIT_VERSION, [](StageRegistry& r) {
  r.add<Emit>();
  r.add<Join>();
})
