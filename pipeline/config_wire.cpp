// Where inputs come from: what the file says, and for the rest the only stage that makes it.
#include <fmt/format.h>

#include <algorithm>

#include "pipeline/config_draft.hpp"

namespace cifarpipe::config {
namespace {

const Port* find_port(const std::vector<Port>& ports, std::string_view name) {
  for (const Port& port : ports) {
    if (port.name == name) return &port;
  }
  return nullptr;
}

std::vector<std::string> port_names(const std::vector<Port>& ports) {
  std::vector<std::string> names;
  for (const Port& port : ports) names.push_back(port.name);
  return names;
}

class Wiring {
 public:
  Wiring(Context& context, Draft& draft) : context_(context), draft_(draft) {}

  void wire() {
    for (StageDraft& stage : draft_.stages) {
      if (stage.inputs != nullptr) read_inputs(stage);
      if (stage.type != nullptr) complete(stage);
    }
    find_cycles();
  }

 private:
  void read_inputs(StageDraft& stage) {
    for (const Entry& entry : stage.inputs->entries) {
      std::string name = entry.key;
      if (stage.type != nullptr && find_port(stage.type->description.inputs, name) == nullptr) {
        const std::vector<std::string> names = port_names(stage.type->description.inputs);
        const std::string rest = names.empty() ? "; it takes none" : "; it takes: " + joined(names);
        context_.error(entry.mark,
                       fmt::format("unknown input '{}' of stage '{}' ({}){}", name, stage.name,
                                   plugin_of(*stage.type), suggestion(name, names, rest)));
        name = nearest(name, names);
        if (name.empty() || stage.inputs->find(name) != nullptr) continue;
      }
      // As if it were not written: what a file inherits can be undone.
      if (entry.value.is_string() && entry.value.text.empty()) continue;
      touched_.emplace_back(&stage, name);
      read_source(stage, name, entry.value);
    }
  }

  bool is_touched(const StageDraft& stage, std::string_view port) const {
    return std::any_of(touched_.begin(), touched_.end(),
                       [&](const auto& t) { return t.first == &stage && t.second == port; });
  }

  void read_source(StageDraft& stage, const std::string& port, const Node& value) {
    if (!value.is_string()) {
      context_.error(value.mark, fmt::format("input '{}' must be \"STAGE.PORT\", not {}", port,
                                             describe(value)));
      return;
    }
    InputSource source;
    source.place = context_.place(value.mark);
    std::string_view rest = value.text;
    if (rest.starts_with("run:")) {
      const std::size_t slash = rest.rfind('/');
      const std::size_t dot = rest.rfind('.');
      if (slash == std::string_view::npos || slash <= 4 || dot == std::string_view::npos ||
          dot < slash + 2 || dot + 1 == rest.size()) {
        context_.error(value.mark, fmt::format("'{}' is not of the form run:RUN/STAGE.PORT, such "
                                               "as run:latest/train.model",
                                               value.text));
        return;
      }
      source.run = rest.substr(4, slash - 4);
      source.stage = rest.substr(slash + 1, dot - slash - 1);
      source.port = rest.substr(dot + 1);
      stage.wired.emplace_back(port, std::move(source));
      return;
    }
    const std::size_t dot = rest.find('.');
    source.stage = rest.substr(0, dot);
    if (dot != std::string_view::npos) source.port = rest.substr(dot + 1);
    if (check_source(stage, port, source, value)) {
      stage.wired.emplace_back(port, std::move(source));
    }
  }

  bool check_source(const StageDraft& stage, const std::string& port, const InputSource& source,
                    const Node& value) {
    const StageDraft* from = draft_.find(source.stage);
    if (from == nullptr) {
      const auto& off = draft_.disabled;
      const bool disabled = std::find(off.begin(), off.end(), source.stage) != off.end();
      std::vector<std::string> names;
      for (const StageDraft& s : draft_.stages) names.push_back(s.name);
      context_.error(
          value.mark,
          disabled ? fmt::format("stage '{}' is disabled", source.stage)
                   : fmt::format("there is no stage '{}' in this file{}", source.stage,
                                 suggestion(source.stage, names, "; it has: " + joined(names))));
      return false;
    }
    if (from->type == nullptr || stage.type == nullptr) return false;
    const Port* in = find_port(stage.type->description.inputs, port);
    const std::vector<Port>& outputs = from->type->description.outputs;
    const Port* out = find_port(outputs, source.port);
    if (out == nullptr) {
      const std::vector<std::string> names = port_names(outputs);
      std::string hint = suggestion(source.port, names,
                                    names.empty() ? "; it has none" : "; it has: " + joined(names));
      if (source.port.empty()) {
        std::string fitting;
        for (const Port& o : outputs) {
          if (in != nullptr && o.type == in->type && fitting.empty()) fitting = o.name;
        }
        if (fitting.empty() && !names.empty()) fitting = names.front();
        context_.error(
            value.mark,
            fmt::format(
                "input '{}' must be \"STAGE.PORT\"{}", port,
                fitting.empty() ? hint : fmt::format("; write \"{}.{}\"", source.stage, fitting)));
        return false;
      }
      context_.error(value.mark, fmt::format("stage '{}' ({}) has no output '{}'{}", source.stage,
                                             plugin_of(*from->type), source.port, hint));
      return false;
    }
    if (in == nullptr || in->type == out->type) return in != nullptr;
    std::string fitting;
    for (const auto& [name, producer] : producers(in->type, &stage)) {
      fitting += fmt::format("{}\"{}.{}\"", fitting.empty() ? "; fitting: " : ", ", name, producer);
    }
    context_.error(value.mark,
                   fmt::format("input '{}' of stage '{}' takes {}, but {}.{} is {}{}", port,
                               stage.name, in->type, source.stage, out->name, out->type, fitting));
    return false;
  }

  std::vector<std::pair<std::string, std::string>> producers(std::string_view type,
                                                             const StageDraft* except) const {
    std::vector<std::pair<std::string, std::string>> out;
    for (const StageDraft& stage : draft_.stages) {
      if (&stage == except || stage.type == nullptr) continue;
      for (const Port& port : stage.type->description.outputs) {
        if (port.type == type) out.emplace_back(stage.name, port.name);
      }
    }
    return out;
  }

  // Inputs that the file leaves open. An optional one stays open: wiring it because some stage
  // happens to fit would change what a stage does when another is added.
  void complete(StageDraft& stage) {
    std::vector<std::pair<std::string, InputSource>> ordered;
    for (const Port& port : stage.type->description.inputs) {
      const auto written =
          std::find_if(stage.wired.begin(), stage.wired.end(),
                       [&](const auto& input) { return input.first == port.name; });
      if (written != stage.wired.end()) {
        ordered.push_back(std::move(*written));
      } else if (is_touched(stage, port.name)) {
        stage.wrong_inputs.push_back(port.name);
      } else if (!port.optional) {
        if (auto source = only_producer(stage, port)) ordered.emplace_back(port.name, *source);
      }
    }
    stage.wired = std::move(ordered);
  }

  std::optional<InputSource> only_producer(const StageDraft& stage, const Port& port) {
    const auto found = producers(port.type, &stage);
    if (found.size() == 1) return InputSource{"", found[0].first, found[0].second, {}};
    if (found.size() > 1) {
      std::string names;
      for (std::size_t i = 0; i < found.size(); ++i) {
        const std::string_view comma = i == 0 ? "" : i + 1 == found.size() ? " and " : ", ";
        names += fmt::format("{}{}.{}", comma, found[i].first, found[i].second);
      }
      context_.error(stage.mark,
                     fmt::format("input '{0}' of stage '{1}' could come from {2}; choose one, such "
                                 "as inputs.{0} = \"{3}.{4}\"",
                                 port.name, stage.name, names, found[0].first, found[0].second));
    } else if (draft_.all_types_known) {
      std::vector<std::string> makers;
      for (const std::string& name : context_.catalog->names()) {
        const StageType* type = context_.catalog->find(name);
        if (type == nullptr) continue;
        for (const Port& out : type->description.outputs) {
          if (out.type == port.type) makers.push_back(name);
        }
      }
      const std::string hint = makers.empty()
                                   ? std::string()
                                   : fmt::format(
                                         ": add a stage that does ({}), or take an earlier run's "
                                         "result with inputs.{} = \"run:latest/STAGE.PORT\"",
                                         joined(makers), port.name);
      context_.error(stage.mark, fmt::format("nothing in this file makes the {} that input '{}' of "
                                             "stage '{}' needs{}",
                                             port.type, port.name, stage.name, hint));
    }
    return std::nullopt;
  }

  // Depth-first; each circle is reported once, at the stage of it that stands first in the file.
  void find_cycles() {
    state_.assign(draft_.stages.size(), 0);
    for (std::size_t i = 0; i < draft_.stages.size(); ++i) {
      if (state_[i] == 0) visit(i);
    }
  }

  // NOLINTNEXTLINE(misc-no-recursion): as deep as the pipeline is long.
  void visit(std::size_t i) {
    state_[i] = 1;
    way_.push_back(i);
    for (const auto& [port, source] : draft_.stages[i].wired) {
      const StageDraft* from = source.run.empty() ? draft_.find(source.stage) : nullptr;
      if (from == nullptr) continue;
      const auto next = static_cast<std::size_t>(from - draft_.stages.data());
      if (state_[next] == 1) {
        report_circle(next);
      } else if (state_[next] == 0) {
        visit(next);
      }
    }
    way_.pop_back();
    state_[i] = 2;
  }

  void report_circle(std::size_t start) {
    std::vector<std::size_t> circle(std::find(way_.begin(), way_.end(), start), way_.end());
    std::string text;
    for (const std::size_t i : circle) text += draft_.stages[i].name + " ← ";
    context_.error(draft_.stages[start].mark, fmt::format("stages wait for each other: {}{}", text,
                                                          draft_.stages[start].name));
  }

  Context& context_;
  Draft& draft_;
  std::vector<std::pair<const StageDraft*, std::string>> touched_;
  std::vector<int> state_;  // 0 new, 1 on the way, 2 done.
  std::vector<std::size_t> way_;
};

}  // namespace

void wire(Context& context, Draft& draft) {
  Wiring(context, draft).wire();
}

}  // namespace cifarpipe::config
