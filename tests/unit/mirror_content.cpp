// Tags, parameters, datasets, artifacts, tables and images of a run, as MLflow's pages want them.
#include "tracking/mirror_content.hpp"

#include <regex>
#include <set>

#include "tests/unit/content_fixture.hpp"

namespace cifarpipe {
namespace {

using nlohmann::json;
using testing::ContentFixture;
using testing::upload;
using testing::value_of;

BOOST_FIXTURE_TEST_SUITE(mirror_content, ContentFixture)

BOOST_AUTO_TEST_CASE(tags) {
  add_all();
  recorder.finish_run(row.id, RunStatus::failed, 9000, "train failed: no space");
  const RunContent shown = content();
  BOOST_TEST(shown.experiment == "try");
  BOOST_TEST(shown.name == "one");
  const auto tag = [&](const char* key) { return value_of(shown.tags, key); };
  BOOST_TEST(tag("mlflow.user") == "ann");
  BOOST_TEST(tag("mlflow.source.name") == "configs/my run.toml");
  BOOST_TEST(tag("mlflow.source.type") == "LOCAL");
  BOOST_TEST(tag("mlflow.source.git.commit") == std::string(40, 'c'));
  BOOST_TEST(tag("mlflow.source.git.branch") == "main");
  BOOST_TEST(tag("mlflow.source.git.dirty") == "true");
  BOOST_TEST(tag("mlflow.source.git.repoURL") == "https://h/r.git");
  BOOST_TEST(tag("mlflow.loggedImages") == "True");
  BOOST_TEST(tag("cifarpipe.run_uid") == row.id);
  BOOST_TEST(tag("cifarpipe.attempt") == "1");
  BOOST_TEST(tag("cifarpipe.cell") == "(none)");
  BOOST_TEST(tag("cifarpipe.host") == "vm");
  BOOST_TEST(tag("who") == "me");
  const std::string note = tag("mlflow.note.content");
  BOOST_TEST(note.starts_with("as said\n\n**Failed:** train failed: no space\n\n| stage |"));
  BOOST_TEST(note.find("| train | finished | 1 min 01 s | 5 MB |") != std::string::npos);
  std::set<std::string> keys;
  for (const auto& [key, value] : shown.tags) BOOST_TEST(keys.insert(key).second);
}

BOOST_AUTO_TEST_CASE(own_tags_win_but_not_over_identity) {
  row.tags = {{"mlflow.note.content", "mine"}, {"cifarpipe.run_uid", "forged"}};
  begin();
  const RunContent shown = content();
  BOOST_TEST(value_of(shown.tags, "mlflow.note.content") == "mine");
  BOOST_TEST(value_of(shown.tags, "cifarpipe.run_uid") == row.id);
}

BOOST_AUTO_TEST_CASE(params) {
  add_all();
  const RunContent shown = content();
  const auto param = [&](const char* key) { return value_of(shown.params, key); };
  BOOST_TEST(param("train.lr") == "0.00001");
  BOOST_TEST(param("train.milestones") == "[2,4]");
  BOOST_TEST(param("train.epochs") == "3");
  BOOST_TEST(param("train/parameters") == "42");
  BOOST_TEST(param("train/device") == "cuda sm_90");
  BOOST_TEST(param("train/precision") == "bf16");
  BOOST_TEST(param("train/threads") == "4");
  BOOST_TEST(param("train/seed") == "7");
  std::set<std::string> keys;  // MLflow refuses a batch with a key twice.
  for (const auto& [key, value] : shown.params) BOOST_TEST(keys.insert(key).second);
}

BOOST_AUTO_TEST_CASE(numbers_are_plain_decimals) {
  row.params = {{"a.x", 1e-5}, {"a.y", 2.0}, {"a.z", 1e300}, {"a.n", -0.25}, {"a.o", 0.0}};
  begin();
  const RunContent shown = content();
  const char* expected[] = {"0.00001", "2.0", "1e+300", "-0.25", "0.0"};
  for (std::size_t i = 0; i < 5; ++i) BOOST_TEST(shown.params[i].second == expected[i]);
}

BOOST_AUTO_TEST_CASE(datasets) {
  add_all();
  const RunContent shown = content();
  BOOST_REQUIRE(shown.datasets.size() == 2);  // An empty split is none.
  const mlflow::DatasetInput& train = shown.datasets[0];
  BOOST_TEST(train.name == "cifar10-train");
  BOOST_TEST(train.context == "training");
  BOOST_TEST(shown.datasets[1].name == "cifar10-test");
  BOOST_TEST(shown.datasets[1].context == "testing");
  BOOST_TEST(train.digest.size() == 32);
  BOOST_TEST(train.digest.find_first_not_of("0123456789abcdef") == std::string::npos);
  BOOST_TEST(train.digest != shown.datasets[1].digest);
  BOOST_TEST(train.source_type == "http");
  BOOST_TEST(json::parse(train.source)["url"] == "https://h/d/cifar10.tar.gz?x=1");
  const json schema = json::parse(train.schema)["mlflow_tensorspec"];
  const json features = json::parse(schema["features"].get<std::string>());
  BOOST_TEST(features[0]["tensor-spec"]["dtype"] == "uint8");
  BOOST_TEST(features[0]["tensor-spec"]["shape"].dump() == "[-1,3,2,2]");
  const json targets = json::parse(schema["targets"].get<std::string>());
  BOOST_TEST(targets[0]["tensor-spec"]["dtype"] == "int64");
  BOOST_TEST(targets[0]["tensor-spec"]["shape"].dump() == "[-1]");
  const json profile = json::parse(train.profile);
  BOOST_TEST(profile["features_shape"].dump() == "[3,3,2,2]");
  BOOST_TEST(profile["features_nbytes"] == 36);
  BOOST_TEST(profile["classes"] == 2);
  BOOST_TEST(profile["images_per_class"] == "cat 2, dog 1");
}

BOOST_AUTO_TEST_CASE(a_local_dataset_says_where_it_lies) {
  row.params[0].second = std::string("/somewhere/faces.zip");
  add_all();
  const RunContent shown = content();
  BOOST_TEST(shown.datasets.at(0).name == "faces-train");
  BOOST_TEST(shown.datasets[0].source_type == "local");
  BOOST_TEST(json::parse(shown.datasets[0].source)["uri"] == "/somewhere/faces.zip");
}

BOOST_AUTO_TEST_CASE(artifacts) {
  add_all();
  std::vector<Upload> running = content().artifacts;
  BOOST_TEST(upload(running, "run.log") == nullptr);  // It would be sent again and again.
  recorder.finish_run(row.id, RunStatus::finished, 9000, "");
  const std::vector<Upload> all = content().artifacts;
  for (const char* path :
       {"pipeline.toml", "resolved.toml", "changes.diff.txt", "run.log", "environment.json",
        "test/report/confusion.png", "test/report/confusion.csv", "test/report/per_class.csv",
        "test/report/summary.json", "train/mistakes/mistakes.csv", "train/model/model.json",
        "export/export/README.md", "export/export/model.pth", "data/preview/summary.json"}) {
    BOOST_TEST_CONTEXT(path) {
      const Upload* one = upload(all, path);
      BOOST_REQUIRE(one != nullptr);
      BOOST_TEST(one->digest.size() == 64);
      const std::string digest = one->file.empty() ? sha256(one->text) : sha256_file(one->file);
      BOOST_TEST(one->digest == digest);
    }
  }
  // Weights of the training stay where they are; models and pictures are shown as such; data is
  // none of what people read.
  for (const char* path :
       {"train/model/model.safetensors", "export/export/model.onnx", "train/mistakes/epoch_001.png",
        "download/files/readme.html", "data/dataset/dataset.json"}) {
    BOOST_TEST(upload(all, path) == nullptr, path);
  }
  BOOST_TEST(json::parse(upload(all, "environment.json")->text)["facts"]["host"] == "vm");
  std::set<std::string> paths;
  for (const Upload& one : all) BOOST_TEST(paths.insert(one.path).second, one.path);
}

BOOST_AUTO_TEST_CASE(a_result_that_gc_removed_is_not_promised) {
  add_all();
  store.remove({sha256("test"), 0});
  const RunContent shown = content();
  BOOST_TEST(upload(shown.artifacts, "test/report/confusion.png") == nullptr);
  BOOST_TEST(value_of(shown.tags, "mlflow.loggedArtifacts") == "(none)");
}

BOOST_AUTO_TEST_CASE(many_files_are_data) {
  begin();
  testing::PortTexts pictures;
  for (int i = 0; i < 101; ++i) pictures.emplace_back(fmt::format("{}.png", i), "x");
  add_stage("own", "own", {{"pictures", pictures}, {"notes", {{"a.md", "# a"}}}});
  const RunContent shown = content();
  BOOST_TEST(upload(shown.artifacts, "own/notes/a.md") != nullptr);
  BOOST_TEST(upload(shown.artifacts, "own/pictures/1.png") == nullptr);
}

/// The name of an image as MLflow's page takes it apart.
const std::regex kImage(
    "images/([A-Za-z0-9_.-]+)\\+step\\+([0-9]+)\\+timestamp\\+([0-9]+)\\+"
    "([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})(\\+compressed)?\\.png");

BOOST_AUTO_TEST_CASE(images_have_names_that_the_page_understands) {
  add_all();
  std::set<std::string> whole;
  std::set<std::string> small;
  std::map<std::string, std::set<int>> steps;
  for (const Upload& one : content().artifacts) {
    if (!one.path.starts_with("images/")) continue;
    std::smatch part;
    BOOST_REQUIRE_MESSAGE(std::regex_match(one.path, part, kImage), one.path);
    steps[part[1]].insert(std::stoi(part[2]));
    BOOST_TEST(part[3] == "1700000000123");
    std::string name = one.path.substr(0, one.path.size() - 4);
    if (part[5].matched) {
      small.insert(name.substr(0, name.rfind('+')));
    } else {
      whole.insert(name);
    }
  }
  BOOST_TEST((whole == small));  // A missing thumbnail shows as broken.
  BOOST_TEST(steps.size() == 3);
  BOOST_TEST((steps["train_mistakes"] == std::set<int>{0, 1, 2}));
  BOOST_TEST((steps["data_contact_sheet"] == std::set<int>{0}));
  BOOST_TEST((steps["test_confusion"] == std::set<int>{0}));
}

BOOST_AUTO_TEST_CASE(the_same_content_twice) {
  add_all();
  const std::vector<Upload> one = content().artifacts;
  const std::vector<Upload> two = content().artifacts;
  BOOST_REQUIRE(one.size() == two.size());
  for (std::size_t i = 0; i < one.size(); ++i) {
    BOOST_TEST(one[i].path == two[i].path);
    BOOST_TEST(one[i].digest == two[i].digest);
  }
}

BOOST_AUTO_TEST_CASE(an_old_server_gets_pictures_as_files) {
  server.step_images = false;
  add_all();
  const RunContent shown = content();
  BOOST_TEST(value_of(shown.tags, "mlflow.loggedImages") == "(none)");
  BOOST_TEST(upload(shown.artifacts, "train/mistakes/epoch_001.png") != nullptr);
  for (const Upload& one : shown.artifacts) BOOST_TEST(!one.path.starts_with("images/"), one.path);
}

BOOST_AUTO_TEST_CASE(long_series_are_thinned) {
  begin();
  testing::PortTexts pictures;
  for (int i = 1; i <= 250; ++i) {
    pictures.emplace_back(fmt::format("epoch_{:03}.png", i), testing::striped_png(2, 2));
  }
  add_stage("train", "train", {{"mistakes", pictures}});
  std::set<int> steps;
  for (const Upload& one : content().artifacts) {
    std::smatch part;
    if (std::regex_match(one.path, part, kImage)) steps.insert(std::stoi(part[2]));
  }
  BOOST_TEST(steps.size() == 101);
  BOOST_TEST(*steps.begin() == 0);
  BOOST_TEST(*steps.rbegin() == 250);
}

BOOST_AUTO_TEST_CASE(tables) {
  add_all();
  const RunContent shown = content();
  const json logged = json::parse(value_of(shown.tags, "mlflow.loggedArtifacts"));
  BOOST_TEST(logged.size() == 3);
  for (const json& table : logged) {
    BOOST_TEST(table["type"] == "table");
    const auto path = table["path"].get<std::string>();
    BOOST_TEST(path.find_first_of("\"' ,:[]{}") == std::string::npos);
    const Upload* file = upload(shown.artifacts, path);
    BOOST_REQUIRE(file != nullptr);
    const json content = json::parse(file->text);
    for (const json& line : content["data"]) {
      BOOST_TEST(line.size() == content["columns"].size());
    }
  }
  const auto text = [&](const char* path) { return upload(shown.artifacts, path)->text; };
  BOOST_TEST(text("tables/test_per_class.json") ==
             R"({"columns":["class","images","accuracy"],)"
             R"("data":[["cat, tame",1,0.5],["dog",1,null]]})");
  BOOST_TEST(text("tables/test_predictions.json") ==
             R"({"columns":["index","label_name","confidence"],)"
             R"("data":[[0,"cat",0.75],[1,"007",0.001]]})");
  BOOST_TEST(text("tables/test_confusion.json") ==
             R"({"columns":["label","cat","dog"],"data":[["cat",1,0],["dog",0,1]]})");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace cifarpipe
