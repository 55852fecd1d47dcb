#include "pipeline/graph.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "pipeline/digest.hpp"

namespace cifarpipe {
namespace {

constexpr auto kNone = static_cast<std::size_t>(-1);

std::size_t stage_index(const Cell& cell, std::string_view name) {
  for (std::size_t i = 0; i < cell.stages.size(); ++i) {
    if (cell.stages[i].name == name) return i;
  }
  return kNone;
}

/// File order, but producers first. The configuration has already refused cycles.
std::vector<std::size_t> topological(const Cell& cell) {
  std::vector<std::size_t> order;
  std::vector<int> state(cell.stages.size(), 0);
  const std::function<void(std::size_t)> visit = [&](std::size_t i) {
    if (state[i] != 0) return;
    state[i] = 1;
    for (const auto& [port, source] : cell.stages[i].inputs) {
      const std::size_t producer = source.run.empty() ? stage_index(cell, source.stage) : kNone;
      if (producer != kNone) visit(producer);
    }
    order.push_back(i);
  };
  for (std::size_t i = 0; i < cell.stages.size(); ++i) visit(i);
  return order;
}

/// Marks `names`, then spreads along the wires, forwards or backwards, until nothing changes.
std::vector<bool> spread(const Cell& cell, const std::vector<std::string>& names, bool forward) {
  std::vector<bool> marked(cell.stages.size(), false);
  for (const std::string& name : names) {
    const std::size_t i = stage_index(cell, name);
    if (i != kNone) marked[i] = true;
  }
  for (bool changed = true; changed;) {
    changed = false;
    for (std::size_t i = 0; i < cell.stages.size(); ++i) {
      for (const auto& [port, source] : cell.stages[i].inputs) {
        const std::size_t p = source.run.empty() ? stage_index(cell, source.stage) : kNone;
        if (p == kNone) continue;
        const std::size_t from = forward ? p : i;
        const std::size_t to = forward ? i : p;
        if (marked[from] && !marked[to]) marked[to] = changed = true;
      }
    }
  }
  return marked;
}

class GraphBuilder {
 public:
  GraphBuilder(const Configuration& configuration, const GraphWorld& world)
      : configuration_(configuration), world_(world) {}

  void add_cell(std::size_t cell_index, const std::vector<std::string>& until) {
    const Cell& cell = configuration_.cells[cell_index];
    const std::vector<bool> wanted =
        until.empty() ? std::vector<bool>(cell.stages.size(), true) : upstream_of(cell, until);
    graph_.cell_jobs.emplace_back(cell.stages.size(), JobGraph::kSkipped);
    for (const std::size_t i : topological(cell)) {
      if (wanted[i]) graph_.cell_jobs.back()[i] = add_job(cell_index, i);
    }
  }

  JobGraph take() {
    graph_.secrets = world_.secrets;
    return std::move(graph_);
  }

 private:
  std::size_t add_job(std::size_t cell_index, std::size_t stage) {
    const Cell& cell = configuration_.cells[cell_index];
    Job job;
    job.instance = &cell.stages[stage];
    job.parts = key_parts(cell, *job.instance);
    std::vector<std::pair<std::string, std::string>> identities;
    for (const auto& [port, source] : job.instance->inputs) {
      JobInput input = resolve_input(cell, port, source);
      // A result of an earlier run is known by its content, here as in the key.
      identities.emplace_back(
          port, input.producer == JobInput::kEarlierRun
                    ? input.earlier_digest
                    : graph_.jobs[input.producer].identity + "." + input.producer_port);
      job.inputs.push_back(std::move(input));
    }
    job.identity = sha256(key_document(job.parts, identities));
    const auto [entry, added] = by_identity_.emplace(job.identity, graph_.jobs.size());
    if (added) graph_.jobs.push_back(std::move(job));
    graph_.jobs[entry->second].users.push_back({cell_index, stage});
    return entry->second;
  }

  JobInput resolve_input(const Cell& cell, const std::string& port, const InputSource& source) {
    JobInput input;
    input.port = port;
    input.producer_port = source.port;
    if (!source.run.empty()) {
      std::tie(input.earlier, input.earlier_digest) = world_.earlier_result(source);
    } else {
      input.producer = graph_.cell_jobs.back()[stage_index(cell, source.stage)];
    }
    return input;
  }

  KeyParts key_parts(const Cell& cell, const StageInstance& instance) {
    KeyParts parts;
    parts.instance = &instance;
    parts.numerics = resolve_numerics(instance, cell.threads, world_.machine);
    parts.seed = stage_seed(cell.seed, instance.name, cell.repeat);
    parts.code = configuration_.code;
    parts.numerics_keying = configuration_.numerics;
    parts.salt = configuration_.salt;
    for (const auto& [name, value] : instance.params) {
      const FieldInfo* field = instance.type->description.params.find(name);
      const auto* text = std::get_if<std::string>(&value);
      if (field == nullptr) continue;
      if (text != nullptr && names_local_path(*field, *text)) {
        parts.path_digests[name] = path_digest(instance, name, *text);
        continue;
      }
      // Who asks a server does not change what it gives: user-info is in no key at all.
      const std::string plain = without_userinfo(to_text(value));
      std::string shown = world_.secrets.redacted(plain);
      if (shown != plain) parts.covered[name] = std::move(shown);
    }
    return parts;
  }

  /// Once for each path, however many cells use it.
  std::string path_digest(const StageInstance& instance, const std::string& param,
                          const std::string& path) {
    auto found = path_digests_.find(path);
    if (found != path_digests_.end()) return found->second;
    if (!std::filesystem::exists(path)) {
      const auto origin = instance.origins.find(param);
      throw Error(fmt::format("'{}' of stage '{}' names {}, which does not exist", param,
                              instance.name, path),
                  origin == instance.origins.end() ? Place{} : origin->second);
    }
    return path_digests_.emplace(path, world_.digest_path(path)).first->second;
  }

  const Configuration& configuration_;
  const GraphWorld& world_;
  JobGraph graph_;
  std::map<std::string, std::size_t> by_identity_;
  std::map<std::string, std::string> path_digests_;
};

}  // namespace

std::vector<bool> downstream_of(const Cell& cell, const std::vector<std::string>& names) {
  return spread(cell, names, true);
}

std::vector<bool> upstream_of(const Cell& cell, const std::vector<std::string>& names) {
  return spread(cell, names, false);
}

bool names_local_path(const FieldInfo& field, const std::string& value) {
  if (!field.input_path || value.empty()) return false;
  if (std::find(field.keywords.begin(), field.keywords.end(), value) != field.keywords.end()) {
    return false;
  }
  if (value.rfind("file://", 0) == 0) return false;  // A URL: cached until --force, as others are.
  return value.find("://") == std::string::npos;
}

JobGraph build_graph(const Configuration& configuration, const GraphWorld& world,
                     const std::vector<std::string>& until) {
  GraphBuilder builder(configuration, world);
  for (std::size_t i = 0; i < configuration.cells.size(); ++i) builder.add_cell(i, until);
  return builder.take();
}

}  // namespace cifarpipe
