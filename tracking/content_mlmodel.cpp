// The MLmodel file, which makes a folder of files a model for MLflow.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <ctime>

#include "tracking/content_run.hpp"

namespace cifarpipe {
namespace {

/// "2026-11-23 06:07:22.606000", as Python writes a time.
std::string python_time(std::int64_t ms) {
  const auto seconds = static_cast<std::time_t>(ms / 1000);
  return fmt::format("{:%Y-%m-%d %H:%M:%S}.{:03}000", fmt::gmtime(seconds), ms % 1000);
}

}  // namespace

std::string ModelContent::mlmodel(const std::string& model_id, const std::string& artifact_path,
                                  const std::string& remote_run_id) const {
  using nlohmann::ordered_json;
  const auto has = [&](const char* path) {
    return std::any_of(files.begin(), files.end(),
                       [&](const Upload& file) { return file.path == path; });
  };
  ordered_json out = {{"artifact_path", artifact_path},
                      {"flavors", ordered_json::parse(flavors)},
                      {"is_signature_from_type_hint", false}};
  if (!mlflow_version.empty()) out["mlflow_version"] = mlflow_version;
  if (!model_id.empty()) out["model_id"] = model_id;
  out["model_size_bytes"] = size;
  out["model_uuid"] = model_id.empty() ? uid : model_id;
  if (!model_id.empty()) out["prompts"] = nullptr;
  out["run_id"] = remote_run_id;
  if (has("input_example.json") && has("serving_input_example.json")) {
    out["saved_input_example_info"] = {{"artifact_path", "input_example.json"},
                                       {"serving_input_path", "serving_input_example.json"},
                                       {"type", "ndarray"}};
  }
  out["signature"] = ordered_json::parse(signature);
  out["type_hint_from_example"] = false;
  out["utc_time_created"] = python_time(created_ms);
  return content::dump(out, 1) + "\n";
}

}  // namespace cifarpipe
