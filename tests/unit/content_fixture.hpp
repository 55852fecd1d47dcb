// A store and a database with one run of every stage that we ship, made by hand: small files of
// the right kinds. For the suites about what MLflow shows of a run.
#pragma once

#include <fmt/format.h>
#include <png.h>

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include "pipeline/store.hpp"
#include "tests/unit/temp_dir.hpp"
#include "tracking/mirror_content.hpp"
#include "tracking/recorder.hpp"

namespace cifarpipe::testing {

namespace fs = std::filesystem;

/// A PNG of one grey a row: 0, 10, 20, …; of 3 channels (RGB) or of 1 (grey).
inline std::string striped_png(int width, int height, int channels = 3) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(width);
  image.height = static_cast<png_uint_32>(height);
  image.format = channels == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
  std::string rows;
  for (int y = 0; y < height; ++y) {
    rows.append(static_cast<std::size_t>(width * channels), static_cast<char>(y * 10));
  }
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
  std::string out(size, '\0');
  BOOST_REQUIRE(png_image_write_to_memory(&image, out.data(), &size, 0, rows.data(), 0, nullptr));
  out.resize(size);
  return out;
}

/// What the export stage records of a model of images [3, 2, 2] and two classes.
inline constexpr const char* kSignature =
    R"({"inputs":[{"name":"image","dtype":"float32","shape":[-1,3,2,2]}],)"
    R"("outputs":[{"name":"logits","dtype":"float32","shape":[-1,2]}]})";

/// The files of a port, by name.
using PortTexts = std::vector<std::pair<std::string, std::string>>;

class ContentFixture {
 public:
  TempDir dir;
  Store store{dir.path(), real_file_ops()};
  SqliteRecorder recorder{dir / "cifarpipe.db"};
  mlflow::Server server;
  NewRun row;

  ContentFixture() {
    server.version = "3.17.2";
    server.logged_models = true;
    server.step_images = true;
    row.id = std::string(32, 'a');
    row.name = "one";
    row.experiment = "try";
    row.folder = (dir / "one").string();
    row.command = "cifarpipe run 'configs/my run.toml' --set train.lr=0.00001";
    row.note = "as said";
    row.start_ms = 1000;
    row.params = {{"download.source", std::string("https://h/d/cifar10.tar.gz?x=1")},
                  {"train.lr", 1e-5},
                  {"train.milestones", std::vector<std::int64_t>{2, 4}},
                  {"train.epochs", std::int64_t{3}},
                  {"test.split", std::string("test")}};
    row.tags = {{"who", "me"}};
    row.facts = {{"git.commit", std::string(40, 'c')},
                 {"git.branch", "main"},
                 {"git.dirty", "true"},
                 {"git.remote", "https://h/r.git"},
                 {"host", "vm"},
                 {"user", "ann"},
                 {"libtorch", "2.13.0+cpu"},
                 {"numerics.train", "cuda sm_90 bf16 4 threads"},
                 {"seed.train", "7"},
                 {"mlflow.register", "classifier"},
                 {"mlflow.alias", "champion"}};
  }

  std::string path_of(const std::string& name) const {
    return (fs::path(row.folder) / name).string();
  }

  /// The row and folder; then the stages.
  void begin() {
    recorder.create_run(row);
    FileOps& ops = real_file_ops();
    ops.make_dirs(row.folder);
    ops.write_file(path_of("pipeline.toml"), "[pipeline]\n");
    ops.write_file(path_of("run.log"), "done\n");
    ops.write_file(path_of("changes.diff"), "--- a\n");
    ops.write_file(path_of("resolved.toml"),
                   "[pipeline]\nname = \"try\"\ndescription = \"Shapes, \\\"told\\\" apart.\"\n\n"
                   "[stages.data]\nuses = \"preprocess\"\ninputs.files = \"download.files\"\n\n"
                   "[stages.test]\ninputs.model = \"train.model\"\ninputs.data = \"data.dataset\"\n"
                   "[stages.test.params]\nsplit = \"test\"\n\n"
                   "[stages.export]\ninputs.model = \"train.model\"\n"
                   "inputs.data = \"data.dataset\"\n");
  }

  void add_stage(const std::string& name, const std::string& uses,
                 const std::vector<std::pair<std::string, PortTexts>>& ports,
                 const std::vector<std::pair<std::string, double>>& metrics = {},
                 const std::vector<std::pair<std::string, std::string>>& facts = {}) {
    const JobRef job{sha256(name), 0};
    RunStage stage;
    stage.name = name;
    stage.uses = uses;
    stage.position = position_++;
    stage.action = "run";
    stage.status = "finished";
    stage.job = job;
    recorder.put_run_stage(row.id, stage);
    recorder.begin_attempt(job, uses, std::nullopt, 1);
    std::vector<RingPoint> points;
    for (const auto& [metric, value] : metrics) {
      RingPoint& point = points.emplace_back();
      point.job = job;
      point.attempt = 1;
      point.sequence = points.size();
      point.metric = metric;
      point.step = uses == "train" ? 3 : 0;
      point.time_ms = 10;
      point.value = value;
    }
    recorder.store_points(name, points, points.size());
    ResultRecord record;
    record.job = job;
    record.stage = uses;
    record.key_document = name;
    record.facts = facts;
    record.usage = {61'500, 1, 5'000'000};
    record.created_ms = 1'700'000'000'123;
    const auto lock = Lock::try_lock(store.lock_file(job));
    const fs::path work = store.new_work_dir(job);
    FileOps& ops = real_file_ops();
    for (const auto& [port, files] : ports) {
      ops.make_dirs(work / port);
      for (const auto& [file, text] : files) {
        ops.make_dirs((work / port / file).parent_path());
        ops.write_file(work / port / file, text);
      }
      record.outputs.push_back({port, digest_tree(work / port)});
    }
    store.publish(work, record, {});
    recorder.put_result(record);
  }

  void add_data() {
    add_stage("download", "download", {{"files", {{"readme.html", "<p>"}, {"a.png", "x"}}}});
    const std::string dataset =
        R"({"height": 2, "width": 2, "channels": 3, "classes": ["cat", "dog"],)"
        R"( "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25],)"
        R"( "splits": {"train": {"count": 3}, "validation": {"count": 0}, "test": {"count": 2}}})";
    const std::string summary =
        R"({"splits": {"train": {"images": 3, "classes": {"cat": 2, "dog": 1}}}})";
    std::string images;
    for (int i = 0; i < 24; ++i) images += static_cast<char>(i * 10);
    add_stage(
        "data", "preprocess",
        {{"dataset",
          {{"dataset.json", dataset},
           {"train.images.bin", std::string(36, 't')},
           {"test.images.bin", images}}},
         {"preview", {{"contact-sheet.png", striped_png(600, 300)}, {"summary.json", summary}}}});
  }

  void add_training() {
    const std::string model =
        R"({"architecture": "cifar10net", "height": 2, "width": 2, "channels": 3,)"
        R"( "classes": ["cat", "dog"], "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25],)"
        R"( "parameters": 42, "epoch": 3})";
    add_stage("train", "train",
              {{"model", {{"model.json", model}, {"model.safetensors", "weights"}}},
               {"mistakes",
                {{"epoch_001.png", striped_png(20, 10)},
                 {"epoch_002.png", striped_png(20, 11)},
                 {"mistakes.csv", "epoch,index\n1,5\n"}}}},
              {{"loss", 0.5}, {"accuracy", 0.75}}, {{"parameters", "42"}, {"precision", "bf16"}});
  }

  void add_judgement() {
    add_stage("test", "evaluate",
              {{"report",
                {{"per_class.csv", "class,images,accuracy\n\"cat, tame\",1,0.5\ndog,1,\n"},
                 {"confusion.csv", "label,cat,dog\ncat,1,0\ndog,0,1\n"},
                 {"confusion.png", striped_png(10, 10)},
                 {"predictions.csv", "index,label_name,confidence\n0,cat,0.75\n1,007,1e-3\n"},
                 {"summary.json", "{}"}}}},
              {{"accuracy", 0.75}, {"loss", 0.5}, {"class_accuracy/cat", 1}});
  }

  void add_export(const std::vector<std::string>& files = {"README.md", "model.onnx", "model.pt",
                                                           "model.pth"}) {
    PortTexts texts;
    for (const std::string& file : files) texts.emplace_back(file, "text of " + file);
    add_stage("export", "export", {{"export", texts}}, {{"accuracy", 0.75}},
              {{"signature", kSignature}});
  }

  void add_all() {
    begin();
    add_data();
    add_training();
    add_judgement();
    add_export();
  }

  RunContent content() {
    RunQueries queries(recorder.database());
    return content_of(queries, queries.run(row.id), store, server);
  }

 private:
  int position_ = 0;
};

inline std::string value_of(const mlflow::Pairs& pairs, const std::string& key) {
  for (const auto& [name, value] : pairs) {
    if (name == key) return value;
  }
  return "(none)";
}

inline const Upload* upload(const std::vector<Upload>& uploads, const std::string& path) {
  for (const Upload& one : uploads) {
    if (one.path == path) return &one;
  }
  return nullptr;
}

}  // namespace cifarpipe::testing
