// The models of a run: MLmodel, the files it names, what an ONNX file says of itself, thumbnails.
#include <array>
#include <cstdlib>
#include <fstream>

#include "tests/unit/content_fixture.hpp"
#include "tracking/png_shrink.hpp"

namespace cifarpipe {
namespace {

using nlohmann::json;
using testing::ContentFixture;
using testing::upload;

/// A model as it would lie on a server.
json lay_out(const ModelContent& model, const std::filesystem::path& dir) {
  for (const Upload& one : model.files) {
    const auto to = dir / one.path;
    std::filesystem::create_directories(to.parent_path());
    if (!one.file.empty()) {
      std::filesystem::copy_file(one.file, to);
    } else {
      std::ofstream(to, std::ios::binary) << one.text;
    }
  }
  const std::string text = model.mlmodel("m-1", "mlflow-artifacts:/1/models/m-1/artifacts", "r1");
  std::ofstream(dir / "MLmodel") << text;
  return json::parse(text);
}

BOOST_FIXTURE_TEST_SUITE(mirror_models, ContentFixture)

BOOST_AUTO_TEST_CASE(onnx_as_it_is_served) {
  add_all();
  const RunContent shown = content();
  BOOST_REQUIRE(shown.models.size() == 2);
  const ModelContent& model = shown.models[0];
  BOOST_TEST(model.name == "cifar10net-e003");
  BOOST_TEST(model.step == 3);
  BOOST_TEST(model.uid.size() == 32);
  BOOST_TEST(model.register_name == "classifier");
  BOOST_TEST(model.alias == "champion");
  BOOST_TEST(model.files.at(0).path == "model.onnx");
  const json written = lay_out(model, dir / "model");
  const auto is_there = [&](const json& name) {
    return std::filesystem::is_regular_file(dir / "model" / name.get<std::string>());
  };
  const json& flavor = written["flavors"]["python_function"];
  BOOST_TEST(is_there(flavor["data"]));
  BOOST_TEST(is_there(flavor["env"]["conda"]));
  BOOST_TEST(is_there(flavor["env"]["virtualenv"]));
  BOOST_TEST(flavor["loader_module"] == "mlflow.onnx");
  BOOST_TEST(is_there(written["flavors"]["onnx"]["data"]));
  BOOST_TEST(is_there(written["saved_input_example_info"]["artifact_path"]));
  BOOST_TEST(is_there(written["saved_input_example_info"]["serving_input_path"]));
  BOOST_TEST(std::filesystem::exists(dir / "model/requirements.txt"));
  BOOST_TEST(written["model_id"] == "m-1");
  BOOST_TEST(written["model_uuid"] == "m-1");
  BOOST_TEST(written["run_id"] == "r1");
  BOOST_TEST(written["mlflow_version"] == "3.17.2");
  BOOST_TEST(written["utc_time_created"] == "2023-11-14 22:13:20.123000");
  BOOST_TEST(written["model_size_bytes"] == std::filesystem::file_size(dir / "model/model.onnx"));
  const json input = json::parse(written["signature"]["inputs"].get<std::string>());
  BOOST_TEST(input.dump() ==
             R"([{"name":"image","tensor-spec":{"dtype":"float32","shape":[-1,3,2,2]},)"
             R"("type":"tensor"}])");
  const json output = json::parse(written["signature"]["outputs"].get<std::string>());
  BOOST_TEST(output[0]["name"] == "logits");
  BOOST_TEST(output[0]["tensor-spec"]["shape"].dump() == "[-1,2]");
}

BOOST_AUTO_TEST_CASE(the_example_is_a_real_image) {
  add_all();
  const RunContent shown = content();
  const ModelContent& model = shown.models.at(0);
  const json example = json::parse(upload(model.files, "input_example.json")->text);
  // Bytes 0, 10, 20 … of 2 x 2 x 3 become [1, 3, 2, 2].
  const std::vector<std::vector<std::vector<double>>> bytes = {
      {{0, 30}, {60, 90}}, {{10, 40}, {70, 100}}, {{20, 50}, {80, 110}}};
  BOOST_REQUIRE(example.size() == 1 && example[0].size() == 3);
  for (std::size_t c = 0; c < 3; ++c) {
    for (std::size_t y = 0; y < 2; ++y) {
      for (std::size_t x = 0; x < 2; ++x) {
        BOOST_TEST(example[0][c][y][x].get<double>() == bytes[c][y][x] / 255,
                   boost::test_tools::tolerance(1e-6));
      }
    }
  }
  const json serving = json::parse(upload(model.files, "serving_input_example.json")->text);
  BOOST_TEST((serving["inputs"] == example));
}

BOOST_AUTO_TEST_CASE(normalised_outside) {
  row.params.emplace_back("export.normalization", std::string("outside"));
  add_all();
  const RunContent shown = content();
  const json example = json::parse(upload(shown.models.at(0).files, "input_example.json")->text);
  BOOST_TEST(example[0][0][0][0].get<double>() == -2);  // (0 - 0.5) / 0.25
}

BOOST_AUTO_TEST_CASE(without_the_data_the_example_is_black) {
  add_all();
  store.remove({sha256("data"), 0});
  const RunContent shown = content();
  const ModelContent& model = shown.models.at(0);
  BOOST_TEST(upload(model.files, "input_example.json")->text ==
             "[[[[0, 0], [0, 0]], [[0, 0], [0, 0]], [[0, 0], [0, 0]]]]");
  BOOST_TEST(model.dataset_name == "");
}

BOOST_AUTO_TEST_CASE(torchscript) {
  add_all();
  const RunContent shown = content();
  const ModelContent& model = shown.models.at(1);
  BOOST_TEST(model.name == "cifar10net-torchscript-e003");
  BOOST_TEST(model.uid != shown.models[0].uid);
  BOOST_TEST(model.register_name == "");  // One version a stage.
  const json written = lay_out(model, dir / "model");
  BOOST_TEST(written["flavors"]["pytorch"]["model_data"] == "data");
  BOOST_TEST(written["flavors"]["pytorch"]["pytorch_version"] == "2.13.0+cpu");
  BOOST_TEST(written["flavors"]["python_function"]["loader_module"] == "mlflow.pytorch");
  BOOST_TEST(std::filesystem::is_regular_file(dir / "model/data/model.pth"));
  BOOST_TEST(upload(model.files, "data/pickle_module_info.txt")->text ==
             "mlflow.pytorch.pickle_module");
  const json input = json::parse(written["signature"]["inputs"].get<std::string>());
  BOOST_TEST(!input[0].contains("name"));  // It takes its tensor by place.
}

BOOST_AUTO_TEST_CASE(torchscript_alone) {
  begin();
  add_data();
  add_training();
  add_export({"model.pt"});
  const RunContent shown = content();
  BOOST_REQUIRE(shown.models.size() == 1);
  BOOST_TEST(shown.models[0].register_name == "classifier");
  const json signature = json::parse(shown.models[0].signature);
  BOOST_TEST(signature["outputs"].get<std::string>().find("[-1,2]") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(metrics_and_dataset_of_a_model) {
  add_all();
  const RunContent shown = content();
  const ModelContent& model = shown.models.at(0);
  const std::vector<std::string> expected = {"test/loss", "test/accuracy",
                                             "test/class_accuracy/cat"};
  BOOST_TEST(model.metric_keys == expected, boost::test_tools::per_element());
  BOOST_TEST(model.dataset_name == "cifar10-test");
  BOOST_TEST(model.dataset_digest == shown.datasets.at(1).digest);
}

BOOST_AUTO_TEST_CASE(an_unjudged_model_has_its_exports_figures) {
  begin();
  add_data();
  add_training();
  add_export();
  const RunContent shown = content();
  const std::vector<std::string> expected = {"export/accuracy"};
  BOOST_TEST(shown.models.at(0).metric_keys == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(an_old_server_has_no_model_ids) {
  server.version = "2.22.0";
  server.logged_models = false;
  add_all();
  const RunContent shown = content();
  const json written = json::parse(shown.models.at(0).mlmodel("", "model", "r1"));
  BOOST_TEST(!written.contains("model_id"));
  BOOST_TEST(written["artifact_path"] == "model");
  BOOST_TEST(written["model_uuid"] == shown.models[0].uid);
}

BOOST_AUTO_TEST_CASE(a_damaged_signature_is_no_model) {
  begin();
  add_data();
  add_training();
  add_export({"model.onnx"});
  BOOST_REQUIRE(content().models.size() == 1);
  Statement change(recorder.database(), "UPDATE result_fact SET value = ? WHERE key = 'signature'");
  const std::string whole = testing::kSignature;
  for (std::size_t size = 0; size < whole.size(); ++size) {
    change.with(whole.substr(0, size)).run();
    BOOST_TEST(content().models.empty(), size);
  }
  for (const char* odd :
       {"{}", "[]", R"({"inputs":[],"outputs":[]})",
        R"({"inputs":[{"name":1,"dtype":"float32","shape":[1]}],"outputs":[]})"}) {
    change.with(std::string_view(odd)).run();
    BOOST_TEST(content().models.empty(), odd);
  }
}

BOOST_AUTO_TEST_CASE(thumbnails) {
  const std::string png = testing::striped_png(6, 2);
  const auto small = shrunk_png(png, 3);  // 6 x 2 becomes 3 x 1.
  BOOST_REQUIRE(small);
  BOOST_TEST(small->substr(0, 8) == png.substr(0, 8));
  BOOST_TEST(small->substr(16, 8) == std::string("\0\0\0\3\0\0\0\1", 8));
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  std::array<png_byte, 9> pixels{};
  BOOST_REQUIRE(png_image_begin_read_from_memory(&image, small->data(), small->size()));
  image.format = PNG_FORMAT_RGB;
  BOOST_REQUIRE(png_image_finish_read(&image, nullptr, pixels.data(), 0, nullptr));
  for (const png_byte value : pixels) BOOST_TEST(int{value} == 5);  // The mean of 0 and 10.
  const auto grey = shrunk_png(testing::striped_png(6, 2, 1), 3);
  BOOST_REQUIRE(grey);
  BOOST_TEST((*grey)[25] == '\0');
  BOOST_TEST(!shrunk_png(png, 6));
  BOOST_TEST(!shrunk_png("no picture", 3));
  for (std::size_t size = 0; size < png.size(); ++size) {
    BOOST_TEST(!shrunk_png(png.substr(0, size), 3), size);
  }
  BOOST_TEST(shrunk_png(testing::striped_png(600, 300), 256)->size() < 5000);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace cifarpipe
