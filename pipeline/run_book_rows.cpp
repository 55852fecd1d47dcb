// What a run of a command begins with: its name, its row, its facts, the files in its folder.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "pipeline/provenance.hpp"
#include "pipeline/random_id.hpp"
#include "pipeline/run_book.hpp"

namespace cifarpipe {
namespace {

/// What a stage reads from outside of its run: content digests of files and folders, results of
/// earlier runs.
void add_data_facts(const StageInstance& stage, const Job& job,
                    std::vector<std::pair<std::string, std::string>>& facts) {
  for (const auto& [param, digest] : job.parts.path_digests) {
    const Value* path = find_value(stage.params, param);
    facts.emplace_back(
        fmt::format("data.{}.{}", stage.name, param),
        fmt::format("sha256:{} {}", digest, path ? std::get<std::string>(*path) : ""));
  }
  for (const JobInput& input : job.inputs) {
    if (input.producer != JobInput::kEarlierRun) continue;
    facts.emplace_back(fmt::format("input.{}.{}", stage.name, input.port),
                       fmt::format("{}.{}", input.earlier.key, input.earlier.generation));
  }
}

}  // namespace

std::string RunBook::default_name(const Entry& entry, const std::string& id) const {
  const std::string base = options_.name.value_or(fmt::format(
      "{}-{}", configuration_.name,
      (entries_.front().record.id.empty() ? id : entries_.front().record.id).substr(0, 6)));
  if (entry.is_parent) return base;
  const std::string cell = configuration_.cells[entry.cell].name;
  std::string name = configuration_.has_matrix ? base + "/" + cell : base;
  if (!entry.linked_stage.empty()) name += "/" + entry.linked_stage;
  return name;
}

NewRun RunBook::new_row(const Entry& entry) const {
  NewRun row;
  row.id = random_id();
  row.start_ms = now_ms();
  row.name = default_name(entry, row.id);
  row.experiment = entry.experiment;
  row.identity = entry.identity;
  row.forced = entry.forced;
  row.command = options_.command;
  row.note = options_.note.value_or("");
  row.tags = options_.tags;
  row.facts = facts_of(entry);
  if (&entry != &entries_.front()) {
    if (configuration_.has_matrix) row.parent_id = entries_.front().record.id;
    if (!entry.linked_stage.empty()) {
      for (const Entry& other : entries_) {
        if (!other.is_parent && other.cell == entry.cell && other.linked_stage.empty()) {
          row.parent_id = other.record.id;
        }
      }
    }
  }
  if (!entry.is_parent) {
    const Cell& cell = configuration_.cells[entry.cell];
    if (configuration_.has_matrix) row.cell = cell.name;
    for (const std::size_t s : entry.stages) {
      const StageInstance& stage = cell.stages[s];
      for (const auto& [name, value] : stage.params) {
        const FieldInfo* field = stage.type->description.params.find(name);
        const bool secret = field != nullptr && field->secret;
        row.params.emplace_back(stage.name + "." + name,
                                secret ? Value(std::string("***")) : value);
      }
    }
    row.params.emplace_back("pipeline.seed", static_cast<std::int64_t>(cell.seed));
  }
  // The names of folders are texts of the store as well.
  const std::string shown = options_.secrets.redacted(row.name);
  row.folder = (store_.root() / RunFolder::folder_name(row.start_ms, shown, row.id)).string();
  return row;
}

std::vector<std::pair<std::string, std::string>> RunBook::facts_of(const Entry& entry) const {
  auto facts = options_.facts;
  if (entry.is_parent) return facts;
  for (const std::size_t s : entry.stages) {
    const StageInstance& stage = configuration_.cells[entry.cell].stages[s];
    const KeyParts& parts = graph_.jobs[graph_.cell_jobs[entry.cell][s]].parts;
    const StageDescription& description = stage.type->description;
    facts.emplace_back("plugin." + stage.name,
                       fmt::format("{} {} {}", stage.type->plugin_name, stage.type->plugin_version,
                                   stage.type->build_id));
    if (description.uses_seed) {
      facts.emplace_back("seed." + stage.name, std::to_string(parts.seed));
    }
    const NumericsUse& uses = description.numerics;
    if (uses.device || uses.precision || uses.threads) {
      facts.emplace_back(
          "numerics." + stage.name,
          fmt::format("{} {} {} thread{}", parts.numerics.device, parts.numerics.precision,
                      parts.numerics.threads, parts.numerics.threads == 1 ? "" : "s"));
    }
    add_data_facts(stage, graph_.jobs[graph_.cell_jobs[entry.cell][s]], facts);
  }
  return facts;
}

void RunBook::write_folder(Entry& entry) const {
  const auto clean = [this](std::string_view text) {
    return options_.secrets.redacted(text, TextKind::data);
  };
  entry.folder.write("pipeline.toml", clean(configuration_.source_text));
  if (!entry.is_parent) {
    entry.folder.write("resolved.toml",
                       clean(resolved_toml(configuration_, configuration_.cells[entry.cell])));
  }
  if (!options_.diff.empty()) entry.folder.write("changes.diff", options_.diff);
  nlohmann::ordered_json facts = nlohmann::ordered_json::object();
  for (const auto& [name, value] : facts_of(entry)) {
    facts[name] = options_.secrets.redacted_value(name, value);
  }
  const nlohmann::ordered_json run = {
      {"id", entry.record.id},
      {"name", entry.record.name},
      {"experiment", entry.record.experiment},
      {"parent", entry.record.parent_id},
      {"identity", entry.identity},
      {"forced", entry.forced},
      {"attempt", entry.record.attempt},
      {"start", entry.record.start_ms},
      {"command", options_.command},
      {"facts", facts},
  };
  entry.folder.write("run.json",
                     run.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  entry.folder.log(fmt::format("attempt {} begins: {}", entry.record.attempt, options_.command));
  if (entry.record.parent_id.empty()) {
    file_ops().replace_symlink(entry.folder.path().filename(), store_.root() / "latest");
  }
}

}  // namespace cifarpipe
