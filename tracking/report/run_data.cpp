#include "tracking/report/run_data.hpp"

#include <algorithm>
#include <fstream>
#include <sstream>

#include "pipeline/secrets.hpp"

namespace cifarpipe::report {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMostText = 2 << 20;  // Of a configuration, or of changes.
constexpr std::int64_t kLogTail = 64 << 10;
constexpr std::size_t kLogLines = 40;

std::optional<std::string> read_file(const fs::path& file, std::uint64_t most) {
  std::error_code error;
  const auto size = fs::file_size(file, error);
  if (error || size > most) return std::nullopt;
  std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  if (!in) return std::nullopt;
  return text.str();
}

/// A text that a report may show to anybody.
std::string shareable(const fs::path& file) {
  std::error_code error;
  if (fs::file_size(file, error) > kMostText && !error) {
    return "(more than 2 MB: see " + file.filename().string() + " in the run's folder)\n";
  }
  return without_userinfo(read_file(file, kMostText).value_or(""));
}

std::vector<std::string> tail_of(const fs::path& log) {
  std::ifstream in(log, std::ios::binary | std::ios::ate);
  if (!in) return {};
  const auto size = static_cast<std::int64_t>(in.tellg());
  in.seekg(std::max<std::int64_t>(0, size - kLogTail));
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(without_userinfo(line));
  if (size > kLogTail && !lines.empty()) lines.erase(lines.begin());  // Cut within.
  if (lines.size() > kLogLines) lines.erase(lines.begin(), lines.end() - kLogLines);
  return lines;
}

/// Where the run's folder is now: a store that was moved has it beside its database.
fs::path folder_of(const RunRecord& run, const Store& store) {
  std::error_code error;
  const fs::path recorded = run.folder;
  const fs::path here = store.root() / recorded.filename();
  return fs::is_directory(here, error) ? here : recorded;
}

StageData stage_of(const Source& source, StageRow row) {
  StageData stage;
  stage.row = std::move(row);
  if (!stage.row.job) return stage;
  std::error_code error;
  const fs::path dir = source.store.result_dir(*stage.row.job);
  if (stage.row.status == "finished" && fs::is_directory(dir, error)) stage.dir = dir;
  return stage;
}

}  // namespace

bool StageData::has(std::string_view port, std::string_view path) const {
  return std::any_of(row.outputs.begin(), row.outputs.end(), [&](const PortFiles& p) {
    return p.port == port && std::any_of(p.files.begin(), p.files.end(),
                                         [&](const FileDigest& f) { return f.path == path; });
  });
}

std::optional<std::string> StageData::read(std::string_view port, std::string_view path,
                                           std::uint64_t most) const {
  if (dir.empty() || !has(port, path)) return std::nullopt;
  return read_file(dir / port / path, most);
}

std::string RunData::fact(std::string_view key) const {
  for (const auto& [name, value] : facts) {
    if (name == key) return value;
  }
  return "";
}

const MetricSummary* RunData::metric(std::string_view key) const {
  const auto found = std::find_if(metrics.begin(), metrics.end(),
                                  [&](const MetricSummary& m) { return m.key == key; });
  return found == metrics.end() ? nullptr : &*found;
}

std::int64_t RunData::took_ms() const {
  return cifarpipe::took_ms(row.record, now_ms);
}

RunData load_run(const Source& source, const std::string& id) {
  RunData run;
  run.now_ms = source.now_ms;
  run.program = source.program;
  run.row = source.queries.run(id);
  run.params = source.queries.params(id);
  run.metrics = source.queries.metrics(id);
  for (StageRow& stage : source.queries.stages(id)) {
    run.stages.push_back(stage_of(source, std::move(stage)));
  }
  run.tags = source.queries.tags(id);
  run.facts = source.queries.facts(id);
  RunFilter below;
  below.parent = id;
  below.deleted = run.row.deleted;
  run.children = source.queries.runs(below);
  std::reverse(run.children.begin(), run.children.end());
  if (const std::string& parent = run.row.record.parent_id; !parent.empty()) {
    run.parent_name = source.queries.run(parent).record.name;
  }
  const fs::path folder = folder_of(run.row.record, source.store);
  run.as_written = shareable(folder / "pipeline.toml");
  run.resolved = shareable(folder / "resolved.toml");
  run.diff = shareable(folder / "changes.diff");
  run.last_lines = tail_of(folder / "run.log");
  return run;
}

}  // namespace cifarpipe::report
