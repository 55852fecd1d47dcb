// Parameters and tags of a run.
#include <fmt/format.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>
#include <sstream>

#include "tracking/content_run.hpp"
#include "tracking/quantities.hpp"

namespace cifarpipe::content {
namespace {

/// A number as MLflow's axes read it: without an exponent, where that stays short.
std::string plain_decimal(const std::string& text) {
  double value = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  if (read.ec != std::errc() || read.ptr != text.data() + text.size()) return text;
  const double size = std::fabs(value);
  if (!std::isfinite(value) || (size != 0 && (size < 1e-12 || size >= 1e15))) return text;
  char buffer[64];
  const auto end =
      std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::fixed).ptr;
  std::string out(buffer, end);
  if (out.find('.') == std::string::npos) out += ".0";
  return out;
}

/// Parameters of which MLflow takes each key once.
class ParamList {
 public:
  void add(const std::string& key, const std::string& value) {
    if (seen_.insert(key).second) list_.emplace_back(key, value);
  }
  mlflow::Pairs take() { return std::move(list_); }

 private:
  std::set<std::string> seen_;
  mlflow::Pairs list_;
};

/// "cpu bf16 2 threads": what "auto" became for a stage.
void add_numerics(ParamList& list, const std::string& stage, const std::string& text) {
  std::istringstream words(text);
  std::vector<std::string> word;
  for (std::string one; words >> one;) word.push_back(one);
  if (word.size() < 4) return;
  const std::size_t precision = word.size() - 3;
  std::string device = word[0];
  for (std::size_t i = 1; i < precision; ++i) device += " " + word[i];
  list.add(stage + "/device", device);
  list.add(stage + "/precision", word[precision]);
  list.add(stage + "/threads", word[precision + 1]);
}

/// Who this is, for runs that did not record it.
std::string user_name() {
  const passwd* entry = getpwuid(geteuid());
  return entry != nullptr && entry->pw_name != nullptr ? entry->pw_name : "";
}

/// The words of a command line as `shell_line` wrote it.
std::vector<std::string> shell_words(const std::string& line) {
  std::vector<std::string> words(1);
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (c == '\'') {
      quoted = !quoted;
    } else if (c == '\\' && !quoted && i + 1 < line.size()) {
      words.back() += line[++i];
    } else if (c == ' ' && !quoted) {
      words.emplace_back();
    } else {
      words.back() += c;
    }
  }
  return words;
}

std::string pipeline_file(const std::string& command) {
  for (const std::string& word : shell_words(command)) {
    if (word.ends_with(".toml")) return word;
  }
  return "pipeline.toml";
}

/// A cell of a Markdown table.
std::string cell(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  std::replace(text.begin(), text.end(), '|', '/');
  return text;
}

std::string stage_table(const std::vector<StageRow>& stages) {
  constexpr std::size_t kMost = 40;  // A tag has an end.
  std::string out = "| stage | | time | peak memory |\n|---|---|---:|---:|\n";
  for (std::size_t i = 0; i < std::min(stages.size(), kMost); ++i) {
    const StageRow& stage = stages[i];
    const bool done_now = stage.action == "run" || stage.action.empty();
    out += fmt::format("| {} | {}{} | ", cell(stage.name), cell(stage.status),
                       done_now ? "" : ", " + cell(stage.action));
    if (stage.usage) {
      out += fmt::format("{} | {} MB |\n", duration_text(stage.usage->wall_ms),
                         stage.usage->peak_rss_bytes / 1'000'000);
    } else {
      out += "| |\n";
    }
  }
  return out;
}

/// The run's note, why it failed, and how its stages went.
std::string description(const RunView& view) {
  std::string out = view.run.note;
  const auto paragraph = [&](const std::string& text) {
    if (text.empty()) return;
    if (!out.empty()) out += "\n\n";
    out += text;
  };
  if (view.run.record.status == RunStatus::failed) {
    paragraph(view.run.message.empty() ? "" : "**Failed:** " + view.run.message);
  }
  // Said once the run is over: a description that changes all the time is none.
  if (!view.running() && !view.stages.empty()) paragraph(stage_table(view.stages));
  return out;
}

/// Tags of which a later one with the same key takes the place of an earlier one.
class TagList {
 public:
  void set(const std::string& key, const std::string& value) {
    if (value.empty()) return;
    for (auto& [old_key, old_value] : list_) {
      if (old_key == key) {
        old_value = value;
        return;
      }
    }
    list_.emplace_back(key, value);
  }
  mlflow::Pairs take() { return std::move(list_); }

 private:
  mlflow::Pairs list_;
};

/// Tags by which runs are found again and stand below each other there: not for people to set.
bool is_the_mirrors(const std::string& key) {
  return key == "mlflow.parentRunId" || key == "mlflow.runName" || key == "cifarpipe.run_uid" ||
         key == "cifarpipe.parent";
}

}  // namespace

mlflow::Pairs params_of(const RunView& view) {
  ParamList list;
  for (const RunParam& param : view.params) {
    list.add(param.key, param.type == "number" ? plain_decimal(param.text) : param.text);
  }
  for (const StageRow& stage : view.stages) {
    add_numerics(list, stage.name, view.fact("numerics." + stage.name));
    const std::string seed = view.fact("seed." + stage.name);
    if (!seed.empty()) list.add(stage.name + "/seed", seed);
    for (const auto& [key, value] : stage.facts) {
      if (key != kSignatureFact)
        list.add(stage.name + "/" + key, value);  // The model's page has it.
    }
  }
  return list.take();
}

mlflow::Pairs tags_of(const RunView& view) {
  const RunRecord& record = view.run.record;
  TagList list;
  const std::string user = view.fact("user");
  list.set("mlflow.user", user.empty() ? user_name() : user);
  list.set("mlflow.source.name", pipeline_file(view.run.command));
  list.set("mlflow.source.type", "LOCAL");
  list.set("mlflow.source.git.commit", view.fact("git.commit"));
  list.set("mlflow.source.git.branch", view.fact("git.branch"));
  list.set("mlflow.source.git.dirty", view.fact("git.dirty"));
  list.set("mlflow.source.git.repoURL", view.fact("git.remote"));
  list.set("mlflow.note.content", description(view));
  for (const char* fact : {"host", "cpu", "gpu", "libtorch"}) {
    list.set(fmt::format("cifarpipe.{}", fact), view.fact(fact));
  }
  list.set("cifarpipe.version", view.fact("cifarpipe"));
  list.set("cifarpipe.command", view.run.command);
  for (const auto& [key, value] : view.tags) {
    if (!is_the_mirrors(key)) list.set(key, value);
  }
  list.set("cifarpipe.cell", record.cell.value_or(""));
  list.set("cifarpipe.attempt", std::to_string(record.attempt));
  list.set("cifarpipe.run_uid", record.id);
  return list.take();
}

}  // namespace cifarpipe::content
