// The datasets of a run, one input a split: name, digest, where from, what is in it.
#include <fmt/format.h>

#include <algorithm>

#include "pipeline/digest.hpp"
#include "pipeline/secrets.hpp"
#include "tracking/content_run.hpp"

namespace cifarpipe::content {
namespace {

using nlohmann::ordered_json;

constexpr const char* kPort = "dataset";
constexpr const char* kOfficialCifar10 = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz";
constexpr std::size_t kDigestLength = 32;  // MLflow takes 36.
constexpr std::size_t kMostClasses = 100;  // That a profile names.

struct Split {
  const char* name;     ///< In our files.
  const char* suffix;   ///< Of the input's name.
  const char* context;  ///< As MLflow calls it.
};
constexpr Split kSplits[] = {{"train", "train", "training"},
                             {"validation", "val", "validation"},
                             {"test", "test", "testing"}};

/// The stage whose files a dataset was made of: as wired, else the one before.
const StageRow* origin_of(const RunView& view, const StageRow& stage) {
  if (const auto source = view.wiring.input(stage.name, "files")) return view.stage(source->stage);
  const StageRow* found = nullptr;
  for (const StageRow& other : view.stages) {
    if (&other == &stage) break;
    if (other.uses == "download") found = &other;
  }
  return found;
}

std::string source_text(const RunView& view, const StageRow& stage) {
  const StageRow* origin = origin_of(view, stage);
  return origin == nullptr ? "" : without_userinfo(view.param(origin->name + ".source"));
}

bool is_url(const std::string& text) {
  return text.starts_with("http://") || text.starts_with("https://");
}

/// What people call it: "cifar10" of "https://…/cifar10.tar.gz?x=1".
std::string dataset_name(const RunView& view, const StageRow& stage) {
  std::string text = source_text(view, stage);
  text.resize(std::min(text.find_first_of("?#"), text.size()));
  while (text.ends_with('/')) text.pop_back();
  if (const std::size_t slash = text.rfind('/'); slash != std::string::npos) {
    text.erase(0, slash + 1);
  }
  for (const char* ending : {".gz", ".bz2", ".xz", ".zst", ".tgz", ".tar", ".zip", ".npz"}) {
    const std::string_view end = ending;
    if (text.size() > end.size() && text.ends_with(end)) text.resize(text.size() - end.size());
  }
  text = plain_name(text);
  if (text.size() > 100) text.resize(100);
  return text.empty() ? plain_name(stage.name) : text;
}

/// {source_type, source}
std::pair<std::string, std::string> source_of(const RunView& view, const StageRow& stage) {
  std::string text = source_text(view, stage);
  if (text == "cifar10") text = kOfficialCifar10;
  if (is_url(text)) return {"http", dump({{"url", text}})};
  if (text.starts_with("file://")) text.erase(0, std::string_view("file://").size());
  if (text.empty() && stage.job) text = view.store.result_dir(*stage.job).string();
  return {"local", dump({{"uri", text}})};
}

struct Shape {
  std::int64_t channels = 0;
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::int64_t size() const { return channels * height * width; }
};

std::string schema_json(const Shape& shape) {
  const auto tensor = [](const char* type, const std::vector<std::int64_t>& sizes) {
    const ordered_json spec = {{"dtype", type}, {"shape", sizes}};
    const ordered_json one = {{"type", "tensor"}, {"tensor-spec", spec}};
    return dump(ordered_json::array({one}));
  };
  const ordered_json parts = {
      {"features", tensor("uint8", {-1, shape.channels, shape.height, shape.width})},
      {"targets", tensor("int64", {-1})}};
  return dump({{"mlflow_tensorspec", parts}});
}

/// "plane 5000, car 5000, …"
std::string counts_text(const ordered_json& counts) {
  std::string out;
  for (const auto& [name, count] : counts.items()) {
    if (count.is_number_integer()) {
      out += fmt::format("{}{} {}", out.empty() ? "" : ", ", name, count.get<std::int64_t>());
    }
  }
  return out;
}

std::string profile_json(const RunView& view, const StageRow& stage, const ordered_json& dataset,
                         const std::string& split, const Shape& shape, std::int64_t count) {
  ordered_json profile = {
      {"features_shape", {count, shape.channels, shape.height, shape.width}},
      {"features_size", count * shape.size()},
      {"features_nbytes", count * shape.size()},
      {"targets_shape", std::vector<std::int64_t>{count}},
      {"targets_size", count},
      {"targets_nbytes", count * 8},
  };
  const ordered_json classes = dataset.value("classes", ordered_json::array());
  profile["classes"] = classes.size();
  const auto file = view.file(stage, "preview", "summary.json");
  const auto summary = file ? read_json(file->file) : std::nullopt;
  if (summary && classes.size() <= kMostClasses) {
    const auto at = ordered_json::json_pointer("/splits/" + split + "/classes");
    if (summary->contains(at)) profile["images_per_class"] = counts_text(summary->at(at));
  }
  for (const char* key : {"mean", "std"}) {
    if (dataset.contains(key)) profile[key] = dump(dataset[key]);
  }
  return dump(profile);
}

std::string digest_of(const RunView& view, const StageRow& stage, const std::string& split) {
  std::vector<FileDigest> files;
  for (const StoredFile& file : view.files(stage, kPort)) {
    if (file.name == "dataset.json" || file.name.starts_with(split + ".")) {
      files.push_back({file.name, file.size, file.sha256});
    }
  }
  return combined_digest(files).substr(0, kDigestLength);
}

std::int64_t integer(const ordered_json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_number_integer() ? found->get<std::int64_t>() : 0;
}

std::optional<mlflow::DatasetInput> input_of(const RunView& view, const StageRow& stage,
                                             const ordered_json& dataset, const Split& split) {
  const auto at = ordered_json::json_pointer(fmt::format("/splits/{}/count", split.name));
  if (!dataset.contains(at) || !dataset.at(at).is_number_integer()) return std::nullopt;
  const auto count = dataset.at(at).get<std::int64_t>();
  if (count == 0) return std::nullopt;
  const Shape shape{integer(dataset, "channels"), integer(dataset, "height"),
                    integer(dataset, "width")};
  mlflow::DatasetInput out;
  out.name = fmt::format("{}-{}", dataset_name(view, stage), split.suffix);
  out.digest = digest_of(view, stage, split.name);
  std::tie(out.source_type, out.source) = source_of(view, stage);
  out.schema = schema_json(shape);
  out.profile = profile_json(view, stage, dataset, split.name, shape, count);
  out.context = split.context;
  return out;
}

std::optional<ordered_json> dataset_json(const RunView& view, const StageRow& stage) {
  const auto file = view.file(stage, kPort, "dataset.json");
  return file ? read_json(file->file) : std::nullopt;
}

}  // namespace

std::vector<mlflow::DatasetInput> datasets_of(const RunView& view) {
  std::vector<mlflow::DatasetInput> out;
  for (const StageRow& stage : view.stages) {
    const auto dataset = dataset_json(view, stage);
    if (!dataset) continue;
    for (const Split& split : kSplits) {
      auto input = input_of(view, stage, *dataset, split);
      if (!input) continue;
      // MLflow knows a dataset by name and digest, and keeps the first of a run's contexts.
      const bool known = std::any_of(out.begin(), out.end(), [&](const auto& other) {
        return other.name == input->name && other.digest == input->digest;
      });
      if (!known) out.push_back(std::move(*input));
    }
  }
  return out;
}

std::optional<mlflow::DatasetInput> dataset_of(const RunView& view, const StageRow& stage,
                                               const std::string& split) {
  const auto dataset = dataset_json(view, stage);
  if (!dataset) return std::nullopt;
  for (const Split& known : kSplits) {
    if (known.name == split) return input_of(view, stage, *dataset, known);
  }
  return std::nullopt;
}

}  // namespace cifarpipe::content
