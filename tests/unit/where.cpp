#include "tracking/where.hpp"

#include <fmt/format.h>

#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <sstream>

#include "pipeline/diagnostics.hpp"
#include "pipeline/file_ops.hpp"
#include "tests/unit/temp_dir.hpp"
#include "tracking/known_keys.hpp"
#include "tracking/queries.hpp"
#include "tracking/recorder.hpp"

namespace cifarpipe {
namespace {

using testing::TempDir;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr std::int64_t kDay = 86'400'000;

/// Six runs that have everything that can be asked for.
///   good     FINISHED, accuracy 0.9, lr 0.001, adam, loss ends at 0.1 (had NaN between)
///   poor     FINISHED, accuracy 0.7, lr 0.01, sgd
///   broken   FAILED, loss ends NaN, lr 0.001
///   blown    KILLED, loss ends inf, lr inf
///   cell     RUNNING, child of good, no metrics
///   odd      FINISHED, with a tag, a fact and odd names
struct Fixture {
  TempDir dir;
  SqliteRecorder recorder{dir / "cifarpipe.db"};
  int made = 0;

  void run(const std::string& name, const std::optional<RunStatus>& status,
           std::vector<std::pair<std::string, Value>> params,
           const std::vector<std::pair<std::string, std::vector<double>>>& metrics) {
    NewRun row;
    row.id = fmt::format("{:02}aa", ++made);
    row.name = name;
    row.experiment = name == "odd" ? "other" : "try";
    row.parent_id = name == "cell" ? "01aa" : "";
    if (name == "cell") row.cell = "train.lr=1";
    row.start_ms = made * kDay;
    row.params = std::move(params);
    if (name == "odd") row.tags = {{"who", "me 100%"}, {"my tag", "x"}};
    if (name == "odd") row.facts = {{"git.commit", "abc123"}};
    recorder.create_run(row);
    const JobRef job{"job-" + name, 0};
    for (const char* stage : {"train", "test"}) {
      RunStage s;
      s.name = stage;
      s.uses = stage;
      s.position = stage == std::string("train") ? 0 : 1;
      s.action = "run";
      s.status = "finished";
      s.job = {job.key + stage, 0};
      recorder.put_run_stage(row.id, s);
      recorder.begin_attempt(s.job, stage, std::nullopt, 1);
      std::vector<RingPoint> points;
      for (const auto& [key, values] : metrics) {
        if (!key.starts_with(std::string(stage) + "/")) continue;
        for (std::size_t i = 0; i < values.size(); ++i) {
          points.push_back({s.job, 1, points.size() + 1, key.substr(key.find('/') + 1),
                            static_cast<std::int64_t>(i + 1), 5, values[i]});
        }
      }
      recorder.store_points("ring" + row.id + stage, points, points.size());
    }
    if (status) recorder.finish_run(row.id, *status, row.start_ms + made * 1000, "");
  }

  Fixture() {
    run("good", RunStatus::finished,
        {{"train.lr", 0.001},
         {"train.optimizer", std::string("adam")},
         {"train.epochs", std::int64_t{20}},
         {"train.flip", true}},
        {{"train/loss", {0.5, kNan, 0.1}}, {"test/accuracy", {0.9}}});
    run("poor", RunStatus::finished,
        {{"train.lr", 0.01}, {"train.optimizer", std::string("sgd")}, {"train.flip", false}},
        {{"train/loss", {0.9, 0.6}}, {"test/accuracy", {0.7}}});
    run("broken", RunStatus::failed, {{"train.lr", 0.001}}, {{"train/loss", {0.4, kNan}}});
    run("blown", RunStatus::killed, {{"train.lr", kInf}}, {{"train/loss", {0.4, kInf}}});
    run("cell", std::nullopt, {{"train.list", std::vector<double>{0.5, 2.0}}}, {});
    run("odd", RunStatus::finished, {{"train.odd key.max", std::int64_t{3}}},
        {{"test/top.max", {0.3}}, {"test/class/sea cat", {0.5}}});
  }

  /// Names in the order of making, "good poor".
  std::string found(std::string_view text) {
    const Where where = parse_where(text);
    StoreKeys known(recorder.database());
    check_keys(where, known);
    RunQueries queries(recorder.database());
    RunFilter filter;
    filter.where = to_sql(where, 10 * kDay);
    std::string out;
    for (const RunRow& row : queries.runs(filter)) {
      out = row.record.name + (out.empty() ? "" : " ") + out;
    }
    return out;
  }

  /// What is printed about a wrong expression.
  std::string said(std::string_view text) {
    try {
      return "found: " + found(text);
    } catch (const WhereError& error) {
      Diagnostics d;
      d.add_source("--where", text);
      d.error(*error.place(), error.what(), error.length());
      return d.render();
    }
  }
};

BOOST_FIXTURE_TEST_SUITE(where, Fixture)

BOOST_AUTO_TEST_CASE(numbers) {
  BOOST_TEST(found("metrics.test/accuracy > 0.8") == "good");
  BOOST_TEST(found("metrics.test/accuracy > 0.8 and params.train.lr = 0.001") == "good");
  BOOST_TEST(found("test/accuracy >= 0.7 and test/accuracy <= 0.9") == "good poor");
  BOOST_TEST(found("test/accuracy != 0.7") == "good");  // Not those that have none.
  BOOST_TEST(found("train.lr==1e-3") == "good broken");
  BOOST_TEST(found("params.train.epochs = 20.0") == "good");
  BOOST_TEST(found("train.epochs > -1") == "good");
  BOOST_TEST(found("attempt = 1 and name = 'odd'") == "odd");
}

BOOST_AUTO_TEST_CASE(parts_of_a_metric) {
  BOOST_TEST(found("metrics.train/loss.min < 0.2") == "good");
  BOOST_TEST(found("metrics.train/loss.max > 0.8") == "poor");
  BOOST_TEST(found("train/loss.step = 3") == "good");
  BOOST_TEST(found("train/loss.points = 2") == "poor broken blown");
  BOOST_TEST(found("train/loss.last = 0.6") == "poor");
  BOOST_TEST(found("train/loss.any = 0.5") == "good");
  BOOST_TEST(found("train/loss.any is nan") == "good broken");
}

BOOST_AUTO_TEST_CASE(what_is_not_finite_satisfies_no_comparison) {
  BOOST_TEST(found("train/loss < 1e300") == "good poor");
  BOOST_TEST(found("train/loss > -1e300") == "good poor");
  BOOST_TEST(found("train/loss != 7") == "good poor");
  BOOST_TEST(found("train/loss is nan") == "broken");
  BOOST_TEST(found("train/loss is_nan") == "broken");
  BOOST_TEST(found("is_nan(metrics.train/loss)") == "broken");
  BOOST_TEST(found("train/loss is inf") == "blown");
  BOOST_TEST(found("train/loss is finite") == "good poor");
  BOOST_TEST(found("train/loss is not finite") == "broken blown");
  BOOST_TEST(found("not train/loss is finite") == "broken blown cell odd");
  BOOST_TEST(found("train.lr is inf") == "blown");
  BOOST_TEST(found("train.lr < 1e300") == "good poor broken");
  BOOST_TEST(found("train.lr is finite") == "good poor broken");
}

BOOST_AUTO_TEST_CASE(what_is_missing_satisfies_nothing_and_not_turns_that_round) {
  BOOST_TEST(found("test/accuracy is missing") == "broken blown cell odd");
  BOOST_TEST(found("test/accuracy is not missing") == "good poor");
  BOOST_TEST(found("not test/accuracy > 0.8") == "poor broken blown cell odd");
  BOOST_TEST(found("not not test/accuracy > 0.8") == "good");
  BOOST_TEST(found("tags.never is missing") == "good poor broken blown cell odd");
  BOOST_TEST(found("params.train.epochs is missing") == "poor broken blown cell odd");
  BOOST_TEST(found("end is missing") == "cell");
  BOOST_TEST(found("cell is not missing") == "cell");
}

BOOST_AUTO_TEST_CASE(text_and_truth) {
  BOOST_TEST(found("train.optimizer = adam") == "good");
  BOOST_TEST(found("train.optimizer = 'adam'") == "good");
  BOOST_TEST(found("train.optimizer != \"adam\"") == "poor");
  BOOST_TEST(found("train.flip = true") == "good");
  BOOST_TEST(found("train.flip = false") == "poor");
  BOOST_TEST(found("train.flip = 1") == "");  // A truth value is no number.
  BOOST_TEST(found("train.lr = '0.001'") == "");
  BOOST_TEST(found("train.list contains '2.0'") == "cell");
  BOOST_TEST(found("name like '%o%'") == "good poor broken blown odd");
  BOOST_TEST(found("name like 'GO_D'") == "good");
  BOOST_TEST(found("name contains OO") == "good poor");
  BOOST_TEST(found("tags.who contains '100%'") == "odd");
  BOOST_TEST(found("tags.who contains '1%0'") == "");  // Here a % is a %.
  BOOST_TEST(found("tags.`my tag` = x") == "odd");
  BOOST_TEST(found("facts.git.commit like 'abc%'") == "odd");
  BOOST_TEST(found("experiment != try") == "odd");
  BOOST_TEST(found("parent = good") == "cell");
  BOOST_TEST(found("status = finished") == "good poor odd");
  BOOST_TEST(found("status != FINISHED and status != running") == "broken blown");
}

BOOST_AUTO_TEST_CASE(odd_keys) {
  BOOST_TEST(found("metrics.`test/top.max` = 0.3") == "odd");
  BOOST_TEST(found("metrics.\"test/top.max\".min = 0.3") == "odd");
  BOOST_TEST(found("metrics.test/class/`sea cat` = 0.5") == "odd");
  BOOST_TEST(found("params.'train.odd key.max' = 3") == "odd");
  BOOST_TEST(found("name = 'it''s'") == "");
}

BOOST_AUTO_TEST_CASE(times) {
  BOOST_TEST(found("start = 1970-01-03") == "poor");
  BOOST_TEST(found("start != 1970-01-03 and start < 1970-01-05") == "good broken");
  BOOST_TEST(found("start > 1970-01-03 and start <= '1970-01-05'") == "broken blown");
  BOOST_TEST(found("start = '1970-01-02 00:00'") == "good");
  BOOST_TEST(found("start > '1970-01-02 00:00:00'") == "poor broken blown cell odd");
  BOOST_TEST(found("start >= 1970-01-06T00:00:00Z") == "cell odd");
  BOOST_TEST(found("end < '1970-01-02 00:00:02'") == "good");
  BOOST_TEST(found("duration <= 2 and duration > 1000ms") == "poor");
  BOOST_TEST(found("duration > 1h") == "cell");  // It has been running for days.
  BOOST_TEST(found("age < 5d") == "odd");
}

BOOST_AUTO_TEST_CASE(precedence) {
  BOOST_TEST(found("name = good or name = poor and status = failed") == "good");
  BOOST_TEST(found("(name = good or name = poor) and status = failed") == "");
  BOOST_TEST(found("not name = good and status = finished") == "poor odd");
  BOOST_TEST(found("not (name = good and status = finished)") == "poor broken blown cell odd");
  BOOST_TEST(found("name = odd OR NOT (status = finished Or status = failed)") == "blown cell odd");
}

/// tests/golden/where.txt: lines "> EXPRESSION", each followed by exactly what is printed.
BOOST_AUTO_TEST_CASE(errors) {
  const std::filesystem::path file =
      std::filesystem::path(CIFARPIPE_SOURCE_DIR) / "tests/golden/where.txt";
  const std::string golden = read_text_file(file);
  std::string now;
  std::istringstream lines(golden);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("> ")) now += line + "\n" + said(line.substr(2));
  }
  if (std::getenv("CIFARPIPE_UPDATE_GOLDEN") != nullptr) std::ofstream(file) << now;
  BOOST_TEST(now == golden);
  BOOST_TEST(now.find("found: ") == std::string::npos);
}

BOOST_AUTO_TEST_CASE(values_are_bound_and_never_pasted) {
  BOOST_TEST(found("name = 'x'' OR 1=1 --'") == "");
  BOOST_TEST(found("tags.who = '; DROP TABLE run'") == "");
  const SqlText sql = to_sql(parse_where("name = 'secret' and tags.'odd;key' = \"v\""), 0);
  for (const char* typed : {"secret", "odd", "\"v\""}) {
    BOOST_TEST(sql.sql.find(typed) == std::string::npos, typed);
  }
  BOOST_TEST(sql.values.size() == 3);
}

BOOST_AUTO_TEST_CASE(keys_for_sorting_and_columns) {
  const std::string text = "status,train/loss.min,train.lr,nope";
  BOOST_CHECK(
      (parse_field(text, {0, 6}, "--columns") == RunField{RunField::Of::attribute, "status", {}}));
  BOOST_CHECK((parse_field(text, {7, 14}, "--columns") ==
               RunField{RunField::Of::metric, "train/loss", RunField::Part::min}));
  BOOST_CHECK(
      (parse_field(text, {22, 8}, "--columns") == RunField{RunField::Of::param, "train.lr", {}}));
  try {
    parse_field(text, {31, 4}, "--columns");
    BOOST_ERROR("accepted");
  } catch (const WhereError& error) {
    BOOST_TEST(error.place()->column == 32);
    BOOST_TEST(error.length() == 4);
  }
  BOOST_CHECK_THROW(parse_field("train/loss.any", {0, 14}, "--sort"), WhereError);
  BOOST_CHECK_THROW(parse_field("a b", {0, 3}, "--sort"), WhereError);
  BOOST_CHECK_THROW(parse_field("", {0, 0}, "--sort"), WhereError);
}

BOOST_AUTO_TEST_CASE(sorting_puts_what_is_missing_last) {
  RunQueries queries(recorder.database());
  const auto sorted = [&](const char* key, bool descending) {
    RunFilter filter;
    filter.order = to_sql(parse_field(key, {0, std::string_view(key).size()}, "--sort"), 0);
    filter.descending = descending;
    std::string out;
    for (const RunRow& row : queries.runs(filter)) out += row.record.name + " ";
    return out;
  };
  BOOST_TEST(sorted("train/loss", false) == "good poor odd cell blown broken ");
  BOOST_TEST(sorted("train/loss", true) == "poor good odd cell blown broken ");
  BOOST_TEST(sorted("train.lr", true) == "poor broken good odd cell blown ");
  BOOST_TEST(sorted("name", false) == "blown broken cell good odd poor ");
}

BOOST_AUTO_TEST_CASE(values_as_they_are_shown) {
  const auto shown = [&](const char* key, const char* run) -> std::string {
    FieldReader reader(recorder.database(),
                       parse_field(key, {0, std::string_view(key).size()}, "x"), 0);
    const auto value = reader.of(run);
    if (const auto* text = std::get_if<std::string>(&value)) return *text;
    if (const auto* whole = std::get_if<std::int64_t>(&value)) return fmt::format("{}", *whole);
    if (const auto* real = std::get_if<double>(&value)) return fmt::format("{}", *real);
    return "none";
  };
  BOOST_TEST(shown("train/loss", "01aa") == "0.1");
  BOOST_TEST(shown("train/loss", "03aa") == "nan");
  BOOST_TEST(shown("train/loss", "04aa") == "inf");
  BOOST_TEST(shown("train/loss", "05aa") == "none");
  BOOST_TEST(shown("train/loss.points", "01aa") == "3");
  BOOST_TEST(shown("train.flip", "02aa") == "false");
  BOOST_TEST(shown("train.lr", "04aa") == "inf");
  BOOST_TEST(shown("tags.who", "06aa") == "me 100%");
  BOOST_TEST(shown("parent", "05aa") == "good");
}

BOOST_AUTO_TEST_CASE(limits) {
  std::string deep(60, '('), wide = "attempt = 1";
  for (int i = 0; i < 250; ++i) wide += " or attempt = 1";
  BOOST_TEST(said(deep).find("nested too deep") != std::string::npos);
  BOOST_TEST(said(wide).find("more than 200 comparisons") != std::string::npos);
  std::string most = "attempt = 1";
  for (int i = 1; i < 200; ++i) most += " or attempt = 1";
  BOOST_TEST(found(most) == "good poor broken blown cell odd");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace cifarpipe
