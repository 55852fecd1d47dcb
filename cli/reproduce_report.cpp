// What `cifarpipe reproduce` tells: a line a stage, the first difference, what differs around it.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/reproduce.hpp"
#include "cli/runs.hpp"
#include "pipeline/provenance.hpp"
#include "pipeline/value_json.hpp"
#include "tracking/quantities.hpp"

namespace cifarpipe::cli {
namespace {

using nlohmann::ordered_json;
using Verdict = StageComparison::Verdict;

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::string sentence(const PointDifference& d) {
  if (!d.before) {
    return fmt::format("{} at step {} is {}, and there was no such point", d.metric, d.step,
                       number_text(*d.now));
  }
  if (!d.now) {
    return fmt::format("{} at step {} was {}, and there is no such point", d.metric, d.step,
                       number_text(*d.before));
  }
  if (d.step_now) {
    return fmt::format("{} had a point at step {} where there is one at step {}", d.metric, d.step,
                       *d.step_now);
  }
  return fmt::format("{} at step {} was {} and is {}", d.metric, d.step, number_text(*d.before),
                     number_text(*d.now));
}

const FileDigest* find_file(const StageOutcome& stage, const std::string& name) {
  for (const PortFiles& port : stage.outputs) {
    for (const FileDigest& file : port.files) {
      if (port.port + "/" + file.path == name) return &file;
    }
  }
  return nullptr;
}

const StageOutcome* find_stage(const RunOutcome& run, const std::string& name) {
  for (const StageOutcome& stage : run.stages) {
    if (stage.name == name) return &stage;
  }
  return nullptr;
}

std::string file_sentence(const Reproduction& r, const StageComparison& c) {
  const std::string& name = c.files.front();
  const StageOutcome* now = find_stage(r.now, c.name);
  const FileDigest* a = find_file(*find_stage(r.before, c.name), name);
  const FileDigest* b = now == nullptr ? nullptr : find_file(*now, name);
  if (b == nullptr) return fmt::format("{} is not made any more", name);
  if (a == nullptr) return fmt::format("{} is made now and was not", name);
  return fmt::format("{} was {} and is {} (SHA-256; {} and {} bytes)", name,
                     a->sha256.substr(0, 12), b->sha256.substr(0, 12), a->size, b->size);
}

/// The stage, of those that its inputs come from, that differs already.
std::string cause_of(const Reproduction& r, const std::string& stage) {
  for (const auto& [name, producers] : r.producers) {
    if (name != stage) continue;
    for (const StageComparison& c : r.stages) {
      if (contains(producers, c.name) && c.verdict != Verdict::same) return c.name;
    }
  }
  return "";
}

/// The first stage that differs by itself. Stages in the file's order may stand before what they
/// need.
const StageComparison* first_difference(const Reproduction& r) {
  const StageComparison* first = nullptr;
  for (const StageComparison& c : r.stages) {
    if (c.verdict == Verdict::same) continue;
    if (cause_of(r, c.name).empty()) return &c;
    if (first == nullptr) first = &c;
  }
  return first;
}

std::string what_differs(const Reproduction& r, const StageComparison& c) {
  if (c.verdict == Verdict::missing) {
    return r.end.failure.empty() ? fmt::format("{} was not carried out", c.name) : r.end.failure;
  }
  if (!c.points.empty()) return c.name + "/" + sentence(c.points.front());
  return fmt::format("{}: {}", c.name, file_sentence(r, c));
}

std::string detail(const Reproduction& r, const StageComparison& c) {
  std::string counts = counted(c.file_count, "file");
  if (c.point_count > 0) counts += ", " + counted(c.point_count, "point");
  if (c.verdict == Verdict::same) {
    if (r.tolerance && !c.files.empty()) {
      counts += fmt::format(" within {}; {} of other bytes", number_text(*r.tolerance),
                            counted(c.files.size(), "file"));
    }
    return "(" + counts + ")";
  }
  const std::string cause = cause_of(r, c.name);
  std::string text = cause.empty() ? "" : fmt::format("after {}: ", cause);
  if (c.verdict == Verdict::missing) return text + "has no result";
  if (!c.points.empty()) text += sentence(c.points.front());
  if (!c.files.empty()) {
    const std::size_t all = std::max(c.file_count, c.files.size());
    if (!c.points.empty()) text += "; ";
    text +=
        all == 1 ? "its file differs" : fmt::format("{} of {} files differ", c.files.size(), all);
  }
  return text;
}

void print_stages(const Reproduction& r, const Look& look) {
  std::size_t widest = 0;
  for (const StageComparison& c : r.stages) widest = std::max(widest, text_width(c.name));
  for (const StageComparison& c : r.stages) {
    const bool same = c.verdict == Verdict::same;
    const bool taken = contains(r.taken_over, c.name);
    const std::string word = !same                     ? "differs   "
                             : taken                   ? "taken over"
                             : r.tolerance.has_value() ? "close     "
                                                       : "reproduced";
    const char* color = !same ? status_color("failed") : taken ? kDim : status_color("finished");
    fmt::print("  {}{}  {}  {}\n", c.name, std::string(widest - text_width(c.name), ' '),
               look.paint(color, word), detail(r, c));
  }
}

/// Build ids and digests are told apart by their beginnings.
std::string short_text(std::string text) {
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find_first_of(" :", begin), text.size());
    const bool digest =
        end - begin >= 32 && text.find_first_not_of("0123456789abcdef", begin) >= end;
    if (digest) {
      text.replace(begin, end - begin, text.substr(begin, 12));
      begin += 13;
    } else {
      begin = end + 1;
    }
  }
  return text.empty() ? "not recorded" : text;
}

void print_circumstances(const Reproduction& r, const Look& look) {
  if (r.circumstances.empty()) {
    if (!is_reproduced(r)) {
      fmt::print(
          "nothing that was recorded differs in the environment: look for what a stage takes "
          "from elsewhere (time, random numbers, the net)\n");
    }
    return;
  }
  fmt::print("{}\n", look.paint(kBold, "what differs in the environment"));
  std::size_t widest = 0;
  for (const Circumstance& c : r.circumstances) widest = std::max(widest, text_width(c.name));
  for (const Circumstance& c : r.circumstances) {
    fmt::print("  {}{}  {} → {}\n", c.name, std::string(widest - text_width(c.name), ' '),
               short_text(c.before), short_text(c.now));
  }
}

std::string verdict_of(const Reproduction& r) {
  return is_reproduced(r) ? "reproduced" : r.end.exit_code != 0 ? "failed" : "differs";
}

void print_end(const Reproduction& r, const Look& look) {
  if (is_reproduced(r)) {
    std::size_t files = 0;
    std::size_t points = 0;
    for (const StageComparison& c : r.stages) {
      files += c.file_count;
      points += c.point_count;
    }
    const std::string how =
        r.tolerance ? fmt::format("metrics within {}", number_text(*r.tolerance)) : "bit for bit";
    fmt::print("{}: {}, {}, {}\n", look.paint(status_color("finished"), "reproduced"),
               counted(files, "file"), counted(points, "point"), how);
    return;
  }
  fmt::print("{}: {}\n", look.paint(status_color("failed"), "not reproduced"),
             what_differs(r, *first_difference(r)));
}

ordered_json point_json(const PointDifference& d) {
  ordered_json out = {{"metric", d.metric},
                      {"step", d.step},
                      {"recorded", d.before ? number_json(*d.before) : ordered_json(nullptr)},
                      {"reproduced", d.now ? number_json(*d.now) : ordered_json(nullptr)}};
  if (d.step_now) out["step_reproduced"] = *d.step_now;
  return out;
}

ordered_json stage_json(const Reproduction& r, const StageComparison& c) {
  constexpr const char* kVerdicts[] = {"reproduced", "differs", "missing"};
  ordered_json points = ordered_json::array();
  for (const PointDifference& d : c.points) points.push_back(point_json(d));
  return {{"stage", c.name},
          {"verdict", kVerdicts[static_cast<int>(c.verdict)]},
          {"taken_over", contains(r.taken_over, c.name)},
          {"after", cause_of(r, c.name)},
          {"files", c.file_count},
          {"points", c.point_count},
          {"differing_files", c.files},
          {"differing_metrics", std::move(points)}};
}

}  // namespace

bool is_reproduced(const Reproduction& r) {
  return r.end.exit_code == 0 &&
         std::all_of(r.stages.begin(), r.stages.end(),
                     [](const StageComparison& c) { return c.verdict == Verdict::same; });
}

void print_reproduction(const Reproduction& r) {
  const Look look = Look::of_stdout();
  const std::string from = r.commit.empty()
                               ? "on the files as they are now"
                               : fmt::format("laid out from commit {}{}", r.commit.substr(0, 12),
                                             r.changed ? " and what was changed since" : "");
  fmt::print("{}  {}\n", look.paint(kBold, r.before.record.name), look.paint(kDim, from));
  print_stages(r, look);
  print_end(r, look);
  print_circumstances(r, look);
  if (!is_reproduced(r) && !r.missing.empty()) {
    fmt::print("not laid out, since it was not recorded: {}\n", r.missing);
  }
  if (!r.kept.empty()) {
    fmt::print("kept: {}\n", r.kept.string());
    fmt::print("look at it: {}\n", shell_line({"cifarpipe", "--runs", (r.kept / "runs").string(),
                                               "runs", "show", "latest"}));
  }
}

void print_reproduction_json(const Reproduction& r) {
  ordered_json stages = ordered_json::array();
  for (const StageComparison& c : r.stages) stages.push_back(stage_json(r, c));
  ordered_json environment = ordered_json::array();
  for (const Circumstance& c : r.circumstances) {
    environment.push_back({{"name", c.name}, {"recorded", c.before}, {"now", c.now}});
  }
  const StageComparison* first = is_reproduced(r) ? nullptr : first_difference(r);
  const ordered_json out = {
      {"run", r.before.record.name},
      {"id", r.before.record.id},
      {"verdict", verdict_of(r)},
      {"first", first == nullptr ? ordered_json(nullptr) : ordered_json(what_differs(r, *first))},
      {"commit", r.commit.empty() ? ordered_json(nullptr) : ordered_json(r.commit)},
      {"not_recorded", r.missing},
      {"stages", std::move(stages)},
      {"environment", std::move(environment)},
      {"kept", r.kept.empty() ? ordered_json(nullptr) : ordered_json(r.kept.string())}};
  fmt::print("{}\n", out.dump(1, ' ', false, ordered_json::error_handler_t::replace));
}

}  // namespace cifarpipe::cli
