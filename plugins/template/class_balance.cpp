// A stage of one's own, complete: how many images has each class of a dataset? Copy this folder,
// rename, replace what `run` does.
#include <algorithm>
#include <cstdint>
#include <fstream>
#include <nlohmann/json.hpp>

#include "plugins/plugin.hpp"

namespace {

using namespace cifarpipe;
namespace fs = std::filesystem;

// 1. The parameters. The initialisers are the defaults; the schema is what `cifarpipe check` holds
// against the file and what `cifarpipe stages class_balance` shows.
struct Params {
  std::string split = "train";
  double max_imbalance = 0;

  static Schema<Params> schema() {
    return Schema<Params>{}
        .field("split", &Params::split, "The split whose images are counted.")
        .one_of({"train", "validation", "test"})
        .field("max_imbalance", &Params::max_imbalance,
               "Fail if the largest class has more than this many times the images of the "
               "smallest; 0 never fails.")
        .at_least(0);
  }
};

// The labels of a split: one little-endian int32 an image.
std::vector<std::int32_t> read_labels(const fs::path& file, std::size_t count) {
  std::vector<std::int32_t> labels(count);
  std::ifstream in(file, std::ios::binary);
  const auto bytes = static_cast<std::streamsize>(count * sizeof(std::int32_t));
  if (!in.read(reinterpret_cast<char*>(labels.data()), bytes)) {
    // What is thrown is what the user reads, after the stage's name: say what is wrong and where.
    throw Error("cannot read " + std::to_string(bytes) + " bytes of labels from " + file.string());
  }
  return labels;
}

// 2. The stage.
class ClassBalance : public Stage {
 public:
  using Params = ::Params;

  // All that is known about it without running it. An input port takes only outputs of its own
  // type; where exactly one stage makes that type, it is wired by itself.
  static StageDescription describe() {
    StageDescription d;
    d.name = "class_balance";
    d.summary = "Counts the images of each class.";
    d.revision = 1;  // Raise it when the same input gives other results.
    d.inputs = {{"data", "dataset/images", "What preprocess makes."}};
    d.outputs = {{"table", "table/csv", "balance.csv: class, images, share."}};
    d.metrics = {{"images", MetricInfo::Goal::none, "Images in the split."},
                 {"imbalance", MetricInfo::Goal::minimize, "Largest class / smallest class."},
                 {"class_share/*", MetricInfo::Goal::none, "A class's share of the images."}};
    return d;
  }

  explicit ClassBalance(Params params) : params_(std::move(params)) {}

  // Read inputs, write outputs; what is written must depend on inputs and parameters alone.
  void run(StageContext& context) override {
    const fs::path& data = *context.input("data");
    const auto info = nlohmann::json::parse(std::ifstream(data / "dataset.json"));
    const auto classes = info.at("classes").get<std::vector<std::string>>();
    if (!info.at("splits").contains(params_.split)) {
      throw Error("the dataset has no split '" + params_.split + "'");
    }
    const auto total = info["splits"][params_.split].at("count").get<std::size_t>();

    std::vector<std::size_t> counts(classes.size());
    for (const auto label : read_labels(data / (params_.split + ".labels.bin"), total)) {
      ++counts.at(static_cast<std::size_t>(label));
    }

    std::ofstream table(context.output("table") / "balance.csv");
    table << "class,images,share\n";
    for (std::size_t i = 0; i < classes.size(); ++i) {
      context.throw_if_stopped();
      const double share = total == 0 ? 0 : static_cast<double>(counts[i]) / total;
      table << classes[i] << ',' << counts[i] << ',' << share << '\n';
      context.metric("class_share/" + classes[i], 0, share);
    }
    if (!table.flush()) throw Error("cannot write balance.csv");

    const auto [smallest, largest] = std::minmax_element(counts.begin(), counts.end());
    const double imbalance = static_cast<double>(*largest) / std::max<std::size_t>(*smallest, 1);
    context.metric("images", 0, static_cast<double>(total));
    context.metric("imbalance", 0, imbalance);
    context.info("largest class / smallest class = " + std::to_string(imbalance));
    if (params_.max_imbalance > 0 && imbalance > params_.max_imbalance) {
      throw Error("the classes are too unequal: " + std::to_string(imbalance) + " > max_imbalance");
    }
  }

 private:
  Params params_;
};

}  // namespace

// 3. What makes it a plugin.
CIFARPIPE_PLUGIN("class_balance", "1.0.0", [](StageRegistry& r) { r.add<ClassBalance>(); })
