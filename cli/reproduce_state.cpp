#include "cli/reproduce_state.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "cli/session.hpp"
#include "pipeline/digest.hpp"
#include "pipeline/file_ops.hpp"
#include "pipeline/random_id.hpp"
#include "pipeline/supervisor.hpp"
#include "tracking/queries.hpp"

namespace cifarpipe::cli {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kEarlier = "earlier runs";  // The experiment of what is put there.

std::string earlier_name(const std::string& stage, const std::string& port) {
  return fmt::format("earlier-{}-{}", stage, port);
}

const std::string* fact(const RunOutcome& run, const std::string& name) {
  for (const auto& [key, value] : run.facts) {
    if (key == name) return &value;
  }
  return nullptr;
}

/// "cpu bf16 2 threads", as the fact `numerics.STAGE` has it.
std::optional<Numerics> recorded_numerics(const RunOutcome& run, const std::string& stage) {
  const std::string* text = fact(run, "numerics." + stage);
  if (text == nullptr) return std::nullopt;
  const std::size_t unit = text->rfind(' ');
  const std::size_t count = unit == text->npos ? unit : text->rfind(' ', unit - 1);
  const std::size_t precision = count == text->npos ? count : text->rfind(' ', count - 1);
  if (precision == std::string::npos) return std::nullopt;
  Numerics numerics;
  numerics.device = text->substr(0, precision);
  numerics.precision = text->substr(precision + 1, count - precision - 1);
  std::from_chars(text->data() + count + 1, text->data() + unit, numerics.threads);
  return numerics;
}

/// A wish that was left to the machine becomes what the machine made of it then.
void settle(StageInstance& stage, const std::string& param, const std::string& was) {
  for (auto& [name, value] : stage.params) {
    const auto* text = std::get_if<std::string>(&value);
    if (name == param && text != nullptr && *text == "auto") value = was;
  }
}

void settle_numerics(Cell& cell, const RunOutcome& run) {
  for (StageInstance& stage : cell.stages) {
    const auto numerics = recorded_numerics(run, stage.name);
    if (!numerics) continue;
    const NumericsUse& use = stage.type->description.numerics;
    if (use.threads && cell.threads == 0) cell.threads = numerics->threads;
    if (use.precision) settle(stage, "precision", numerics->precision);
    if (use.device && numerics->device == "cpu") settle(stage, "device", "cpu");
  }
}

/// Where a path below `top` is laid out; the path itself if it is not.
std::string laid_out(const std::string& path, const fs::path& top, const fs::path& files) {
  if (top.empty() || files.empty()) return path;
  const fs::path inside = fs::path(path).lexically_relative(top);
  if (inside.empty() || *inside.begin() == "..") return path;
  std::error_code error;
  const fs::path there = (files / inside).lexically_normal();
  return fs::exists(there, error) ? there.string() : path;
}

void settle_paths(StageInstance& stage, const fs::path& top, const fs::path& files) {
  for (auto& [name, value] : stage.params) {
    const FieldInfo* field = stage.type->description.params.find(name);
    auto* text = std::get_if<std::string>(&value);
    if (field == nullptr || text == nullptr || !names_local_path(*field, *text)) continue;
    *text = laid_out(*text, top, files);
  }
}

/// Results are read only, so their files may be shared; on another disk they are copied.
void copy_tree(const fs::path& from, const fs::path& to) {
  file_ops().make_dirs(to);
  for (const auto& entry : fs::directory_iterator(from)) {
    const fs::path target = to / entry.path().filename();
    if (entry.is_directory()) {
      copy_tree(entry.path(), target);
      continue;
    }
    std::error_code error;
    fs::create_hard_link(entry.path(), target, error);
    if (error) fs::copy_file(entry.path(), target, error);
    if (error) throw file_error("copy to", target, error.value());
  }
}

/// A result in the new store.
void take_over(const StoredResult& result, Store& fresh, SqliteRecorder& recorder) {
  const JobRef& job = result.record.job;
  if (!fresh.find(job)) {
    file_ops().make_dirs(fresh.result_dir(job).parent_path());
    copy_tree(result.dir, fresh.result_dir(job));
  }
  index_result({result.record, fresh.result_dir(job)}, fresh, recorder);
}

/// A row by whose name `inputs.X = "run:NAME/STAGE.PORT"` finds the result.
void make_earlier_run(const std::string& name, const InputSource& source,
                      const StoredResult& result, const fs::path& runs, SqliteRecorder& recorder) {
  NewRun run;
  run.id = random_id();
  run.name = name;
  run.experiment = kEarlier;
  run.identity = sha256(name);
  run.folder = (runs / name).string();
  run.start_ms = now_ms();
  recorder.create_run(run);
  RunStage stage;
  stage.name = source.stage;
  stage.uses = result.record.stage;
  stage.action = "cached";
  stage.status = "finished";
  stage.job = result.record.job;
  recorder.put_run_stage(run.id, stage);
  recorder.finish_run(run.id, RunStatus::finished, now_ms(), "");
}

/// The result that `stage` took from an earlier run.
StoredResult earlier_result(const RunOutcome& run, const std::string& stage,
                            const std::string& port, Store& store) {
  const std::string* text = fact(run, fmt::format("input.{}.{}", stage, port));
  if (text == nullptr) {
    throw Error(fmt::format("{}.{} came from an earlier run, and the cifarpipe that carried {} out "
                            "did not record from which",
                            stage, port, run.record.name),
                ErrorKind::environment);
  }
  const std::size_t dot = text->find('.');
  JobRef job{text->substr(0, dot), 0};
  std::from_chars(text->data() + std::min(text->size(), dot + 1), text->data() + text->size(),
                  job.generation);
  auto result = store.find(job);
  if (!result) {
    throw Error(fmt::format("{}.{} was a result of an earlier run, which is no longer in the store "
                            "(key {})",
                            stage, port, job.key.substr(0, 12)),
                ErrorKind::environment);
  }
  return std::move(*result);
}

bool is_of(const RunOutcome& run, const std::string& stage) {
  return std::any_of(run.stages.begin(), run.stages.end(),
                     [&](const StageOutcome& s) { return s.name == stage; });
}

/// Of a parent: a cell to take instead.
[[noreturn]] void refuse_parent(RunQueries& queries, const RunRecord& run) {
  RunFilter filter;
  filter.parent = run.id;
  const auto cells = queries.runs(filter);
  throw Error(cells.empty()
                  ? fmt::format("{} has no stages", run.name)
                  : fmt::format("{} is a sweep of {} runs; reproduce one of them, such as "
                                "'{}'",
                                run.name, cells.size(), cells.back().record.name),
              ErrorKind::usage);
}

}  // namespace

RunOutcome recorded_run(const Program& program, const std::string& name,
                        std::optional<Lock>& in_use) {
  std::error_code error;
  if (!fs::exists(fs::path(program.runs_dir) / "cifarpipe.db", error)) {
    throw Error(fmt::format("no runs yet in {}", program.runs_dir), ErrorKind::usage);
  }
  Session session(program);
  const RunRecord run = session.recorder().resolve_run(name);
  RunOutcome outcome = outcome_of(session.sqlite(), run.id);
  RunQueries queries(session.sqlite().database());
  if (outcome.stages.empty()) refuse_parent(queries, run);
  if (run.status != RunStatus::finished) {
    throw Error(fmt::format("{} is {}: only of a FINISHED run it is known what has to come out",
                            run.name, to_string(run.status)),
                ErrorKind::usage);
  }
  in_use = Lock::try_share(session.store().use_lock_file());
  if (!in_use) {
    throw Error("`cifarpipe gc` is at work in this store; try again when it has ended",
                ErrorKind::environment);
  }
  return outcome;
}

LoadedConfig recorded_configuration(const Program& program, const RunOutcome& run,
                                    const std::vector<std::string>& sets) {
  const fs::path file = fs::path(run.record.folder) / "resolved.toml";
  std::error_code error;
  if (!fs::exists(file, error)) {
    throw Error(
        fmt::format("{} is gone, so it is not known what {} ran", file.string(), run.record.name),
        ErrorKind::environment);
  }
  try {
    return load_config(program, {file.string(), sets});
  } catch (const Error& error) {
    if (*error.what() != '\0') throw;
    throw Error(
        fmt::format(
            "this program and its plugins do not take the recorded configuration of {} as it "
            "stands (see above); a secret that is missing is given with --secret",
            run.record.name),
        ErrorKind::environment);
  }
}

std::vector<std::pair<std::string, std::vector<std::string>>> producers_of(const Cell& cell) {
  std::vector<std::pair<std::string, std::vector<std::string>>> all;
  for (const StageInstance& stage : cell.stages) {
    std::vector<std::string> producers;
    for (const auto& [port, source] : stage.inputs) {
      if (source.run.empty()) producers.push_back(source.stage);
    }
    all.emplace_back(stage.name, std::move(producers));
  }
  return all;
}

void as_recorded(Configuration& configuration, const RunOutcome& run, const fs::path& top,
                 const fs::path& files) {
  Cell& cell = configuration.cells.front();
  settle_numerics(cell, run);
  for (StageInstance& stage : cell.stages) {
    settle_paths(stage, top, files);
    for (auto& [port, source] : stage.inputs) {
      if (!source.run.empty()) source.run = earlier_name(stage.name, port);
    }
  }
  for (fs::path& path : configuration.plugin_paths) path = laid_out(path.string(), top, files);
  // A reproduction is nobody's business but its caller's.
  const Configuration defaults;
  configuration.mlflow_uri = defaults.mlflow_uri;
  configuration.mlflow_enabled = defaults.mlflow_enabled;
  configuration.mlflow_deadline_s = defaults.mlflow_deadline_s;
  configuration.mlflow_register = defaults.mlflow_register;
  configuration.mlflow_alias = defaults.mlflow_alias;
}

std::vector<std::string> fill_store(const Program& program, const Configuration& configuration,
                                    const RunOutcome& run, const fs::path& runs, bool fetch) {
  Store store(runs_folder(program), file_ops());
  Store fresh(runs, file_ops());
  SqliteRecorder recorder(runs / "cifarpipe.db");
  std::vector<std::string> taken;
  for (const StageOutcome& stage : run.stages) {
    const bool from_net = std::any_of(stage.facts.begin(), stage.facts.end(),
                                      [](const auto& f) { return f.first == "url"; });
    if (!from_net || fetch || !store.verify(stage.job).empty()) continue;
    if (const auto result = store.find(stage.job)) {
      take_over(*result, fresh, recorder);
      taken.push_back(stage.name);
    }
  }
  for (const StageInstance& stage : configuration.cells.front().stages) {
    if (!is_of(run, stage.name)) continue;
    for (const auto& [port, source] : stage.inputs) {
      if (source.run.empty()) continue;
      const StoredResult result = earlier_result(run, stage.name, port, store);
      take_over(result, fresh, recorder);
      make_earlier_run(source.run, source, result, runs, recorder);
    }
  }
  return taken;
}

RunOutcome made_run(const fs::path& runs) {
  SqliteRecorder recorder(runs / "cifarpipe.db");
  std::vector<RunRow> rows = RunQueries(recorder.database()).runs({});
  RunOutcome all;
  for (auto row = rows.rbegin(); row != rows.rend(); ++row) {  // A linked run is one of its own.
    if (row->record.experiment == kEarlier) continue;
    RunOutcome one = outcome_of(recorder, row->record.id);
    all.record = one.record;
    for (StageOutcome& stage : one.stages) all.stages.push_back(std::move(stage));
    for (auto& [name, value] : one.facts) {
      if (fact(all, name) == nullptr) all.facts.emplace_back(name, value);
    }
  }
  return all;
}

bool was_taken_over(const RunOutcome& made, const std::string& stage) {
  return std::any_of(made.stages.begin(), made.stages.end(), [&](const StageOutcome& s) {
    return s.name == stage && s.action == "cached";
  });
}

}  // namespace cifarpipe::cli
