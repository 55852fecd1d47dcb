#include "tracking/content_run.hpp"

#include <algorithm>
#include <fstream>
#include <sstream>

#include "pipeline/digest.hpp"

namespace fs = std::filesystem;

namespace cifarpipe::content {
namespace {

/// The text of `"…"`; a basic string of TOML without \U is one of JSON.
std::string unquoted(std::string_view text) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  return json.is_string() ? json.get<std::string>() : std::string(text);
}

std::optional<Source> source_from(const std::string& text) {
  const std::size_t dot = text.find('.');
  if (dot == std::string::npos || text.starts_with("run:")) return std::nullopt;
  return Source{text.substr(0, dot), text.substr(dot + 1)};
}

}  // namespace

Wiring Wiring::read(const fs::path& resolved_toml) {
  constexpr std::string_view kStages = "[stages.";
  constexpr std::string_view kInputs = "inputs.";
  Wiring wiring;
  std::ifstream in(resolved_toml);
  std::string line;
  std::string section;
  while (std::getline(in, line)) {
    if (line.starts_with('[')) {
      section = line;
      continue;
    }
    const std::size_t sign = line.find(" = ");
    if (sign == std::string::npos) continue;
    const std::string key = line.substr(0, sign);
    const std::string_view value = std::string_view(line).substr(sign + 3);
    if (section == "[pipeline]" && key == "description") wiring.description_ = unquoted(value);
    if (!section.starts_with(kStages) || !key.starts_with(kInputs)) continue;
    const std::string stage = section.substr(kStages.size(), section.size() - kStages.size() - 1);
    if (const auto source = source_from(unquoted(value))) {
      wiring.inputs_[{stage, key.substr(kInputs.size())}] = *source;
    }
  }
  return wiring;
}

std::optional<Source> Wiring::input(const std::string& stage, const std::string& port) const {
  const auto found = inputs_.find({stage, port});
  if (found == inputs_.end()) return std::nullopt;
  return found->second;
}

RunView::RunView(RunQueries& queries, const RunRow& run_row, const Store& run_store,
                 const mlflow::Server& its_server)
    : run(run_row),
      store(run_store),
      server(its_server),
      stages(queries.stages(run.record.id)),
      params(queries.params(run.record.id)),
      metrics(queries.metrics(run.record.id)),
      facts(queries.facts(run.record.id)),
      tags(queries.tags(run.record.id)),
      wiring(Wiring::read(fs::path(run.record.folder) / "resolved.toml")) {}

const StageRow* RunView::stage(std::string_view name) const {
  const auto found = std::find_if(stages.begin(), stages.end(),
                                  [&](const StageRow& stage) { return stage.name == name; });
  return found == stages.end() ? nullptr : &*found;
}

std::string RunView::param(std::string_view key) const {
  const auto found = std::find_if(params.begin(), params.end(),
                                  [&](const RunParam& param) { return param.key == key; });
  return found == params.end() ? "" : found->text;
}

std::string RunView::fact(std::string_view key) const {
  const auto found =
      std::find_if(facts.begin(), facts.end(), [&](const auto& fact) { return fact.first == key; });
  return found == facts.end() ? "" : found->second;
}

std::vector<StoredFile> RunView::files(const StageRow& stage, std::string_view port) const {
  std::vector<StoredFile> out;
  if (!stage.job) return out;
  const auto found = std::find_if(stage.outputs.begin(), stage.outputs.end(),
                                  [&](const PortFiles& files) { return files.port == port; });
  if (found == stage.outputs.end()) return out;
  const fs::path dir = store.result_dir(*stage.job) / port;
  for (const FileDigest& recorded : found->files) {
    StoredFile file{dir / recorded.path, recorded.path, recorded.size, recorded.sha256};
    std::error_code error;  // Removed by gc, or damaged: not there.
    const auto size = fs::file_size(file.file, error);
    if (!error && size == recorded.size) out.push_back(std::move(file));
  }
  return out;
}

std::optional<StoredFile> RunView::file(const StageRow& stage, std::string_view port,
                                        std::string_view name) const {
  for (StoredFile& file : files(stage, port)) {
    if (file.name == name) return std::move(file);
  }
  return std::nullopt;
}

std::int64_t RunView::published_ms(const StageRow& stage) const {
  if (stage.job) {
    if (const auto json = read_json(store.result_dir(*stage.job) / "stage.json")) {
      if (const auto found = json->find("created_ms");
          found != json->end() && found->is_number_integer()) {
        return found->get<std::int64_t>();
      }
    }
  }
  return run.record.start_ms;
}

bool trains(const StageRow& stage) {
  return stage.uses == "train" || stage.uses == "finetune";
}

std::optional<std::string> read_text(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) return std::nullopt;
  std::ostringstream text;
  text << in.rdbuf();
  if (in.bad()) return std::nullopt;
  return std::move(text).str();
}

std::optional<nlohmann::ordered_json> read_json(const fs::path& file) {
  const auto text = read_text(file);
  if (!text) return std::nullopt;
  auto json = nlohmann::ordered_json::parse(*text, nullptr, false);
  if (json.is_discarded()) return std::nullopt;
  return json;
}

std::string dump(const nlohmann::ordered_json& json, int indent) {
  return json.dump(indent, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

std::string plain_name(std::string_view name) {
  std::string out;
  for (const char c : name) {
    const bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '_' || c == '-';
    out += ok ? c : '-';
  }
  return out;
}

Upload text_upload(std::string path, std::string text) {
  Upload upload;
  upload.path = std::move(path);
  upload.digest = sha256(text);
  upload.text = std::move(text);
  return upload;
}

}  // namespace cifarpipe::content
