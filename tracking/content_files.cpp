// Files of a run as artifacts: its configuration, log and environment, and of its stages what
// people read.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "pipeline/digest.hpp"
#include "tracking/content_run.hpp"

namespace fs = std::filesystem;

namespace cifarpipe::content {
namespace {

constexpr std::uint64_t kMostReadable = std::uint64_t{20} << 20;
constexpr std::uint64_t kMostWeights = 500'000'000;  // Servers take a file in one piece.
constexpr std::size_t kMostFiles = 100;              // More in one port are data, no report.

/// What MLflow's pages show.
constexpr std::array<std::string_view, 18> kReadable = {
    ".csv", ".tsv", ".json", ".txt",  ".log", ".md",  ".html", ".toml", ".yaml",
    ".yml", ".png", ".jpg",  ".jpeg", ".gif", ".svg", ".bmp",  ".pdf",  ".xml"};
constexpr std::array<std::string_view, 5> kWeights = {".onnx", ".pt", ".pth", ".safetensors",
                                                      ".bin"};

template <std::size_t N>
bool ends_with_any(const std::string& name, const std::array<std::string_view, N>& endings) {
  return std::any_of(endings.begin(), endings.end(),
                     [&](std::string_view ending) { return name.ends_with(ending); });
}

/// Images to learn from: they are shown by a sheet and a dataset input, not file by file.
bool is_data(const StageRow& stage, const std::string& port) {
  return stage.uses == "download" || port == "dataset";
}

/// What is shown elsewhere: with the logged model, or with the step slider.
bool is_shown_elsewhere(const RunView& view, const StageRow& stage, const PortFiles& port,
                        const std::string& name) {
  if (stage.uses == "export") return name == "model.onnx" || name == "model.pt";
  return view.server.step_images && port.port == "mistakes" && name.ends_with(".png");
}

void add_stage(const RunView& view, const StageRow& stage, std::vector<Upload>& out) {
  for (const PortFiles& port : stage.outputs) {
    if (is_data(stage, port.port)) continue;
    std::vector<Upload> files;
    for (const StoredFile& file : view.files(stage, port.port)) {
      if (is_shown_elsewhere(view, stage, port, file.name)) continue;
      const bool readable = ends_with_any(file.name, kReadable) && file.size <= kMostReadable;
      const bool weights =
          stage.uses == "export" && ends_with_any(file.name, kWeights) && file.size <= kMostWeights;
      if (!readable && !weights) continue;
      files.push_back(
          {fmt::format("{}/{}/{}", stage.name, port.port, file.name), file.file, "", file.sha256});
    }
    if (files.size() > kMostFiles) continue;
    out.insert(out.end(), files.begin(), files.end());
  }
}

void add_run_file(const RunView& view, const char* name, const char* as, std::vector<Upload>& out) {
  const fs::path file = fs::path(view.run.record.folder) / name;
  std::error_code error;
  const auto size = fs::file_size(file, error);
  if (error || size > kMostReadable) return;
  out.push_back({as, file, "", sha256_file(file)});
}

/// What the run was made of, apart from its files.
Upload environment(const RunView& view) {
  nlohmann::ordered_json json = {{"run", view.run.record.id},
                                 {"command", view.run.command},
                                 {"facts", nlohmann::ordered_json::object()}};
  for (const auto& [key, value] : view.facts) json["facts"][key] = value;
  return text_upload("environment.json", dump(json, 2) + "\n");
}

}  // namespace

std::vector<Upload> files_of(const RunView& view) {
  std::vector<Upload> out;
  add_run_file(view, "pipeline.toml", "pipeline.toml", out);
  add_run_file(view, "resolved.toml", "resolved.toml", out);
  add_run_file(view, "changes.diff", "changes.diff.txt", out);
  if (!view.running()) add_run_file(view, "run.log", "run.log", out);
  out.push_back(environment(view));
  for (const StageRow& stage : view.stages) add_stage(view, stage, out);
  return out;
}

}  // namespace cifarpipe::content
