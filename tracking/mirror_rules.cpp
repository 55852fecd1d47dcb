#include "tracking/mirror_rules.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "pipeline/digest.hpp"
#include "tracking/mlflow/names.hpp"
#include "tracking/mlflow/text.hpp"

namespace cifarpipe::mirror {
namespace {

/// So that no two lists of texts give one: each is preceded by its length.
std::string joined(const std::vector<std::string>& parts) {
  std::string out;
  for (const std::string& part : parts) out += fmt::format("{}:{}", part.size(), part);
  return out;
}

void keep_full_texts(RunContent& content, const mlflow::Fit& fitted, std::string_view what,
                     std::vector<std::string>& said) {
  std::vector<std::string> names;
  for (const mlflow::Fit::Cut& cut : fitted.cut) {
    Upload& upload = content.artifacts.emplace_back();
    upload.path = fmt::format("full_values/{}/{}.txt", what, cut.name);
    upload.text = cut.full;
    upload.digest = sha256(cut.full);
    names.push_back(cut.key);
  }
  if (!names.empty()) {
    said.push_back(
        fmt::format("{}: longer than MLflow keeps; cut there, in full in the artifacts "
                    "below full_values/{}",
                    fmt::join(names, ", "), what));
  }
  for (const auto& renamed : fitted.renamed) {
    said.push_back(fmt::format("'{}' is called '{}' in MLflow, which takes no such name",
                               renamed.first, renamed.second));
  }
}

/// Of an entry of mlflow.loggedArtifacts; "" of anything else.
std::string path_of(const nlohmann::ordered_json& entry) {
  const auto path = entry.is_object() ? entry.find("path") : entry.end();
  return path != entry.end() && path->is_string() ? path->get<std::string>() : "";
}

/// Whether a refused parameter is one that has another value on the server.
bool mentions_change(std::string_view text) {
  return text.find("Changing param value") != std::string_view::npos ||
         text.find("MLflow keeps the first value") != std::string_view::npos;
}

}  // namespace

const std::string* find_tag(const mlflow::Pairs& tags, const std::string& key) {
  for (const auto& tag : tags) {
    if (tag.first == key) return &tag.second;
  }
  return nullptr;
}

void set_tag(mlflow::Pairs& tags, const std::string& key, const std::string& value) {
  std::erase_if(tags, [&](const auto& tag) { return tag.first == key; });
  tags.emplace_back(key, value);
}

std::string digest_of(const std::string& text) {
  return sha256(text).substr(0, 32);
}

std::string digest_of(const mlflow::Pairs& pairs) {
  std::vector<std::string> parts;
  for (const auto& pair : pairs) {
    parts.push_back(pair.first);
    parts.push_back(pair.second);
  }
  return digest_of(joined(parts));
}

std::string digest_of(const mlflow::DatasetInput& d) {
  return digest_of(
      joined({d.name, d.digest, d.source_type, d.source, d.schema, d.profile, d.context}));
}

std::string digest_of(const ModelContent& model) {
  std::vector<std::string> parts = {model.name,         std::to_string(model.step),
                                    model.flavors,      model.signature,
                                    model.dataset_name, model.dataset_digest};
  for (const Upload& file : model.files) {
    parts.push_back(file.path);
    parts.push_back(file.digest);
  }
  parts.insert(parts.end(), model.metric_keys.begin(), model.metric_keys.end());
  return digest_of(joined(parts));
}

std::string name_of(const mlflow::DatasetInput& dataset) {
  return fmt::format("{} {} {}", dataset.context, dataset.name, dataset.digest);
}

std::vector<std::string> fit(RunContent& content, const mlflow::Server& server) {
  std::vector<std::string> said;
  const mlflow::Fit params = mlflow::fit_params(content.params, server);
  const mlflow::Fit tags = mlflow::fit_tags(content.tags, server);
  content.name = run_name(content.name);
  content.params = params.pairs;
  content.tags = tags.pairs;
  keep_full_texts(content, params, "params", said);
  keep_full_texts(content, tags, "tags", said);
  return said;
}

void keep_logged(mlflow::Pairs& tags, const mlflow::Pairs& there,
                 const std::map<std::string, std::string>& artifacts) {
  using Json = nlohmann::ordered_json;
  const bool pictures = std::any_of(artifacts.begin(), artifacts.end(), [](const auto& artifact) {
    return artifact.first.starts_with("images/");
  });
  if (pictures) set_tag(tags, "mlflow.loggedImages", "True");
  const std::string key = "mlflow.loggedArtifacts";
  const std::string* ours = find_tag(tags, key);
  const std::string* theirs = find_tag(there, key);
  if (theirs == nullptr) return;
  Json all = ours != nullptr ? Json::parse(*ours, nullptr, false) : Json::array();
  const Json before = Json::parse(*theirs, nullptr, false);
  if (!all.is_array() || !before.is_array()) return;
  std::set<std::string> listed;
  for (const Json& entry : all) listed.insert(path_of(entry));
  for (const Json& entry : before) {
    const std::string path = path_of(entry);
    if (artifacts.contains(path) && listed.insert(path).second) all.push_back(entry);
  }
  if (!all.empty()) set_tag(tags, key, all.dump());
}

std::string timeless(const std::string& path) {
  constexpr std::string_view kMark = "+timestamp+";
  const std::size_t begin = path.find(kMark);
  if (!path.starts_with("images/") || begin == std::string::npos) return path;
  const std::size_t end = path.find('+', begin + kMark.size());
  return end == std::string::npos ? path : path.substr(0, begin) + path.substr(end);
}

std::map<std::string, std::string> timeless(const std::map<std::string, std::string>& artifacts) {
  std::map<std::string, std::string> out;
  for (const auto& artifact : artifacts) out[timeless(artifact.first)] = artifact.second;
  return out;
}

std::string run_name(const std::string& name) {
  constexpr std::size_t kMost = 250;  // Of the column; a sweep's cell can have a longer one.
  const std::string text = mlflow::valid_utf8(name);
  return std::string(mlflow::first_code_points(text, kMost));
}

std::string nonfinite_text(const std::vector<HeldMetric>& metrics) {
  std::vector<std::string> parts;
  for (const HeldMetric& m : metrics) {
    const std::string where = m.first_step == m.last_step
                                  ? fmt::format("at step {}", m.first_step)
                                  : fmt::format("at steps {} to {}", m.first_step, m.last_step);
    parts.push_back(fmt::format("{}: {} {} ({} point{})", m.key, m.kinds, where, m.points,
                                m.points == 1 ? "" : "s"));
  }
  return fmt::format("{}", fmt::join(parts, "; "));
}

std::string way_out(const std::string& item, const mlflow::CallError& error) {
  if (error.status() == 413) {
    return "a proxy in front of the server takes no bodies of this size: raise its limit "
           "(client_max_body_size of nginx), then `cifarpipe sync` the run";
  }
  if (error.failure() == mlflow::Failure::unsupported) {
    return "a newer MLflow can keep it: update the server, then `cifarpipe sync` the run";
  }
  if (error.of_one_call()) {
    return "the server's own log says why it failed; `cifarpipe sync` tries again";
  }
  if (item.starts_with("parameter ") && mentions_change(error.what())) {
    return "MLflow never changes a parameter; the store has the true one (`cifarpipe runs show`). "
           "Delete the run in MLflow for good (`mlflow gc`), and sync makes it anew";
  }
  if (item == kTheRun && error.failure() == mlflow::Failure::missing) {
    return "name an experiment that the server has: MLFLOW_EXPERIMENT_NAME=NAME `cifarpipe sync` "
           "with the run's name";
  }
  if (item == kTheRun) return "";
  return "the store has it; `cifarpipe sync` with the run's name tries again";
}

}  // namespace cifarpipe::mirror
