// Stage types and cells made by hand, for tests of keys, graphs and plans without any file.
#pragma once

#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/config.hpp"

namespace cifarpipe::test {

inline FieldInfo field(std::string name, Type type, Value value) {
  FieldInfo info;
  info.name = std::move(name);
  info.type = type;
  info.default_value = std::move(value);
  return info;
}

/// source → data → train → test, as in the shipped files but without their plugins.
class FakeTypes {
 public:
  FakeTypes() {
    StageType& source = add("source");
    FieldInfo path = field("path", Type::path, std::string("synthetic"));
    path.input_path = true;
    path.keywords = {"synthetic"};
    source.description.params.fields = {path};
    source.description.outputs = {{"files", "files/raw", "", false}};

    StageType& data = add("data");
    data.description.uses_seed = true;
    data.description.inputs = {{"files", "files/raw", "", false}};
    data.description.outputs = {{"dataset", "dataset/images", "", false}};

    StageType& train = add("train");
    train.description.uses_seed = true;
    train.description.numerics = {true, true, true};
    train.torch_version = "2.13.0";
    FieldInfo quiet = field("log_every", Type::integer, std::int64_t{10});
    quiet.no_effect = true;
    train.description.params.fields = {
        field("lr", Type::number, 1e-3), field("epochs", Type::integer, std::int64_t{2}),
        field("precision", Type::string, std::string("auto")), quiet};
    train.description.inputs = {{"data", "dataset/images", "", false}};
    train.description.outputs = {{"model", "model/classifier", "", false}};
  }

  StageType& type(std::string_view name) {
    for (StageType& t : types_) {
      if (t.description.name == name) return t;
    }
    throw Error("no such type");
  }

  StageInstance instance(std::string name, std::string_view uses,
                         std::vector<std::pair<std::string, std::string>> wires = {}) {
    StageInstance stage;
    stage.name = std::move(name);
    stage.type = &type(uses);
    for (const FieldInfo& f : stage.type->description.params.fields) {
      stage.params.emplace_back(f.name, f.default_value);
    }
    for (auto& [port, from] : wires) {
      const auto dot = from.find('.');
      stage.inputs.emplace_back(port,
                                InputSource{"", from.substr(0, dot), from.substr(dot + 1), {}});
    }
    return stage;
  }

  /// The three-stage pipeline as one cell.
  Cell cell() {
    Cell c;
    c.seed = 42;
    c.stages = {instance("source", "source"), instance("data", "data", {{"files", "source.files"}}),
                instance("train", "train", {{"data", "data.dataset"}})};
    return c;
  }

 private:
  StageType& add(std::string name) {
    StageType t;
    t.plugin_name = name;
    t.build_id = "build-" + name;
    t.description.name = std::move(name);
    return types_.emplace_back(std::move(t));
  }
  std::deque<StageType> types_;
};

inline void set(StageInstance& stage, std::string_view name, Value value) {
  for (auto& [key, old] : stage.params) {
    if (key == name) old = std::move(value);
  }
}

}  // namespace cifarpipe::test
