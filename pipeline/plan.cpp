#include "pipeline/plan.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "pipeline/diagnostics.hpp"
#include "pipeline/digest.hpp"

namespace cifarpipe {

std::string_view to_string(Action action) {
  switch (action) {
    case Action::run:
      return "run";
    case Action::cached:
      return "cached";
    case Action::maybe:
      return "maybe";
  }
  return "";
}

void require_stages(const Configuration& configuration, const std::vector<std::string>& names,
                    std::string_view option) {
  std::vector<std::string> known;
  for (const Cell& cell : configuration.cells) {
    for (const StageInstance& stage : cell.stages) known.push_back(stage.name);
  }
  for (const std::string& name : names) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    const std::string near = nearest(name, known);
    throw Error(fmt::format("{} {}: {} has no stage '{}'{}", option, name, configuration.file, name,
                            near.empty() ? "" : fmt::format("; did you mean '{}'?", near)),
                ErrorKind::usage);
  }
}

Planner::Planner(const Configuration& configuration, const JobGraph& graph, Store& store,
                 Recorder& recorder, Forcing forcing)
    : configuration_(configuration), graph_(graph), store_(store), recorder_(recorder) {
  require_stages(configuration, forcing.stages, "--force");
  require_stages(configuration, forcing.from, "--from");
  for (const Cell& cell : configuration.cells) {
    std::vector<bool> forced = downstream_of(cell, forcing.from);
    for (std::size_t i = 0; i < cell.stages.size(); ++i) {
      const std::string& name = cell.stages[i].name;
      const bool named =
          std::find(forcing.stages.begin(), forcing.stages.end(), name) != forcing.stages.end();
      if (forcing.all || named) forced[i] = true;
    }
    forced_.push_back(std::move(forced));
  }
}

bool Planner::is_forced(std::size_t job) const {
  const auto& users = graph_.jobs[job].users;
  return std::any_of(users.begin(), users.end(),
                     [this](const JobUser& user) { return forced_[user.cell][user.stage]; });
}

std::string Planner::forced_set(std::size_t cell) const {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < forced_[cell].size(); ++i) {
    if (forced_[cell][i]) names.push_back(configuration_.cells[cell].stages[i].name);
  }
  std::sort(names.begin(), names.end());
  return fmt::format("{}", fmt::join(names, ","));
}

Decision Planner::decide(std::size_t index, const std::vector<std::optional<StoredResult>>& results,
                         bool ignore_force) const {
  const Job& job = graph_.jobs[index];
  Decision decision;
  decision.forced = !ignore_force && is_forced(index);
  std::vector<std::pair<std::string, std::string>> inputs;
  std::vector<std::string> waits_for;
  for (const JobInput& input : job.inputs) {
    if (input.producer == JobInput::kEarlierRun) {
      inputs.emplace_back(input.port, input.earlier_digest);
    } else if (!results[input.producer]) {
      const std::string& name = graph_.jobs[input.producer].instance->name;
      if (std::find(waits_for.begin(), waits_for.end(), name) == waits_for.end()) {
        waits_for.push_back(name);
      }
    } else {
      inputs.emplace_back(input.port, port_digest(*results[input.producer], input.producer_port));
    }
  }
  if (!waits_for.empty()) {
    decision.reason = fmt::format("waits for {}", fmt::join(waits_for, ", "));
    return decision;
  }
  decision.key_document = key_document(job.parts, inputs);
  decision.key = sha256(decision.key_document);
  decision.result = store_.find(decision.key);
  if (decision.forced) {
    decision.action = Action::run;
    decision.reason = "forced";
  } else if (decision.result) {
    decision.action = Action::cached;
    decision.reason = "up to date";
  } else {
    decision.action = Action::run;
    decision.reason = reason_to_run(job, decision);
  }
  return decision;
}

std::string Planner::reason_to_run(const Job& job, const Decision& decision) const {
  if (recorder_.made_result(decision.key)) return "its result is no longer in the store";
  const auto before = recorder_.last_key_document(configuration_.name, job.instance->name);
  if (!before) return "no result yet";
  const std::vector<std::string> changes =
      explain_change(*before, decision.key_document, job.instance->name);
  if (changes.empty()) return "what its result depends on changed";
  // A document of an earlier version may hold what is covered today.
  return graph_.secrets.redacted(fmt::format("{}", fmt::join(changes, ", ")));
}

std::vector<Decision> Planner::decide_all() const {
  std::vector<Decision> decisions;
  std::vector<std::optional<StoredResult>> results(graph_.jobs.size());
  for (std::size_t i = 0; i < graph_.jobs.size(); ++i) {
    decisions.push_back(decide(i, results));
    if (decisions.back().action == Action::cached) results[i] = decisions.back().result;
  }
  return decisions;
}

std::string port_digest(const StoredResult& result, std::string_view port) {
  const PortFiles* files = result.port(port);
  if (files == nullptr) {
    throw Error(fmt::format("the result {} has no output '{}'; `cifarpipe verify` tells what is "
                            "wrong with the store",
                            result.dir.string(), port),
                ErrorKind::environment);
  }
  return combined_digest(files->files);
}

/// A label of Mermaid, which has an escape of its own for what would end it or be its syntax.
static std::string mermaid_text(std::string_view text) {
  std::string out;
  for (const char c : printable(text)) {
    if (c == '"') {
      out += "#quot;";
    } else if (c == '#') {
      out += "#35;";
    } else if (c == '<') {
      out += "#lt;";
    } else {
      out += c;
    }
  }
  return out;
}

std::string mermaid(const Configuration& configuration, const JobGraph& graph,
                    const std::vector<Decision>& decisions) {
  std::string out = "flowchart LR\n";
  for (std::size_t i = 0; i < graph.jobs.size(); ++i) {
    const Job& job = graph.jobs[i];
    std::string label = mermaid_text(job.instance->name);
    if (configuration.has_matrix) {
      label += job.users.size() == 1
                   ? "<br/>" + mermaid_text(configuration.cells[job.users.front().cell].name)
                   : fmt::format("<br/>{} cells", job.users.size());
    }
    out += fmt::format("  j{}[\"{}\"]:::{}\n", i, label, to_string(decisions[i].action));
    for (const JobInput& input : job.inputs) {
      if (input.producer != JobInput::kEarlierRun) {
        out += fmt::format("  j{} -->|{}| j{}\n", input.producer, input.producer_port, i);
      }
    }
  }
  out += "  classDef cached fill:#d5f0d5,stroke:#5a5\n";
  out += "  classDef run fill:#fde2c0,stroke:#c80\n";
  out += "  classDef maybe fill:#eee,stroke:#999\n";
  return out;
}

}  // namespace cifarpipe
