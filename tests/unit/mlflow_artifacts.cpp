// Artifacts, by each of the ways there are. Numbers in comments are the points of
// docs/conformance.md.
#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "pipeline/digest.hpp"
#include "tests/unit/mlflow_fixture.hpp"
#include "tests/unit/temp_dir.hpp"
#include "tracking/mlflow/client.hpp"

namespace cifarpipe {
namespace {

using mlflow::CallError;
using mlflow::Failure;
using mlflow::RemoteFile;
using mlflow::RemoteRun;
using testing::call_error;
using testing::FakeFault;
using testing::FakeMlflow;
using testing::FakeOptions;
using testing::holds;
using testing::TempDir;
namespace fs = std::filesystem;

struct Fixture : testing::RunOnFake {
  using RunOnFake::RunOnFake;
  std::string stored(const std::string& path) {
    return server.data().artifacts.at("1/" + run.id + "/artifacts/" + path).content;
  }
  /// "a 3, b/ 0"
  std::string listing(const std::string& folder = "") {
    std::ostringstream out;
    for (const RemoteFile& file : client.artifacts(run.id, folder)) {
      out << (out.tellp() > 0 ? ", " : "") << file.path << (file.directory ? "/ " : " ")
          << file.size;
    }
    return out.str();
  }
  fs::path file(const std::string& content) {
    const fs::path path = dir / "file";
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }

  TempDir dir;
};

std::uint64_t peak_memory_kb() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("VmHWM:", 0) == 0) return std::stoull(line.substr(6));
  }
  return 0;
}

BOOST_AUTO_TEST_SUITE(mlflow_artifacts)

BOOST_AUTO_TEST_CASE(names_of_all_kinds) {  // 39, 48
  Fixture f;
  const char* kNames[] = {"a b.txt", "größe/ä.png", "c+d.csv", "100%.md", "~e.toml", "deep/er/f"};
  for (const char* name : kNames) {
    f.client.put_artifact_text(f.run, name, name);
    BOOST_TEST(f.stored(name) == name);
  }
  BOOST_TEST(f.listing("größe") == "größe/ä.png 14");
  BOOST_TEST(f.listing("nothing") == "");
  f.server.forget_requests();
  for (const char* name : {"a#b", "../a", "a/", "/a", "a\\b", "a%41.txt", ""}) {
    const CallError error = call_error([&] { f.client.put_artifact_text(f.run, name, "x"); });
    BOOST_TEST((error.failure() == Failure::refused));
    BOOST_TEST(holds(error.what(), "its path "), error.what());
  }
  BOOST_TEST(f.server.requests().empty());
}

BOOST_AUTO_TEST_CASE(content_of_all_sizes) {  // 40, 41
  Fixture f;
  f.client.put_artifact(f.run, "empty", f.file(""));
  f.client.put_artifact(f.run, "one", f.file("x"));
  f.client.put_artifact_text(f.run, "dir/text", "");
  std::string bytes;
  for (int i = 0; i < 3000000; ++i) bytes += static_cast<char>(i * 7);
  f.client.put_artifact(f.run, "big", f.file(bytes));
  BOOST_TEST((f.stored("big") == bytes));
  BOOST_TEST(f.listing() == "big 3000000, dir/ 0, empty 0, one 1");
  f.client.put_artifact(f.run, "one", f.file("yy"));
  BOOST_TEST(f.stored("one") == "yy");
  for (const auto& request : f.server.requests()) {
    if (request.method != "PUT") continue;
    BOOST_TEST(request.headers.count("content-length") == 1u);
    BOOST_TEST(request.headers.count("transfer-encoding") == 0u);
  }
  const CallError error =
      call_error([&] { f.client.put_artifact(f.run, "gone", f.dir / "no such file"); });
  BOOST_TEST(holds(error.what(), "no such file"), error.what());
}

BOOST_AUTO_TEST_CASE(a_large_file_needs_no_memory) {  // 40
  Fixture f;
  const fs::path large = f.dir / "large";
  std::ofstream(large).put('x');
  fs::resize_file(large, std::uintmax_t{200} << 20);
  const std::uint64_t before = peak_memory_kb();
  f.client.put_artifact(f.run, "large", large);
  BOOST_TEST(f.listing() == "large 209715200");
  BOOST_TEST(peak_memory_kb() - before < 50000u);
}

BOOST_AUTO_TEST_CASE(uploads_are_tried_again) {
  Fixture f;
  const fs::path file = f.file("content");
  for (const FakeFault::Kind kind : {FakeFault::Kind::answer, FakeFault::Kind::close,
                                     FakeFault::Kind::lose, FakeFault::Kind::cut}) {
    f.server.fail({kind, "mlflow-artifacts", 2});
    f.server.edit([](testing::FakeData& data) { data.artifacts.clear(); });
    f.client.put_artifact(f.run, "a", file);
    BOOST_TEST(f.stored("a") == "content");
    f.server.heal();
  }
  f.server.fail({FakeFault::Kind::early,
                 "mlflow-artifacts",
                 1,
                 {413, "<html>too large</html>", "text/html", {}}});
  std::ofstream(file) << std::string(4 << 20, 'x');
  const CallError error = call_error([&] { f.client.put_artifact(f.run, "b", file); });
  BOOST_TEST(error.status() == 413);
  BOOST_TEST((error.failure() == Failure::refused));
}

BOOST_AUTO_TEST_CASE(a_folder_of_this_machine) {  // 42
  const TempDir root;
  FakeOptions options;
  options.artifact_root = root.path().string();
  Fixture f(options);
  f.client.put_artifact(f.run, "a/ö.txt", f.file("hello"));
  f.client.put_artifact_text(f.run, "b", "text");
  const fs::path folder = root / ("1/" + f.run.id + "/artifacts");
  BOOST_TEST(fs::file_size(folder / "a/ö.txt") == 5u);
  BOOST_TEST(fs::file_size(folder / "b") == 4u);
  BOOST_TEST(f.server.count("upload-artifact") == 0u);
  BOOST_TEST(f.server.count("artifacts/list") == 1u);  // Asked once whether it sees that.
  BOOST_TEST(f.listing() == "a/ 0, b 4");
}

BOOST_AUTO_TEST_CASE(a_folder_that_only_looks_like_the_servers) {  // 42
  const TempDir root;
  FakeOptions options;
  options.artifact_root = root.path().string();
  Fixture f(options);
  // As a container's would be: what was written here is not there.
  f.server.intercept =
      [](const testing::FakeRequest& request) -> std::optional<testing::FakeAnswer> {
    if (!holds(request.path, "artifacts/list")) return std::nullopt;
    return testing::FakeAnswer{};
  };
  f.client.put_artifact_text(f.run, "a", "text");
  f.client.put_artifact_text(f.run, "b", "text");
  BOOST_TEST(f.server.count("upload-artifact") == 2u);
  BOOST_TEST(f.server.count("artifacts/list") == 1u);
}

BOOST_AUTO_TEST_CASE(a_folder_of_another_machine) {  // 42
  FakeOptions options;
  options.artifact_root = "gs://somewhere";
  Fixture f(options);
  f.client.put_artifact(f.run, "a b", f.file(std::string(10 << 20, 'x')));
  BOOST_TEST(f.server.count("upload-artifact") == 1u);
  BOOST_TEST(f.server.requests().back().headers.at("content-type") == "application/octet-stream");
  const CallError error = call_error(
      [&] { f.client.put_artifact(f.run, "b", f.file(std::string((10 << 20) + 1, 'x'))); });
  BOOST_TEST((error.failure() == Failure::refused));
  BOOST_TEST(holds(error.what(), "only 10 MiB"), error.what());
  BOOST_TEST(f.server.count("upload-artifact") == 1u);
  const auto model = f.client.create_model("1", "m", f.run.id, {}, {});
  BOOST_TEST((call_error([&] { f.client.put_model_text(model, "a", "x"); }).failure() ==
              Failure::refused));
}

BOOST_AUTO_TEST_CASE(a_server_without_artifacts) {  // 45
  FakeOptions options;
  options.serve_artifacts = false;
  Fixture f(options);
  f.client.put_artifact_text(f.run, "a", "x");
  BOOST_TEST(f.server.count("mlflow-artifacts/artifacts") == 1u);  // Not tried again.
  BOOST_TEST(f.server.count("upload-artifact") == 1u);
  const CallError error =
      call_error([&] { f.client.put_artifact(f.run, "b", f.file(std::string(11 << 20, 'x'))); });
  BOOST_TEST(holds(error.what(), "--no-serve-artifacts"), error.what());
  BOOST_TEST((error.failure() == Failure::refused));
  // MLflow 3.17 itself cannot store what its page uploads: 500, each time.
  f.server.forget_requests();
  f.server.fail(
      {FakeFault::Kind::answer, "upload-artifact", -1, testing::plain(500, "no such scheme")});
  const CallError broken = call_error([&] { f.client.put_artifact_text(f.run, "c", "x"); });
  BOOST_TEST(holds(broken.what(), "--no-serve-artifacts"), broken.what());
  BOOST_TEST((broken.failure() == Failure::refused));
  BOOST_TEST(f.server.count("upload-artifact") == 1u);
}

BOOST_AUTO_TEST_CASE(s3_by_addresses_that_the_server_signs) {  // 44
  FakeOptions options;
  options.artifact_root = "s3://bucket/pre fix";
  options.signs_urls = true;
  options.user = "ann";
  options.password = "hushhush";
  mlflow::Settings settings;
  settings.user = "ann";
  settings.password = "hushhush";
  Fixture f(options, settings);
  f.client.put_artifact(f.run, "a b.txt", f.file("hello"));
  const auto data = f.server.data();
  BOOST_REQUIRE(data.bucket.size() == 1u);
  BOOST_TEST(holds(data.bucket.begin()->first, "bucket/pre fix/1/"), data.bucket.begin()->first);
  const auto put = f.server.requests().back();
  BOOST_TEST(put.method == "PUT");
  BOOST_TEST(put.headers.count("authorization") == 0u);  // The login is not the bucket's business.
  BOOST_TEST(put.headers.at("x-amz-meta-a") == "b");
  f.server.fail({FakeFault::Kind::answer,
                 "/signed/",
                 -1,
                 {403, "<Error>denied</Error>", "application/xml", {}}});
  const CallError error = call_error([&] { f.client.put_artifact_text(f.run, "c", "x"); });
  BOOST_TEST(!holds(error.what(), "hushhush"), error.what());
}

BOOST_AUTO_TEST_CASE(s3_with_a_key_of_ones_own) {  // 44
  FakeOptions options;
  options.artifact_root = "s3://bucket/x";
  FakeMlflow store;  // Stands for S3.
  mlflow::Settings settings;
  settings.aws_key = "AKID";
  settings.aws_secret = "hushhush";
  settings.aws_session = "session";
  settings.aws_region = "eu-central-1";
  settings.s3_endpoint = store.uri();
  Fixture f(options, settings);
  f.client.put_artifact(f.run, "a b.txt", f.file("hello"));
  f.client.put_artifact_text(f.run, "c", "text");
  BOOST_TEST(f.server.count("presigned-upload-url") == 1u);  // It said no: not asked again.
  const auto requests = store.requests();
  BOOST_REQUIRE(requests.size() == 2u);
  BOOST_TEST(requests[0].path == "/bucket/x/1/" + f.run.id + "/artifacts/a b.txt");
  BOOST_TEST(requests[0].body == "hello");
  BOOST_TEST(requests[0].headers.at("x-amz-content-sha256") == sha256("hello"));
  BOOST_TEST(requests[0].headers.at("x-amz-security-token") == "session");
  const std::string signature = requests[0].headers.at("authorization");
  BOOST_TEST(holds(signature, "AWS4-HMAC-SHA256 Credential=AKID/"), signature);
  BOOST_TEST(holds(signature, "/eu-central-1/s3/aws4_request"), signature);
  BOOST_TEST(!holds(signature, "hushhush"));
  BOOST_TEST(requests[1].body == "text");
}

BOOST_AUTO_TEST_CASE(s3_without_either) {
  FakeOptions options;
  options.artifact_root = "s3://bucket/x";
  Fixture f(options);
  f.client.put_artifact_text(f.run, "a", "x");
  BOOST_TEST(f.server.count("upload-artifact") == 1u);
  const auto model = f.client.create_model("1", "m", f.run.id, {}, {});
  const CallError error = call_error([&] { f.client.put_model_text(model, "a", "x"); });
  BOOST_TEST(holds(error.what(), "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"), error.what());
}

BOOST_AUTO_TEST_CASE(large_files_in_parts) {  // 43
  FakeOptions options;
  options.multipart = true;
  mlflow::Settings settings;
  settings.multipart = true;
  settings.multipart_minimum = 1000;
  settings.multipart_chunk = 400;
  Fixture f(options, settings);
  std::string content;
  for (int i = 0; i < 1001; ++i) content += static_cast<char>('a' + i % 26);
  f.client.put_artifact(f.run, "dir/big", f.file(content));
  BOOST_TEST(f.stored("dir/big") == content);
  BOOST_TEST(f.server.count("/bucket/parts/") == 3u);
  BOOST_TEST(f.server.count("mlflow-artifacts/artifacts") == 0u);
  for (const auto& request : f.server.requests()) {
    if (request.method != "PUT") continue;
    BOOST_TEST(request.headers.at("x-a") == "b");
    BOOST_TEST(request.headers.count("content-type") == 0u);
  }
  f.client.put_artifact(f.run, "small", f.file("small"));
  BOOST_TEST(f.server.count("mpu/create") == 1u);
  // A part that does not get through: the upload is given up, the file goes as a whole.
  f.server.fail(
      {FakeFault::Kind::answer, "/bucket/parts/", 1, {403, "<Error/>", "application/xml", {}}});
  f.client.put_artifact(f.run, "other", f.file(content));
  BOOST_TEST(f.stored("other") == content);
  BOOST_TEST(f.server.data().uploads_aborted == 1);
  // A storage that has no parts is asked once.
  Fixture g({}, settings);
  g.client.put_artifact(g.run, "a", g.file(content));
  g.client.put_artifact(g.run, "b", g.file(content));
  BOOST_TEST(g.stored("b") == content);
  BOOST_TEST(g.server.count("mpu/create") == 1u);
}

BOOST_AUTO_TEST_CASE(a_server_of_its_own_for_artifacts) {
  FakeMlflow other;
  FakeOptions options;
  options.token = "hushhush";
  mlflow::Settings settings;
  settings.token = "hushhush";
  Fixture f(options, settings);
  RemoteRun run = f.run;
  run.artifact_uri = "mlflow-artifacts://" + other.uri().substr(7) + "/1/x";
  f.client.put_artifact_text(run, "a", "1");
  run.artifact_uri = other.uri() + "/api/2.0/mlflow-artifacts/artifacts/1/y/";
  f.client.put_artifact_text(run, "b", "2");
  const auto artifacts = other.data().artifacts;
  BOOST_TEST(artifacts.count("1/x/a") == 1u);
  BOOST_TEST(artifacts.count("1/y/b") == 1u);
  // Another host than the one that was named gets no login.
  run.artifact_uri = "mlflow-artifacts://localhost" + other.uri().substr(16) + "/1/z";
  f.client.put_artifact_text(run, "c", "3");
  BOOST_TEST(other.requests().back().headers.count("authorization") == 0u);
  BOOST_TEST(other.requests().front().headers.count("authorization") == 1u);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace cifarpipe
