// The models that a run's export stages made, with all that `mlflow models serve` wants.
#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "pipeline/digest.hpp"
#include "tracking/content_example.hpp"
#include "tracking/content_run.hpp"

namespace cifarpipe::content {
namespace {

using nlohmann::ordered_json;

constexpr const char* kPort = "export";
constexpr const char* kPython = "3.11.9";  // Only named: nothing here was made by one.

/// What a model takes and gives, as its export stage recorded it (docs/export.md).
struct ModelPorts {
  std::vector<ModelPort> inputs;
  std::vector<ModelPort> outputs;
};

std::vector<ModelPort> ports_of(const ordered_json& list) {
  std::vector<ModelPort> out;
  for (const ordered_json& one : list) {
    out.push_back({one.at("name"), one.at("dtype"), one.at("shape")});
  }
  if (out.empty()) throw std::invalid_argument("a model without inputs or outputs");
  return out;
}

/// Nothing if it recorded none that can be read: a stage of somebody else's.
std::optional<ModelPorts> ports_of(const StageRow& stage) {
  for (const auto& fact : stage.facts) {
    if (fact.first != kSignatureFact) continue;
    try {
      const ordered_json json = ordered_json::parse(fact.second);
      return ModelPorts{ports_of(json.at("inputs")), ports_of(json.at("outputs"))};
    } catch (const std::exception&) {
      return std::nullopt;
    }
  }
  return std::nullopt;
}

/// What an export stage's files tell, and those of the stages around it.
struct Exported {
  const StageRow& stage;
  const StageRow* learner = nullptr;  ///< Whose model it is, if that is of this run.
  ordered_json info;                  ///< model.json; empty object if not known.
  std::vector<const StageRow*> judges;
  std::optional<ModelPorts> ports;
};

Exported look_at(const RunView& view, const StageRow& stage) {
  Exported out{stage, nullptr, ordered_json::object(), {}, ports_of(stage)};
  const auto source = view.wiring.input(stage.name, "model");
  if (source) {
    out.learner = view.stage(source->stage);
    for (const StageRow& other : view.stages) {
      if (other.uses == "evaluate" && view.wiring.input(other.name, "model") == source) {
        out.judges.push_back(&other);
      }
    }
  }
  if (out.learner != nullptr) {
    const auto file = view.file(*out.learner, source->port, "model.json");
    auto json = file ? read_json(file->file) : std::nullopt;
    if (json && json->is_object()) out.info = std::move(*json);
  }
  return out;
}

std::string text_of(const ordered_json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_string() ? found->get<std::string>() : "";
}

std::int64_t number_of(const ordered_json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_number_integer() ? found->get<std::int64_t>() : 0;
}

/// "cifar10net-e020", "cifar10net-torchscript-e020"; of a stage with another name with that.
std::string name_of(const Exported& exported, const char* kind) {
  std::string name = text_of(exported.info, "architecture");
  if (name.empty()) name = "model";
  if (exported.stage.name != "export") name += "-" + exported.stage.name;
  if (*kind != '\0') name += fmt::format("-{}", kind);
  if (const auto epoch = number_of(exported.info, "epoch"); epoch > 0) {
    name += fmt::format("-e{:03}", epoch);
  }
  return plain_name(name);
}

/// Of a release; of a version under development nothing can be installed.
std::string mlflow_requirement(const mlflow::Server& server) {
  const bool release = !server.version.empty() &&
                       server.version.find_first_not_of("0123456789.") == std::string::npos;
  return release ? "mlflow==" + server.version : "mlflow<4";
}

ordered_json tensors_json(const std::vector<ModelPort>& ports, bool named) {
  ordered_json out = ordered_json::array();
  for (const ModelPort& port : ports) {
    ordered_json one = ordered_json::object();
    if (named) one["name"] = port.name;
    one["type"] = "tensor";
    one["tensor-spec"] = {{"dtype", port.dtype}, {"shape", port.shape}};
    out.push_back(std::move(one));
  }
  return out;
}

std::string signature_json(const ModelPorts& ports, bool named) {
  return dump({{"inputs", dump(tensors_json(ports.inputs, named))},
               {"outputs", dump(tensors_json(ports.outputs, named))},
               {"params", nullptr}});
}

void add_environment(const RunView& view, const std::vector<std::string>& packages,
                     ModelContent& model) {
  std::string requirements = mlflow_requirement(view.server) + "\n";
  for (const std::string& package : packages) requirements += package + "\n";
  std::string pip;
  for (std::size_t at = 0; at < requirements.size();) {
    const std::size_t end = requirements.find('\n', at);
    pip += "  - " + requirements.substr(at, end - at) + "\n";
    at = end + 1;
  }
  model.files.push_back(text_upload("requirements.txt", requirements));
  model.files.push_back(text_upload(
      "python_env.yaml",
      fmt::format("python: {}\nbuild_dependencies:\n- pip\n- setuptools\n- wheel\ndependencies:\n"
                  "- -r requirements.txt\n",
                  kPython)));
  model.files.push_back(text_upload(
      "conda.yaml", fmt::format("channels:\n- conda-forge\ndependencies:\n- python={}\n- pip\n"
                                "- pip:\n{}name: mlflow-env\n",
                                kPython, pip)));
}

ordered_json python_function(const char* data, const char* loader) {
  return {{"data", data},
          {"env", {{"conda", "conda.yaml"}, {"virtualenv", "python_env.yaml"}}},
          {"loader_module", loader},
          {"python_version", kPython}};
}

/// What both flavors share. `ports` are the model's.
ModelContent start_model(const RunView& view, const Exported& exported, const char* kind,
                         const ModelPorts& ports, Upload weights, std::uint64_t size) {
  ModelContent model;
  model.uid = sha256(fmt::format("{}/{}/{}", view.run.record.id, exported.stage.name,
                                 *kind == '\0' ? "onnx" : kind))
                  .substr(0, 32);
  model.name = name_of(exported, kind);
  model.step = number_of(exported.info, "epoch");
  model.size = size;
  model.created_ms = view.published_ms(exported.stage);
  model.mlflow_version = view.server.version;
  model.files.push_back(std::move(weights));
  const std::string example = input_example(view, exported.stage, exported.info, ports.inputs[0]);
  if (!example.empty()) {
    model.files.push_back(text_upload("input_example.json", example));
    model.files.push_back(
        text_upload("serving_input_example.json", fmt::format("{{\"inputs\": {}}}", example)));
  }
  return model;
}

/// The figures of the stages that judged the same model, and of the export's own check.
void add_metrics(const RunView& view, const Exported& exported, ModelContent& model) {
  const auto is_of = [](const MetricSummary& metric, const StageRow& stage) {
    return metric.step == 0 && metric.key.starts_with(stage.name + "/");
  };
  for (const MetricSummary& metric : view.metrics) {
    const bool judged = std::any_of(exported.judges.begin(), exported.judges.end(),
                                    [&](const StageRow* judge) { return is_of(metric, *judge); });
    const bool checked = exported.judges.empty() && is_of(metric, exported.stage) &&
                         metric.key.find("int8") == std::string::npos &&
                         metric.key.find("/val_") == std::string::npos;
    if (judged || checked) model.metric_keys.push_back(metric.key);
  }
  const StageRow& judge = exported.judges.empty() ? exported.stage : *exported.judges.front();
  const std::string split = exported.judges.empty() ? "test" : view.param(judge.name + ".split");
  const auto source = view.wiring.input(judge.name, "data");
  const StageRow* data = source ? view.stage(source->stage) : nullptr;
  const auto dataset = data != nullptr ? dataset_of(view, *data, split) : std::nullopt;
  if (!dataset) return;
  model.dataset_name = dataset->name;
  model.dataset_digest = dataset->digest;
}

std::optional<ModelContent> onnx_model(const RunView& view, const Exported& exported) {
  const auto weights = view.file(exported.stage, kPort, "model.onnx");
  if (!weights || !exported.ports) return std::nullopt;
  ModelContent model =
      start_model(view, exported, "", *exported.ports,
                  {"model.onnx", weights->file, "", weights->sha256}, weights->size);
  add_environment(view, {"numpy", "onnx", "onnxruntime"}, model);
  model.flavors = dump({{"onnx",
                         {{"code", nullptr},
                          {"data", "model.onnx"},
                          {"onnx_session_options", nullptr},
                          {"providers", {"CUDAExecutionProvider", "CPUExecutionProvider"}}}},
                        {"python_function", python_function("model.onnx", "mlflow.onnx")}});
  model.signature = signature_json(*exported.ports, true);
  return model;
}

std::optional<ModelContent> script_model(const RunView& view, const Exported& exported) {
  const auto weights = view.file(exported.stage, kPort, "model.pt");
  if (!weights || !exported.ports) return std::nullopt;
  ModelContent model =
      start_model(view, exported, "torchscript", *exported.ports,
                  {"data/model.pth", weights->file, "", weights->sha256}, weights->size);
  model.files.push_back(text_upload("data/pickle_module_info.txt", "mlflow.pytorch.pickle_module"));
  const std::string torch = view.fact("libtorch");  // "2.13.0+cpu", of which packages are "2.13.0".
  const std::string release = torch.substr(0, torch.find('+'));
  add_environment(view, {"numpy", release.empty() ? "torch" : "torch==" + release}, model);
  model.flavors = dump({{"pytorch",
                         {{"code", nullptr},
                          {"model_data", "data"},
                          {"pytorch_version", torch.empty() ? "2.0.0" : torch}}},
                        {"python_function", python_function("data", "mlflow.pytorch")}});
  model.signature = signature_json(*exported.ports, false);
  return model;
}

}  // namespace

std::vector<ModelContent> models_of(const RunView& view) {
  std::vector<ModelContent> out;
  for (const StageRow& stage : view.stages) {
    if (stage.uses != "export" || stage.outputs.empty()) continue;
    const Exported exported = look_at(view, stage);
    const std::size_t first = out.size();
    if (auto model = onnx_model(view, exported)) out.push_back(std::move(*model));
    if (auto model = script_model(view, exported)) out.push_back(std::move(*model));
    if (out.size() == first) continue;
    // One version a stage, of its first kind.
    out[first].register_name = view.fact("mlflow.register");
    if (!out[first].register_name.empty()) out[first].alias = view.fact("mlflow.alias");
    for (std::size_t i = first; i < out.size(); ++i) add_metrics(view, exported, out[i]);
  }
  return out;
}

}  // namespace cifarpipe::content
