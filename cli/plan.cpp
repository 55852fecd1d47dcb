// `cifarpipe plan FILE`: what `run` would do, and why. Changes nothing.
#include "pipeline/plan.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "cli/runs.hpp"
#include "cli/session.hpp"
#include "tracking/quantities.hpp"

namespace cifarpipe::cli {
namespace {

constexpr int kWorkDue = 10;

struct PlanArguments {
  ConfigArguments config;
  Forcing forcing;
  std::vector<std::string> until;
  bool exit_code = false;
  bool json = false;
  bool mermaid = false;
};

void print_json(const Configuration& configuration, const JobGraph& graph,
                const std::vector<Decision>& decisions) {
  using nlohmann::ordered_json;
  ordered_json list = ordered_json::array();
  for (std::size_t c = 0; c < configuration.cells.size(); ++c) {
    const Cell& cell = configuration.cells[c];
    for (std::size_t s = 0; s < cell.stages.size(); ++s) {
      if (graph.cell_jobs[c][s] == JobGraph::kSkipped) continue;
      const Decision& d = decisions[graph.cell_jobs[c][s]];
      list.push_back(
          {{"cell", configuration.has_matrix ? ordered_json(cell.name) : ordered_json(nullptr)},
           {"stage", cell.stages[s].name},
           {"action", to_string(d.action)},
           {"reason", d.reason},
           {"key", d.key.empty() ? ordered_json(nullptr) : ordered_json(d.key)}});
    }
  }
  fmt::print("{}\n", list.dump(2));
}

/// One line a job; a job that several cells share is shown once.
void print_text(const Configuration& configuration, const JobGraph& graph,
                const std::vector<Decision>& decisions) {
  std::size_t widest = 5;
  for (const Job& job : graph.jobs) widest = std::max(widest, job.instance->name.size());
  std::size_t due = 0;
  for (std::size_t i = 0; i < graph.jobs.size(); ++i) {
    const Job& job = graph.jobs[i];
    const Decision& d = decisions[i];
    due += d.action != Action::cached;
    std::string cell;
    if (configuration.has_matrix) {
      cell = job.users.size() == 1
                 ? fmt::format("  [{}]", text_shown(configuration.cells[job.users[0].cell].name))
                 : fmt::format("  [{} cells]", job.users.size());
    }
    fmt::print("{:<{}}  {:<6}  {}{}\n", job.instance->name, widest, to_string(d.action),
               text_shown(d.reason), cell);
  }
  fmt::print("{} of {} to run{}\n", due, counted(graph.jobs.size(), "job"),
             configuration.has_matrix ? " for " + counted(configuration.cells.size(), "cell") : "");
}

int plan(const Program& program, const PlanArguments& arguments) {
  LoadedConfig loaded = load_config(program, arguments.config);
  Session session(program, Session::Purpose::look);
  const GraphWorld world = session.world(program, loaded.configuration);
  require_stages(loaded.configuration, arguments.until, "--until");
  const JobGraph graph = build_graph(loaded.configuration, world, arguments.until);
  const Planner planner(loaded.configuration, graph, session.store(), session.recorder(),
                        arguments.forcing);
  const std::vector<Decision> decisions = planner.decide_all();
  if (arguments.json) {
    print_json(loaded.configuration, graph, decisions);
  } else if (arguments.mermaid) {
    fmt::print("{}", mermaid(loaded.configuration, graph, decisions));
  } else {
    print_text(loaded.configuration, graph, decisions);
  }
  const bool due = std::any_of(decisions.begin(), decisions.end(),
                               [](const Decision& d) { return d.action != Action::cached; });
  return arguments.exit_code && due ? kWorkDue : 0;
}

}  // namespace

void add_plan_command(CLI::App& app, Program& program) {
  auto* command = app.add_subcommand("plan", "Say what `run` would do, and why.");
  auto arguments = std::make_shared<PlanArguments>();
  add_config_arguments(*command, arguments->config);
  command->add_option("--force", arguments->forcing.stages, "As for run.")->type_name("STAGE");
  command->add_option("--from", arguments->forcing.from, "As for run.")->type_name("STAGE");
  command->add_option("--until", arguments->until, "As for run.")->type_name("STAGE");
  command->add_flag("--no-cache", arguments->forcing.all, "As for run.");
  command->add_flag("--exit-code", arguments->exit_code, "Exit with 10 if something is due.");
  auto* json = command->add_flag("--json", arguments->json, "A JSON list on stdout.");
  command->add_flag("--mermaid", arguments->mermaid, "The graph as Mermaid text.")->excludes(json);
  command->callback([&program, arguments] {
    program.action = [&program, arguments] { return plan(program, *arguments); };
  });
}

}  // namespace cifarpipe::cli
