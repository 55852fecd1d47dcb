// `slow` takes as many steps as asked, each with a metric, saves checkpoints, goes on from them and
// observes stop requests; its output does not depend on where it was interrupted. `fail` fails.
#include <chrono>
#include <fstream>
#include <thread>

#include "plugins/plugin.hpp"

namespace {

using namespace cifarpipe;

struct SlowParams {
  int steps = 10;
  int step_ms = 10;
  int checkpoint_every = 1;
  static Schema<SlowParams> schema() {
    return Schema<SlowParams>{}
        .field("steps", &SlowParams::steps, "How many steps.")
        .range(1, 1e6)
        .field("step_ms", &SlowParams::step_ms, "What a step takes.")
        .range(0, 60000)
        .unit("ms")
        .no_effect()
        .field("checkpoint_every", &SlowParams::checkpoint_every, "Steps; 0: only on stop.")
        .range(0, 1e6)
        .no_effect();
  }
};

class Slow : public Stage {
 public:
  using Params = SlowParams;
  static StageDescription describe() {
    StageDescription d;
    d.name = "slow";
    d.summary = "Takes its time.";
    d.uses_seed = true;
    d.inputs = {{"text", "test/text", "Comes first in the output.", true}};
    d.outputs = {{"out", "test/text", "The file text.txt."}};
    d.metrics = {{"loss", MetricInfo::Goal::minimize, "Falls with each step."}};
    return d;
  }
  explicit Slow(Params params) : params_(params) {}

  void run(StageContext& context) override {
    int step = 0;
    std::uint64_t sum = context.seed();
    if (const auto dir = context.checkpoint()) std::ifstream(*dir / "state") >> step >> sum;
    const auto save = [&] {
      context.save_checkpoint([&](const std::filesystem::path& dir) {
        std::ofstream(dir / "state") << step << ' ' << sum << '\n';
      });
    };
    const MetricId loss = context.metric_id("loss");
    while (step < params_.steps) {
      std::this_thread::sleep_for(std::chrono::milliseconds(params_.step_ms));
      ++step;
      sum = sum * 6364136223846793005u + 1442695040888963407u;
      context.metric(loss, step, 1.0 / step + static_cast<double>(sum >> 40) * 0x1p-30);
      context.progress(
          {static_cast<double>(step), static_cast<double>(params_.steps), "steps", {}});
      if (params_.checkpoint_every > 0 && step % params_.checkpoint_every == 0) save();
      if (context.stop().stop_requested()) {
        save();
        throw Interrupted();
      }
    }
    std::ofstream(context.output("out") / "text.txt") << step << ' ' << sum << '\n';
  }

 private:
  Params params_;
};

struct FailParams {
  std::string message = "this stage always fails";
  int points = 0;
  std::filesystem::path unless;
  static Schema<FailParams> schema() {
    return Schema<FailParams>{}
        .field("message", &FailParams::message, "What it says.")
        .no_effect()
        .field("points", &FailParams::points, "Metric points before it fails.")
        .range(0, 1e6)
        .field("unless", &FailParams::unless, "It succeeds if this path exists.")
        .no_effect();
  }
};

class Fail : public Stage {
 public:
  using Params = FailParams;
  static StageDescription describe() {
    StageDescription d;
    d.name = "fail";
    d.summary = "Fails with a message.";
    d.inputs = {{"text", "test/text", "Only there to come after something.", true}};
    d.outputs = {{"out", "test/text", "The file text.txt."}};
    d.metrics = {{"loss", MetricInfo::Goal::minimize, "As many points as asked."}};
    return d;
  }
  explicit Fail(Params params) : params_(std::move(params)) {}

  void run(StageContext& context) override {
    for (int i = 1; i <= params_.points; ++i) context.metric("loss", i, 1.0 / i);
    std::ofstream(context.output("out") / "text.txt") << "made it\n";
    if (params_.unless.empty() || !std::filesystem::exists(params_.unless)) {
      throw Error(params_.message);
    }
  }

 private:
  Params params_;
};

}  // namespace

CIFARPIPE_PLUGIN("slow", "1.0.0", [](StageRegistry& r) {
  r.add<Slow>();
  r.add<Fail>();
})
