// `cifarpipe runs list`: which runs, in which order, as a table, CSV or JSON.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "cli/command.hpp"
#include "cli/help.hpp"
#include "cli/runs.hpp"
#include "cli/say.hpp"
#include "cli/session.hpp"
#include "pipeline/diagnostics.hpp"
#include "pipeline/random_id.hpp"
#include "tracking/csv.hpp"
#include "tracking/known_keys.hpp"
#include "tracking/recorder.hpp"

namespace cifarpipe::cli {
namespace {

constexpr std::size_t kUsualLines = 30;

struct ListArguments {
  RunFilter filter;
  std::optional<std::size_t> limit;
  std::string where;
  std::string sort;
  std::string columns;
  bool flat = false;
  bool json = false;
  bool csv = false;
};

struct Sort {
  RunField field;
  WhereSpan span;
  bool descending = false;
};

/// What is asked for, parsed; looks at no store.
struct Question {
  std::optional<Where> where;
  std::optional<Sort> sort;
  std::vector<std::pair<RunField, WhereSpan>> columns;
};

Sort sort_of(const std::string& text) {
  Sort sort;
  sort.span = {0, text.size()};
  for (const std::string_view direction : {":asc", ":desc"}) {
    if (!text.ends_with(direction)) continue;
    sort.descending = direction == ":desc";
    sort.span.size -= direction.size();
  }
  sort.field = parse_field(text, sort.span, "--sort");
  return sort;
}

std::vector<std::pair<RunField, WhereSpan>> columns_of(const std::string& text) {
  std::vector<std::pair<RunField, WhereSpan>> out;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const WhereSpan span{begin, end - begin};
    out.emplace_back(parse_field(text, span, "--columns"), span);
    begin = end + 1;
  }
  return out;
}

Question parse(const ListArguments& arguments) {
  if (arguments.json && arguments.csv) {
    throw Error("--json and --csv exclude each other", ErrorKind::usage);
  }
  if (arguments.json && !arguments.columns.empty()) {
    throw Error("--columns is for tables and --csv; --json has everything", ErrorKind::usage);
  }
  Question question;
  if (!arguments.where.empty()) question.where = parse_where(arguments.where);
  if (!arguments.sort.empty()) question.sort = sort_of(arguments.sort);
  if (!arguments.columns.empty()) question.columns = columns_of(arguments.columns);
  return question;
}

/// Throws for keys that no run of this store has.
void check(const Question& question, const ListArguments& arguments, Database& db) {
  StoreKeys known(db);
  if (question.where) check_keys(*question.where, known);
  if (question.sort) {
    check_key(question.sort->field, arguments.sort, question.sort->span, "--sort", known);
  }
  for (const auto& [field, span] : question.columns) {
    check_key(field, arguments.columns, span, "--columns", known);
  }
}

/// A time of the database as the CSV has it.
std::string csv_time(std::int64_t ms) {
  const std::string text = time_text(ms);  // "2026-11-23 14:02:33 UTC"
  return text.substr(0, text.find(" UTC"));
}

std::string csv_value(const FieldReader::Value& value, const RunField& field) {
  if (const auto* whole = std::get_if<std::int64_t>(&value)) {
    const bool attribute = field.of == RunField::Of::attribute;
    const auto type = attribute ? attribute_type(field.key) : std::nullopt;
    if (type == AttributeType::time) return csv_time(*whole);
    if (type == AttributeType::span) return number_text(static_cast<double>(*whole) / 1000);
    return fmt::format("{}", *whole);
  }
  if (const auto* real = std::get_if<double>(&value)) return number_text(*real);
  const auto* text = std::get_if<std::string>(&value);
  return text == nullptr ? "" : *text;
}

/// The attributes, then every parameter and every metric that one of the runs has.
std::vector<RunField> all_fields(RunQueries& queries, const std::vector<RunRow>& rows) {
  std::vector<RunField> out;
  for (const char* name : {"id", "name", "experiment", "parent", "cell", "status", "attempt",
                           "start", "end", "duration"}) {
    out.push_back({RunField::Of::attribute, name, {}});
  }
  for (const RunField::Of of : {RunField::Of::param, RunField::Of::metric}) {
    std::set<std::string> seen;
    const auto add = [&](const std::string& key) {
      if (seen.insert(key).second) out.push_back({of, key, {}});
    };
    for (const RunRow& row : rows) {
      if (of == RunField::Of::param) {
        for (const RunParam& param : queries.params(row.record.id)) add(param.key);
      } else {
        for (const MetricSummary& metric : queries.metrics(row.record.id)) add(metric.key);
      }
    }
  }
  return out;
}

/// All parameters and last values of a run: one query instead of one a column.
std::map<std::string, std::string> values_of(RunQueries& queries, const std::string& id) {
  std::map<std::string, std::string> out;
  for (RunParam& p : queries.params(id)) out["params." + p.key] = std::move(p.text);
  for (const MetricSummary& m : queries.metrics(id)) out["metrics." + m.key] = number_text(m.last);
  return out;
}

void print_everything(RunQueries& queries, const std::vector<RunRow>& rows) {
  const std::int64_t now = now_ms();
  const std::vector<RunField> fields = all_fields(queries, rows);
  std::vector<std::string> line;
  std::vector<FieldReader> attributes;
  for (const RunField& field : fields) {
    line.push_back(to_text(field));
    if (field.of == RunField::Of::attribute)
      attributes.emplace_back(queries.database(), field, now);
  }
  fmt::print("{}", csv_line(line));
  for (const RunRow& row : rows) {
    auto values = values_of(queries, row.record.id);
    for (std::size_t i = 0; i < fields.size(); ++i) {
      line[i] = i < attributes.size() ? csv_value(attributes[i].of(row.record.id), fields[i])
                                      : values[to_text(fields[i])];
    }
    fmt::print("{}", csv_line(line));
  }
}

void print_csv(RunQueries& queries, const std::vector<RunRow>& rows,
               const std::vector<RunField>& fields) {
  const std::int64_t now = now_ms();
  std::vector<FieldReader> readers;
  std::vector<std::string> line;
  for (const RunField& field : fields) {
    readers.emplace_back(queries.database(), field, now);
    line.push_back(to_text(field));
  }
  fmt::print("{}", csv_line(line));
  for (const RunRow& row : rows) {
    line.clear();
    for (std::size_t i = 0; i < fields.size(); ++i) {
      line.push_back(csv_value(readers[i].of(row.record.id), fields[i]));
    }
    fmt::print("{}", csv_line(line));
  }
}

int list_runs(RunQueries& queries, const ListArguments& arguments, const Question& question) {
  check(question, arguments, queries.database());
  RunFilter filter = arguments.filter;
  if (question.where) filter.where = to_sql(*question.where, now_ms());
  if (question.sort) {
    filter.order = to_sql(question.sort->field, now_ms());
    filter.descending = question.sort->descending;
  }
  if (arguments.json) {
    const auto list = queries.list_json(filter, arguments.limit.value_or(SIZE_MAX));
    fmt::print("{}\n", list.dump(1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
    return 0;
  }
  std::vector<RunRow> rows = queries.runs(filter);
  std::vector<RunField> fields;
  for (const auto& column : question.columns) fields.push_back(column.first);
  if (arguments.csv) {
    if (arguments.limit && rows.size() > *arguments.limit) rows.resize(*arguments.limit);
    if (fields.empty())
      print_everything(queries, rows);
    else
      print_csv(queries, rows, fields);
    return 0;
  }
  if (rows.empty()) {
    fmt::print("no such runs\n");
    return 0;
  }
  RunTable table;
  table.limit = arguments.limit.value_or(kUsualLines);
  table.tree = !arguments.flat && !question.sort;
  table.fields = std::move(fields);
  print_run_table(queries, rows, table, Look::of_stdout(), "");
  return 0;
}

int list(const Program& program, const ListArguments& arguments) {
  const Question question = parse(arguments);
  if (!has_database(program)) {
    if (arguments.json)
      fmt::print("[]\n");
    else if (!arguments.csv)
      fmt::print("no runs yet in {}\n", program.runs_dir);
    return 0;
  }
  Session session(program, Session::Purpose::look);
  RunQueries queries(session.sqlite().database());
  return list_runs(queries, arguments, question);
}

/// With the line and a caret below the mistake.
int tell(const WhereError& error, const ListArguments& arguments, bool color) {
  Diagnostics diagnostics;
  diagnostics.add_source("--where", arguments.where);
  diagnostics.add_source("--sort", arguments.sort);
  diagnostics.add_source("--columns", arguments.columns);
  diagnostics.error(*error.place(), error.what(), error.length());
  say_text(diagnostics.render(color));
  return error.exit_code();
}

void add_selection(CLI::App& command, ListArguments& arguments) {
  command
      .add_option("--where", arguments.where,
                  "Only those that fit, such as \"metrics.test/accuracy > 0.8 and "
                  "params.train.lr = 0.001\"; see docs/runs.md.")
      ->type_name("EXPRESSION");
  command.add_option("--experiment", arguments.filter.experiment, "Only those of one.")
      ->type_name("NAME");
  command
      .add_option("--status", arguments.filter.status,
                  "Only running, finished, failed or killed ones.")
      ->type_name("STATUS")
      ->transform(CLI::Transformer({{"running", "RUNNING"},
                                    {"finished", "FINISHED"},
                                    {"failed", "FAILED"},
                                    {"killed", "KILLED"}},
                                   CLI::ignore_case))
      ->check([](const std::string& status) {
        const bool known =
            status == "RUNNING" || status == "FINISHED" || status == "FAILED" || status == "KILLED";
        return known ? std::string()
                     : fmt::format("'{}' is not running, finished, failed or killed", status);
      });
  command.add_flag("--all", arguments.filter.deleted, "Deleted ones too.");
}

}  // namespace

void add_runs_list(CLI::App& family, Program& program) {
  const auto arguments = std::make_shared<ListArguments>();
  auto* command = add_runs_subcommand(
      family, program, "list", "Runs, newest first, with their metrics.", [&program, arguments] {
        try {
          return list(program, *arguments);
        } catch (const WhereError& error) {
          return tell(error, *arguments, program.color);
        }
      });
  add_selection(*command, *arguments);
  command
      ->add_option("--sort", arguments->sort,
                   "By a metric, parameter or attribute, flat; KEY:desc for the greatest first.")
      ->type_name("KEY");
  command
      ->add_option("--columns", arguments->columns,
                   "Which to show, with commas: status,test/accuracy,train.lr.")
      ->type_name("KEYS");
  command->add_option("--limit", arguments->limit, "At most N (usually 30; --json, --csv: all).")
      ->type_name("N")
      ->check(whole_number(1, 1'000'000'000));
  command->add_flag("--flat", arguments->flat, "Children not below their parents.");
  command->add_flag("--json", arguments->json, "As JSON.");
  command->add_flag("--csv", arguments->csv, "As CSV, with every parameter and metric.");
}

}  // namespace cifarpipe::cli
