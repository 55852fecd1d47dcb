// What the parts of a run's content (content_*.cpp) are made from: the run's rows, read once, and
// its files in the store. Internal to tracking/. Reads only. One thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pipeline/store.hpp"
#include "tracking/mirror_content.hpp"
#include "tracking/queries.hpp"

namespace cifarpipe::content {

/// The fact of an export stage that says what its model takes and gives (docs/export.md).
inline constexpr const char* kSignatureFact = "signature";

/// An output of a stage, as an input names it: "train.model".
struct Source {
  std::string stage;
  std::string port;
  friend bool operator==(const Source&, const Source&) = default;
};

/// What a run's resolved.toml tells that the database does not: the description and the wiring. The
/// program writes that file itself, line by line, so lines are all that is read here.
class Wiring {
 public:
  /// A file that is not there: nothing is known.
  static Wiring read(const std::filesystem::path& resolved_toml);
  const std::string& description() const { return description_; }
  /// Nothing: not wired, or to another run's result.
  std::optional<Source> input(const std::string& stage, const std::string& port) const;

 private:
  std::string description_;
  std::map<std::pair<std::string, std::string>, Source> inputs_;
};

/// A file of a published result that is there.
struct StoredFile {
  std::filesystem::path file;
  std::string name;  ///< In its port, '/'-separated.
  std::uint64_t size = 0;
  std::string sha256;
};

struct RunView {
  RunView(RunQueries& queries, const RunRow& run, const Store& store, const mlflow::Server& server);

  const RunRow& run;
  const Store& store;
  const mlflow::Server& server;
  std::vector<StageRow> stages;  ///< In the order of the pipeline.
  std::vector<RunParam> params;
  std::vector<MetricSummary> metrics;
  std::vector<std::pair<std::string, std::string>> facts;
  std::vector<std::pair<std::string, std::string>> tags;
  Wiring wiring;

  bool running() const { return run.record.status == RunStatus::running; }
  const StageRow* stage(std::string_view name) const;  ///< Null: none.
  std::string param(std::string_view key) const;       ///< "train.lr"; "" none.
  std::string fact(std::string_view key) const;        ///< "git.commit"; "" none.
  /// The files of a stage's port, as far as the stage is finished and they are there.
  std::vector<StoredFile> files(const StageRow& stage, std::string_view port) const;
  std::optional<StoredFile> file(const StageRow& stage, std::string_view port,
                                 std::string_view name) const;
  /// When the stage's result was published; the run's start if that is not known.
  std::int64_t published_ms(const StageRow& stage) const;
};

/// Whether a stage trains a model.
bool trains(const StageRow& stage);

/// A whole file; nothing if it cannot be read.
std::optional<std::string> read_text(const std::filesystem::path& file);
/// A file's JSON; nothing if it cannot be read or is none.
std::optional<nlohmann::ordered_json> read_json(const std::filesystem::path& file);
/// JSON as text; bytes that are not UTF-8 are replaced.
std::string dump(const nlohmann::ordered_json& json, int indent = -1);
/// `name` with everything but letters, digits, '_' and '-' as '-'.
std::string plain_name(std::string_view name);
/// An upload of text.
Upload text_upload(std::string path, std::string text);

// The parts.
mlflow::Pairs experiment_tags(RunQueries& queries, const RunView& view);
mlflow::Pairs params_of(const RunView& view);
mlflow::Pairs tags_of(const RunView& view);
/// One for each split of each dataset that a stage of the run made.
std::vector<mlflow::DatasetInput> datasets_of(const RunView& view);
/// The dataset input that shows this split ("train", "validation", "test") of a stage's dataset.
std::optional<mlflow::DatasetInput> dataset_of(const RunView& view, const StageRow& stage,
                                               const std::string& split);
/// Files as they stand in the store, and those of the run's folder.
std::vector<Upload> files_of(const RunView& view);
/// An image with its place on the step slider.
struct Picture {
  std::string key;  ///< Without '/', '+' and '%'.
  std::int64_t step = 0;
  StoredFile file;
  std::int64_t time_ms = 0;
};
/// The pictures of a run: those of one key beside each other, by step, the first at step 0. None
/// where the server has no such slider.
std::vector<Picture> pictures_of(const RunView& view);
/// Their keys, each with its last step; also of those that a stage has yet to make.
std::vector<std::pair<std::string, std::int64_t>> picture_keys(const RunView& view);
/// Them and their thumbnails as files that MLflow's pages find.
std::vector<Upload> images_of(const RunView& view);
/// Tables of answers and figures.
std::vector<Upload> tables_of(const RunView& view);
std::vector<ModelContent> models_of(const RunView& view);

}  // namespace cifarpipe::content
