// `leaky` tells everything it knows in every way that a stage has: for the tests of secrets.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include "plugins/plugin.hpp"

namespace {

using namespace cifarpipe;

struct LeakyParams {
  std::string pin;
  std::string api_key;
  std::string source;
  std::string variable;
  bool fail = false;
  static Schema<LeakyParams> schema() {
    return Schema<LeakyParams>{}
        .field("pin", &LeakyParams::pin, "Declared a secret.")
        .secret()
        .field("api_key", &LeakyParams::api_key, "A secret by its name alone.")
        .field("source", &LeakyParams::source, "An address.")
        .field("variable", &LeakyParams::variable, "A variable to be printed.")
        .no_effect()
        .field("fail", &LeakyParams::fail, "Ends with an error that has everything in it.");
  }
};

class Leaky : public Stage {
 public:
  using Params = LeakyParams;
  static StageDescription describe() {
    StageDescription d;
    d.name = "leaky";
    d.summary = "Keeps nothing to itself.";
    d.outputs = {{"out", "test/text", "The file text.txt, without any of it."}};
    return d;
  }
  explicit Leaky(Params params) : params_(std::move(params)) {}

  void run(StageContext& context) override {
    const char* variable = std::getenv(params_.variable.c_str());
    const std::string all = "pin " + params_.pin + ", key " + params_.api_key + ", source " +
                            params_.source + ", variable " +
                            (variable != nullptr ? variable : "none");
    context.info("logged " + all);
    context.log(LogLevel::debug, all);
    context.progress({1, 2, "steps", all});
    context.record("seen", all);
    std::printf("printed %s\n", all.c_str());
    std::fprintf(stderr, "complained %s\n", all.c_str());
    std::fflush(stdout);
    if (params_.fail) throw Error("failed with " + all);
    std::ofstream(context.output("out") / "text.txt") << "quiet\n";
  }

 private:
  Params params_;
};

}  // namespace

CIFARPIPE_PLUGIN("leaky", "1.0.0", [](StageRegistry& r) { r.add<Leaky>(); })
