#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "pipeline/faults.hpp"
#include "pipeline/stage_json.hpp"
#include "tests/unit/child.hpp"
#include "tests/unit/store_fixture.hpp"

namespace cifarpipe {
namespace {

using namespace testing;

BOOST_AUTO_TEST_SUITE(store)

BOOST_AUTO_TEST_CASE(a_result_is_found_as_it_was_published) {
  const TempDir dir;
  Store store(dir / "runs", real_file_ops());
  const JobRef job{kKey, 0};
  BOOST_TEST(!store.find(kKey));
  BOOST_TEST(store.next_generation(kKey) == 0);
  real_file_ops().make_dirs(store.partial_dir(job) / "checkpoint-1");

  const StoredResult made = make(store, job);
  BOOST_TEST(made.dir == dir / "runs/store" / kKey.substr(0, 2) / kKey);
  BOOST_TEST(!fs::exists(store.partial_dir(job)));
  BOOST_TEST(fs::is_empty(dir / "runs/store/tmp"));

  // Another process, later.
  Store again(dir / "runs", real_file_ops());
  const auto found = again.find(kKey);
  BOOST_REQUIRE(found.has_value());
  const ResultRecord& record = found->record;
  BOOST_TEST((record.job == job));
  BOOST_TEST(record.stage == "train");
  BOOST_TEST(record.key_document == kDocument);
  BOOST_REQUIRE(found->port("model") != nullptr);
  BOOST_TEST((found->port("model")->files == made.port("model")->files));
  BOOST_TEST(found->port("empty")->files.empty());
  BOOST_TEST(found->port("none") == nullptr);
  BOOST_TEST(read_text_file(found->port_dir("model") / "weights") == "weights");
  BOOST_REQUIRE_EQUAL(record.facts.size(), 2u);
  BOOST_TEST(record.facts[0].second == "a \"fast\" one");
  BOOST_TEST(record.usage.wall_ms == 1234);
  BOOST_TEST(record.usage.cpu_ms == 2345);
  BOOST_TEST(record.usage.peak_rss_bytes == 1 << 30);
  BOOST_TEST(record.attempts == 3);
  BOOST_TEST(record.created_ms == 1700000000000);
  check_points(again.read_points(job));
  BOOST_TEST(again.verify(job).empty());
  BOOST_TEST((again.list() == std::vector<JobRef>{job}));
}

BOOST_AUTO_TEST_CASE(modes_are_the_same_under_any_umask) {
  const TempDir dir;
  const mode_t before = ::umask(0077);
  Store store(dir / "runs", real_file_ops());
  const fs::path result = make(store, {kKey, 0}).dir;
  ::umask(before);
  const auto mode = [](const fs::path& path) {
    struct stat info;
    BOOST_REQUIRE(::stat(path.c_str(), &info) == 0);
    return info.st_mode & 07777;
  };
  BOOST_TEST(mode(result) == 0755u);
  for (const auto& entry : fs::recursive_directory_iterator(result)) {
    BOOST_TEST(mode(entry.path()) == (entry.is_directory() ? 0755u : 0444u), entry.path());
  }
}

BOOST_AUTO_TEST_CASE(what_is_written_is_the_documented_format) {
  const TempDir dir;
  Store store(dir / "runs", real_file_ops());
  const fs::path result = make(store, {kKey, 2}).dir;
  BOOST_TEST(result.filename() == kKey + ".2");
  const auto json = nlohmann::json::parse(read_text_file(result / "stage.json"));
  BOOST_TEST(json["format"] == 1);
  BOOST_TEST(json["stage"] == "train");
  BOOST_TEST(json["key"] == kKey);
  BOOST_TEST(json["generation"] == 2);
  BOOST_TEST(json["outputs"]["model"][1]["path"] == "weights");
  BOOST_TEST(json["outputs"]["model"][1]["size"] == 7);
  BOOST_TEST(json["outputs"]["model"][1]["sha256"] == sha256("weights"));
  BOOST_TEST(json["outputs"]["empty"].empty());
  BOOST_TEST(json["metrics"]["points"] == 6);
  BOOST_TEST(json["key_document"] == kDocument);
  const std::string metrics = read_text_file(result / "metrics.jsonl");
  BOOST_TEST(
      metrics.starts_with(R"({"metric":"loss","step":1,"time_ms":1700000000000,"value":0.1})"
                          "\n"
                          R"({"metric":"loss","step":2,"time_ms":1700000000001,"value":"nan"})"
                          "\n"));
}

BOOST_AUTO_TEST_CASE(the_highest_intact_generation_is_current) {
  const TempDir dir;
  Store store(dir / "runs", real_file_ops());
  make(store, {kKey, 0}, "old");
  BOOST_TEST(store.next_generation(kKey) == 1);
  make(store, {kKey, 1}, "new");
  make(store, {kKey, 10}, "newest");
  BOOST_TEST(store.next_generation(kKey) == 11);
  BOOST_TEST(store.find(kKey)->record.job.generation == 10);
  fs::remove(store.result_dir({kKey, 10}) / "model/weights");
  BOOST_TEST(store.find(kKey)->record.job.generation == 1);
  BOOST_TEST(!fs::exists(store.result_dir({kKey, 10})));
  BOOST_TEST(store.find(JobRef{kKey, 0})->record.job.generation == 0);
  BOOST_TEST(!store.find(JobRef{kKey, 10}));
}

BOOST_AUTO_TEST_CASE(damage_counts_as_absent_and_is_moved_away) {
  const JobRef job{kKey, 0};
  struct Damage {
    std::string sentence;
    std::function<void(const fs::path&)> inflict;
  };
  const auto write = [](const char* name, const std::string& text) {
    return [=](const fs::path& result) {
      fs::remove(result / name);
      real_file_ops().write_file(result / name, text);
    };
  };
  const Damage damages[] = {
      {"stage.json is damaged", write("stage.json", "")},
      {"stage.json is damaged: line 1 is no JSON", write("stage.json", "{")},
      {"stage.json is damaged: it is JSON, but not as", write("stage.json", "[1, 2]")},
      {"stage.json is damaged", write("stage.json", "{\"format\": 1}")},
      {"has format 2 instead of 1", write("stage.json", "{\"format\": 2}")},
      {"stage.json is damaged", write("stage.json", std::string(100000, '['))},
      {"No such file", [](const fs::path& r) { fs::remove(r / "stage.json"); }},
      {"metrics.jsonl is missing", [](const fs::path& r) { fs::remove(r / "metrics.jsonl"); }},
      {"model/weights is missing", [](const fs::path& r) { fs::remove(r / "model/weights"); }},
      {"model/weights has 4 bytes instead of 7", write("model/weights", "weig")},
      {"model/extra does not belong to it", write("model/extra", "")},
      {"the folder empty is missing", [](const fs::path& r) { fs::remove(r / "empty"); }},
      {"is a symbolic link",
       [](const fs::path& r) { fs::create_symlink("weights", r / "model/link"); }},
  };
  for (const Damage& damage : damages) {
    const TempDir dir;
    Store store(dir / "runs", real_file_ops());
    damage.inflict(make(store, job).dir);
    const auto problems = store.verify(job);
    BOOST_REQUIRE_EQUAL(problems.size(), 1u);
    BOOST_TEST(problems[0].message.find(damage.sentence) != std::string::npos, problems[0].message);
    BOOST_TEST(!store.find(kKey));
    BOOST_TEST(!fs::exists(store.result_dir(job)));
    BOOST_TEST(tree(dir / "runs/store/tmp").size() > 1u);
    make(store, job);
    BOOST_TEST(store.find(kKey).has_value());
  }
}

BOOST_AUTO_TEST_CASE(verify_sees_what_sizes_do_not_tell) {
  const TempDir dir;
  Store store(dir / "runs", real_file_ops());
  const JobRef job{kKey, 0};
  const fs::path result = make(store, job).dir;
  fs::remove(result / "model/weights");
  real_file_ops().write_file(result / "model/weights", "WEIGHTS");
  BOOST_TEST(store.find(kKey).has_value());
  const auto problems = store.verify(job);
  BOOST_REQUIRE_EQUAL(problems.size(), 1u);
  BOOST_TEST(problems[0].message ==
             fmt::format("the content of model/weights differs: its SHA-256 is {} instead of {}",
                         sha256("WEIGHTS"), sha256("weights")));
  BOOST_TEST(store.verify({kKey, 7})[0].message == "there is no such result");
  store.set_aside(job);
  BOOST_TEST(!store.find(kKey));
}

BOOST_AUTO_TEST_CASE(stage_json_of_any_bytes_is_no_crash) {
  const TempDir dir;
  Store store(dir / "runs", real_file_ops());
  const std::string text = read_text_file(make(store, {kKey, 0}).dir / "stage.json");
  std::string why;
  BOOST_REQUIRE(read_stage_json(text, why));
  for (std::size_t i = 0; i < text.size(); ++i) {
    for (const char c : {'\0', '\xff', '"', '-', '}', '9'}) {
      std::string wrong = text;
      wrong[i] = c;
      (void)read_stage_json(wrong, why);
    }
    if (i + 2 < text.size()) BOOST_TEST(!read_stage_json(text.substr(0, i), why));
  }
  const auto with_path = [&](const std::string& path) {
    std::string changed = text;
    changed.replace(changed.find("\"weights\""), 9, '"' + path + '"');
    return read_stage_json(changed, why).has_value();
  };
  BOOST_TEST(with_path("a/b"));
  for (const char* path : {"", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", "."}) {
    BOOST_TEST(!with_path(path), path);
  }
}

BOOST_AUTO_TEST_CASE(find_leaves_alone_what_someone_is_at_work_on) {
  const TempDir dir;
  Store store(dir / "runs", real_file_ops());
  const JobRef job{kKey, 0};
  const fs::path result = make(store, job).dir;
  fs::remove(result / "model/weights");
  const auto lock = Lock::try_lock(store.lock_file(job));
  BOOST_TEST(!store.find(kKey));
  BOOST_TEST(fs::exists(result));
  // The one at work replaces it.
  const fs::path work = store.new_work_dir(job);
  store.publish(work, fill(work, job), kPoints);
  BOOST_TEST(store.find(kKey).has_value());
}

BOOST_AUTO_TEST_CASE(publishing_twice_or_what_is_not_declared_is_refused) {
  const TempDir dir;
  Store store(dir / "runs", real_file_ops());
  const JobRef job{kKey, 0};
  make(store, job);
  BOOST_CHECK_THROW(make(store, job), Error);
  BOOST_TEST(store.find(kKey).has_value());

  const JobRef other{kKey, 1};
  const auto refuse = [&](const std::function<void(const fs::path&)>& spoil) {
    const fs::path work = store.new_work_dir(other);
    const ResultRecord record = fill(work, other);
    spoil(work);
    BOOST_CHECK_THROW(store.publish(work, record, {}), Error);
    BOOST_TEST(!fs::exists(work));
    BOOST_TEST(!fs::exists(store.result_dir(other)));
  };
  refuse([](const fs::path& w) { real_file_ops().write_file(w / "model/extra", ""); });
  refuse([](const fs::path& w) { real_file_ops().write_file(w / "extra", ""); });
  refuse([](const fs::path& w) { real_file_ops().write_file(w / "model/weights", "longer one"); });
  refuse([](const fs::path& w) { fs::remove(w / "model/weights"); });
  real_file_ops().write_file(dir / "outside", "");
  real_file_ops().chmod(dir / "outside", 0600);
  refuse([&](const fs::path& w) { fs::create_symlink(dir / "outside", w / "model/link"); });
  BOOST_TEST((fs::status(dir / "outside").permissions() == fs::perms(0600)));
}

BOOST_AUTO_TEST_CASE(keys_that_are_none_are_refused) {
  const TempDir dir;
  Store store(dir / "runs", real_file_ops());
  for (const std::string& key :
       {std::string(), std::string("../../x"), std::string(64, 'A'), std::string(63, 'a')}) {
    BOOST_CHECK_THROW(store.result_dir({key, 0}), Error);
  }
  BOOST_CHECK_THROW(store.result_dir({kKey, -1}), Error);
  // Names in the store that are no results.
  make(store, {kKey, 0});
  const fs::path prefix = store.result_dir({kKey, 0}).parent_path();
  for (const std::string& name : {kKey + ".", kKey + ".0", kKey + ".01", kKey + ".1x", kKey + "x",
                                  kKey + ".99999999999", std::string("x")}) {
    fs::create_directories(prefix / name);
  }
  BOOST_TEST(store.list().size() == 1u);
  BOOST_TEST(store.next_generation(kKey) == 1);
  BOOST_TEST(store.find(kKey).has_value());
}

BOOST_AUTO_TEST_CASE(removing_and_what_is_stale) {
  const TempDir dir;
  Store store(dir / "runs", real_file_ops());
  const JobRef job{kKey, 0};
  const JobRef other{kKey, 1};
  make(store, job);
  make(store, other);
  real_file_ops().make_dirs(store.partial_dir(other) / "checkpoint-1");
  BOOST_TEST((store.partials() == std::vector<JobRef>{other}));
  store.remove(other);
  BOOST_TEST(store.partials().empty());
  BOOST_TEST((store.list() == std::vector<JobRef>{job}));
  BOOST_TEST(fs::is_empty(dir / "runs/store/tmp"));

  auto lock = Lock::try_lock(store.lock_file(other));
  const fs::path work = store.new_work_dir(other);
  real_file_ops().write_file(work / "half", "");
  BOOST_TEST(store.stale_work_dirs().empty());
  store.remove_free_locks();
  BOOST_TEST(fs::exists(store.lock_file(other)));
  BOOST_TEST(!fs::exists(store.lock_file(job)));
  lock->release();
  BOOST_TEST((store.stale_work_dirs() == std::vector<fs::path>{work}));
  lock = Lock::try_lock(store.lock_file(other));
  const fs::path next = store.new_work_dir(other);
  BOOST_TEST(!fs::exists(work));
  BOOST_TEST(fs::is_empty(next));
}

BOOST_AUTO_TEST_CASE(an_unusable_folder_is_the_environments_fault) {
  BOOST_CHECK_EXCEPTION(Store("/dev/null/runs", real_file_ops()), Error,
                        [](const Error& e) { return e.kind() == ErrorKind::environment; });
}

BOOST_AUTO_TEST_CASE(differences_are_named) {
  ResultRecord a;
  a.outputs = {{"model", {{"w", 1, "1"}, {"v", 1, "2"}}}, {"report", {}}};
  ResultRecord b = a;
  BOOST_TEST(same_outputs(a, b));
  std::swap(b.outputs[0].files[0], b.outputs[0].files[1]);
  std::swap(b.outputs[0], b.outputs[1]);
  BOOST_TEST(same_outputs(a, b));
  b.outputs[1].files[0].sha256 = "3";
  b.outputs[1].files.push_back({"x", 0, ""});
  b.outputs.erase(b.outputs.begin());
  BOOST_TEST((differing_files(a, b) == std::vector<std::string>{"model/v", "model/x", "report/"}));
  BOOST_TEST((differing_files(b, a) == differing_files(a, b)));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace cifarpipe
