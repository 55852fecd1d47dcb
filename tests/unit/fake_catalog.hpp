// Stages made by hand, for tests that need a catalog but no plugins. One thread.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "pipeline/catalog.hpp"

namespace cifarpipe::test {

class FakeCatalog : public StageCatalog {
 public:
  /// download → data → train → test, with parameters of every type.
  static FakeCatalog standard();

  StageType& add(StageDescription description, std::string version = "1.0.0") {
    StageType type;
    type.plugin_name = description.name;
    type.plugin_version = std::move(version);
    type.plugin_path = "/plugins/" + description.name + ".stage.so";
    type.build_id = "0123abcd";
    type.description = std::move(description);
    const std::string name = type.description.name;
    return types_[name] = std::move(type);
  }
  void add_problem(std::string uses, std::string why) {
    all_problems_.push_back({"/plugins/" + uses + ".stage.so", why, {uses}});
    problems_[std::move(uses)] = std::move(why);
  }

  const StageType* find(std::string_view uses) const override {
    const auto found = types_.find(uses);
    return found == types_.end() ? nullptr : &found->second;
  }
  std::vector<std::string> names() const override {
    std::vector<std::string> out;
    for (const auto& [name, type] : types_) out.push_back(name);
    return out;
  }
  std::optional<std::string> problem_for(std::string_view uses) const override {
    const auto found = problems_.find(uses);
    if (found == problems_.end()) return std::nullopt;
    return found->second;
  }
  const std::vector<Problem>& problems() const override { return all_problems_; }

 private:
  std::map<std::string, StageType, std::less<>> types_;
  std::vector<Problem> all_problems_;
  std::map<std::string, std::string, std::less<>> problems_;
};

namespace fake {

struct Download {
  std::filesystem::path source = "cifar10";
  std::string sha256;
  std::string token;
  static Schema<Download> schema() {
    return Schema<Download>{}
        .field("source", &Download::source, "Where the data comes from.")
        .input_path({"cifar10", "synthetic"})
        .field("sha256", &Download::sha256, "Digest that the archive must have.")
        .field("token", &Download::token, "For a private server.")
        .secret();
  }
};

struct Data {
  double val_fraction = 0;
  std::vector<double> mean = {0.4914, 0.4822, 0.4465};
  std::vector<std::int64_t> sizes;
  std::vector<bool> flags;
  std::vector<std::string> classes;
  std::vector<std::filesystem::path> extra;
  Groups groups;
  std::filesystem::path list;
  static Schema<Data> schema() {
    return Schema<Data>{}
        .field("val_fraction", &Data::val_fraction, "Share of the training split.")
        .range(0, 0.5)
        .field("mean", &Data::mean, "Of each channel.")
        .range(0, 1)
        .field("sizes", &Data::sizes, "Some integers.")
        .field("flags", &Data::flags, "Some booleans.")
        .field("classes", &Data::classes, "Names.")
        .field("extra", &Data::extra, "More folders.")
        .field("groups", &Data::groups, "Classes made of classes.")
        .field("list", &Data::list, "A CSV file.")
        .rule({length_of("sizes") == 2}, {is_ascending("sizes") == true},
              "'sizes' = {sizes} must ascend")
        .rule({}, {is_distinct("classes") == true}, "'classes' = {classes} has a name twice")
        .rule({length_of("flags") > 0}, {length_of("flags") == 2},
              "'flags' = {flags} must be two switches");
  }
};

struct Train {
  int epochs = 20;
  int warmup = 0;
  double lr = 1e-3;
  double momentum = 0;
  std::string optimizer = "adam";
  bool augment = true;
  int old_batch = 0;
  static Schema<Train> schema() {
    return Schema<Train>{}
        .field("epochs", &Train::epochs, "Passes over the training split.")
        .range(1, 10000)
        .unit("epochs")
        .field("warmup", &Train::warmup, "Epochs with a rising rate.")
        .at_least(0)
        .field("lr", &Train::lr, "Peak learning rate.")
        .range(1e-8, 100)
        .field("momentum", &Train::momentum, "For sgd.")
        .range(0, 1)
        .field("optimizer", &Train::optimizer, "Update rule.")
        .one_of({"adam", "adamw", "sgd"})
        .field("augment", &Train::augment, "Crop and flip.")
        .field("old_batch", &Train::old_batch, "Batch size.")
        .deprecated("use 'batch_size'")
        .rule({Param("momentum") == 1.0}, {is_wired("init") == true},
              "with 'momentum' = {momentum} the input 'init' must say what to begin from")
        .rule({}, {Param("warmup") <= Param("epochs")},
              "'warmup' = {warmup} is longer than 'epochs' = {epochs}")
        .rule({Param("optimizer") == "adam"}, {Param("momentum") == 0.0},
              "'momentum' = {momentum} has no meaning for adam; use optimizer = \"sgd\"");
  }
};

struct Evaluate {
  std::string split = "test";
  static Schema<Evaluate> schema() {
    return Schema<Evaluate>{}
        .field("split", &Evaluate::split, "Which images.")
        .one_of({"train", "val", "test"});
  }
};

struct Export {
  std::string format;
  static Schema<Export> schema() {
    return Schema<Export>{}.field("format", &Export::format, "Kind of file.").required();
  }
};

template <class P>
StageDescription describe(std::string name, std::vector<Port> in, std::vector<Port> out) {
  StageDescription d;
  d.name = std::move(name);
  d.summary = "A stage for tests.";
  d.params = P::schema().info();
  d.inputs = std::move(in);
  d.outputs = std::move(out);
  return d;
}

}  // namespace fake

inline FakeCatalog FakeCatalog::standard() {
  FakeCatalog out;
  const Port archive{"archive", "archive/cifar", "", false};
  const Port dataset{"dataset", "dataset/images", "", false};
  const Port model{"model", "model/classifier", "", false};
  const Port init{"init", "model/classifier", "", true};
  const Port report{"report", "report/evaluation", "", false};
  out.add(fake::describe<fake::Download>("download", {}, {archive}));
  out.add(fake::describe<fake::Data>("preprocess", {archive}, {dataset}));
  out.add(fake::describe<fake::Train>("train", {dataset, init}, {model}));
  out.add(fake::describe<fake::Evaluate>("evaluate", {dataset, model}, {report}));
  out.add(fake::describe<fake::Export>("export", {model}, {{"onnx", "model/onnx", "", false}}));
  out.add_problem("blur", "/plugins/blur.stage.so was built for libtorch 2.11, this is 2.13");
  return out;
}

}  // namespace cifarpipe::test
