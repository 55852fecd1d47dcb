// `weather` depends on what no key knows: the variable CIFARPIPE_TEST_WEATHER shifts its loss at
// step 3 and stands in its output. Without it, or with the same, equal runs are equal.
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <limits>

#include "plugins/plugin.hpp"

namespace {

using namespace cifarpipe;

struct WeatherParams {
  std::filesystem::path file;
  std::string url;
  int steps = 5;
  int nan_at = 0;
  static Schema<WeatherParams> schema() {
    return Schema<WeatherParams>{}
        .field("file", &WeatherParams::file, "Its content comes first in the output.")
        .input_path()
        .field("url", &WeatherParams::url, "Recorded as where the result came from.")
        .field("steps", &WeatherParams::steps, "Points of the loss.")
        .range(0, 1e6)
        .field("nan_at", &WeatherParams::nan_at, "The step at which the loss is not a number.")
        .range(0, 1e6);
  }
};

class Weather : public Stage {
 public:
  using Params = WeatherParams;
  static StageDescription describe() {
    StageDescription d;
    d.name = "weather";
    d.summary = "Changes with the environment.";
    d.numerics.threads = true;
    d.outputs = {{"out", "test/text", "The file text.txt."}};
    d.metrics = {{"loss", MetricInfo::Goal::minimize, "Falls with each step."},
                 {"steps_per_second", MetricInfo::Goal::none, "Never twice the same."}};
    return d;
  }
  explicit Weather(Params params) : params_(std::move(params)) {}

  void run(StageContext& context) override {
    const char* text = std::getenv("CIFARPIPE_TEST_WEATHER");
    const double weather = text == nullptr ? 0.0 : std::atof(text);
    if (weather < 0) throw Error("it rains");
    for (int step = 1; step <= params_.steps; ++step) {
      double loss = 1.0 / step + (step == 3 ? weather : 0.0);
      if (step == params_.nan_at) loss = std::numeric_limits<double>::quiet_NaN();
      context.metric("loss", step, loss);
    }
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    context.metric("steps_per_second", 0, static_cast<double>(now.count()));
    if (!params_.url.empty()) context.record("url", params_.url);
    std::ofstream out(context.output("out") / "text.txt");
    if (!params_.file.empty()) out << std::ifstream(params_.file).rdbuf();
    out << weather << '\n';
  }

 private:
  Params params_;
};

}  // namespace

CIFARPIPE_PLUGIN("weather", "1.0.0", [](StageRegistry& r) { r.add<Weather>(); })
