// Expressions as SQL about rows of `run`. Every comparison is wrapped so that it is 0 or 1: what a
// run lacks, and what is not finite, satisfies none, and `not` turns that round. Looked up by the
// primary keys of the tables, so that ten thousand runs take milliseconds.
#include <fmt/format.h>

#include "tracking/where.hpp"
#include "tracking/where_types.hpp"

namespace cifarpipe {
namespace {

constexpr const char* kSqlOperators[] = {"=", "<>", "<", "<=", ">", ">="};
const char* sql_of(WhereOperator op) {
  return kSqlOperators[static_cast<std::size_t>(op)];
}

/// For `like`: the pattern as it is; for `contains`: without meaning for its % and _.
std::string pattern_of(const WhereCondition& c) {
  if (c.op == WhereOperator::like) return c.value.text;
  std::string out = "%";
  for (const char ch : c.value.text) {
    if (ch == '%' || ch == '_' || ch == '\\') out += '\\';
    out += ch;
  }
  return out + "%";
}

std::string upper(std::string text) {
  for (char& c : text) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return text;
}

class Compiler {
 public:
  explicit Compiler(std::int64_t now_ms, bool shown = false) : now_ms_(now_ms), shown_(shown) {}

  void condition(const WhereCondition& c) {
    switch (c.kind) {
      case WhereCondition::Kind::negation:
        add("NOT (");
        condition(c.parts.front());
        return add(")");
      case WhereCondition::Kind::comparison:
        return comparison(c);
      default:
        for (std::size_t i = 0; i < c.parts.size(); ++i) {
          add(i == 0 ? "(" : c.kind == WhereCondition::Kind::all ? " AND " : " OR ");
          condition(c.parts[i]);
        }
        return add(")");
    }
  }

  /// The value of a field, NULL if it has none.
  void value(const RunField& field) {
    switch (field.of) {
      case RunField::Of::attribute:
        return attribute_value(field.key);
      case RunField::Of::metric:
        add(shown_ && field.part == RunField::Part::last
                ? std::string("(SELECT CASE m.last_kind WHEN 0 THEN m.last WHEN 1 THEN 'nan' "
                              "WHEN 2 THEN 'inf' ELSE '-inf' END ")
                : fmt::format("(SELECT {} ", column_of(field.part)));
        metric_rows(field);
        return add(")");
      case RunField::Of::param:
        add(shown_ ? "(SELECT CASE p.type WHEN 'bool' THEN iif(p.value, 'true', 'false') "
                   : "(SELECT CASE WHEN p.type = 'number' AND typeof(p.value) = 'text' THEN NULL ");
        add("ELSE p.value END FROM run_param AS p WHERE p.run_id = run.id AND p.key = ");
        bind(field.key);
        return add(")");
      default:
        add(fmt::format("(SELECT t.value FROM {} AS t WHERE t.run_id = run.id AND t.key = ",
                        table_of(field.of)));
        bind(field.key);
        return add(")");
    }
  }

  SqlText take() { return std::move(out_); }

 private:
  void add(std::string_view sql) { out_.sql += sql; }
  void bind(SqlValue value) {
    out_.sql += '?';
    out_.values.push_back(std::move(value));
  }

  static const char* table_of(RunField::Of of) {
    return of == RunField::Of::tag ? "run_tag" : "run_fact";
  }

  static const char* column_of(RunField::Part part) {
    switch (part) {
      case RunField::Part::min:
        return "m.minimum";
      case RunField::Part::max:
        return "m.maximum";
      case RunField::Part::step:
        return "m.last_step";
      case RunField::Part::points:
        return "m.points";
      default:
        return "m.last";
    }
  }

  /// "FROM … WHERE …": the row of a metric's summary, or with `any` its visible points.
  void metric_rows(const RunField& field) {
    const std::size_t slash = field.key.find('/');
    const bool any = field.part == RunField::Part::any;
    if (field.key.starts_with("system/")) {
      add(any ? "FROM run_point AS m" : "FROM run_point_summary AS m");
      add(" WHERE m.run_id = run.id AND m.metric_id = (SELECT id FROM metric WHERE name = ");
      bind(field.key);
      return add(")");
    }
    add("FROM run_stage AS s JOIN job AS j ON j.key = s.key AND j.generation = s.generation JOIN ");
    add(any ? "point AS m ON m.job_id = j.id AND m.superseded = 0 AND m.metric_id = "
            : "metric_summary AS m ON m.job_id = j.id AND m.metric_id = ");
    add("(SELECT id FROM metric WHERE name = ");
    bind(slash == std::string::npos ? "" : field.key.substr(slash + 1));
    add(") WHERE s.run_id = run.id AND s.name = ");
    bind(field.key.substr(0, slash));
  }

  void attribute_value(const std::string& name) {
    if (name == "parent") {
      return add("(SELECT above.name FROM run AS above WHERE above.id = run.parent_id)");
    }
    if (name == "start") return add("run.start_ms");
    if (name == "end") return add("run.end_ms");
    if (name == "age") {
      add("(");
      bind(now_ms_);
      return add(" - run.start_ms)");
    }
    if (name == "duration") {
      add("(run.worked_ms + coalesce(coalesce(run.end_ms, ");
      bind(now_ms_);
      return add(") - run.working_since_ms, 0))");
    }
    add("run." + name);  // One of attribute_names(): never what somebody typed.
  }

  void comparison(const WhereCondition& c) {
    switch (c.field.of) {
      case RunField::Of::metric:
        return metric(c);
      case RunField::Of::param:
        return param(c);
      case RunField::Of::attribute:
        return attribute(c);
      default:
        if (c.op == WhereOperator::is) {
          add(fmt::format("NOT EXISTS (SELECT 1 FROM {} AS t WHERE t.run_id = run.id AND t.key = ",
                          table_of(c.field.of)));
          bind(c.field.key);
          return add(")");
        }
        add("coalesce(");
        value(c.field);
        text_test(c);
        add(", 0)");
    }
  }

  /// " = ?" of text, after what is compared.
  void text_test(const WhereCondition& c) {
    if (c.op == WhereOperator::like || c.op == WhereOperator::contains) {
      add(" LIKE ");
      bind(pattern_of(c));
      return add(" ESCAPE '\\'");
    }
    add(fmt::format(" {} ", sql_of(c.op)));
    bind(c.value.text);
  }

  void metric(const WhereCondition& c) {
    const bool any = c.field.part == RunField::Part::any;
    const bool missing = c.op == WhereOperator::is && c.value.text == "missing";
    add(missing ? "NOT EXISTS (SELECT 1 " : "EXISTS (SELECT 1 ");
    metric_rows(c.field);
    if (missing) return add(")");
    add(" AND ");
    if (c.op == WhereOperator::is) {
      const char* kind = any ? "m.kind" : "m.last_kind";
      const char* test = c.value.text == "nan" ? "= 1" : c.value.text == "inf" ? ">= 2" : "= 0";
      const bool summed = c.field.part != RunField::Part::last && !any;
      // Least and greatest are of the finite values, counts are always finite.
      if (summed) {
        add(c.value.text == "finite" ? fmt::format("{} IS NOT NULL", column_of(c.field.part))
                                     : std::string("0"));
      } else {
        add(fmt::format("{} {}", kind, test));
      }
      return add(")");
    }
    add(any ? "m.value" : column_of(c.field.part));
    add(fmt::format(" {} ", sql_of(c.op)));
    bind(*number_of(c.value));
    add(")");
  }

  void param(const WhereCondition& c) {
    const bool missing = c.op == WhereOperator::is && c.value.text == "missing";
    add(missing ? "NOT EXISTS" : "EXISTS");
    add(" (SELECT 1 FROM run_param AS p WHERE p.run_id = run.id AND p.key = ");
    bind(c.field.key);
    if (!missing) param_test(c);
    add(")");
  }

  void param_test(const WhereCondition& c) {
    constexpr const char* kNumbers = " AND p.type IN ('integer', 'number')";
    if (c.op == WhereOperator::is) {
      add(kNumbers);
      // What is not finite is kept as its name.
      return add(c.value.text == "nan"   ? " AND p.value = 'nan'"
                 : c.value.text == "inf" ? " AND p.value IN ('inf', '-inf')"
                                         : " AND typeof(p.value) <> 'text'");
    }
    if (c.op == WhereOperator::like || c.op == WhereOperator::contains) {
      add(" AND p.type IN ('string', 'json') AND p.value");
      return text_test(c);
    }
    if (const auto number = number_of(c.value)) {
      add(kNumbers);
      add(fmt::format(" AND typeof(p.value) <> 'text' AND p.value {} ", sql_of(c.op)));
      return bind(*number);
    }
    if (const auto boolean = boolean_of(c.value)) {
      add(fmt::format(" AND p.type = 'bool' AND p.value {} ", sql_of(c.op)));
      return bind(std::int64_t{*boolean});
    }
    add(" AND p.type IN ('string', 'json') AND p.value");
    text_test(c);
  }

  void attribute(const WhereCondition& c) {
    if (c.op == WhereOperator::is) {
      add("(coalesce(");
      attribute_value(c.field.key);
      return add(", '') = '')");
    }
    add("coalesce(");
    const AttributeType type = *attribute_type(c.field.key);
    if (type == AttributeType::time) {
      time_test(c);
    } else {
      attribute_value(c.field.key);
      attribute_test(c, type);
    }
    add(", 0)");
  }

  void attribute_test(const WhereCondition& c, AttributeType type) {
    if (type == AttributeType::text) return text_test(c);
    if (type == AttributeType::status) {
      WhereCondition in_capitals = c;
      in_capitals.value.text = upper(c.value.text);
      return text_test(in_capitals);
    }
    add(fmt::format(" {} ", sql_of(c.op)));
    bind(type == AttributeType::span ? SqlValue(*time_span_ms(c.value.text)) : *number_of(c.value));
  }

  /// A day is all of its time: `start = 2026-11-23` is within it, `start > 2026-11-23` after it.
  void time_test(const WhereCondition& c) {
    const TimeRange range = *time_range(c.value.text);
    const auto side = [&](const char* op, std::int64_t ms) {
      attribute_value(c.field.key);
      add(fmt::format(" {} ", op));
      bind(ms);
    };
    switch (c.op) {
      case WhereOperator::less:
        return side("<", range.begin_ms);
      case WhereOperator::at_most:
        return side("<", range.end_ms);
      case WhereOperator::greater:
        return side(">=", range.end_ms);
      case WhereOperator::at_least:
        return side(">=", range.begin_ms);
      default:
        add(c.op == WhereOperator::unequal ? "NOT (" : "(");
        side(">=", range.begin_ms);
        add(" AND ");
        side("<", range.end_ms);
        return add(")");
    }
  }

  std::int64_t now_ms_;
  bool shown_;  // Values are for people: true for 1, nan for NULL.
  SqlText out_;
};

void check_condition(const WhereCondition& c, const Where& where, KnownKeys& known) {
  for (const WhereCondition& part : c.parts) check_condition(part, where, known);
  if (c.kind != WhereCondition::Kind::comparison) return;
  if (c.op == WhereOperator::is && c.value.text == "missing") return;
  check_key(c.field, where.source, c.span, where.option, known);
}

}  // namespace

std::string to_text(const RunField& field) {
  constexpr const char* kPrefixes[] = {"", "metrics.", "params.", "tags.", "facts."};
  constexpr const char* kParts[] = {"", ".min", ".max", ".step", ".points", ".any"};
  return fmt::format("{}{}{}", kPrefixes[static_cast<std::size_t>(field.of)], field.key,
                     kParts[static_cast<std::size_t>(field.part)]);
}

SqlText to_sql(const Where& where, std::int64_t now_ms) {
  Compiler compiler(now_ms);
  compiler.condition(where.root);
  return compiler.take();
}

SqlText to_sql(const RunField& field, std::int64_t now_ms) {
  Compiler compiler(now_ms);
  compiler.value(field);
  return compiler.take();
}

SqlText to_shown_sql(const RunField& field, std::int64_t now_ms) {
  Compiler compiler(now_ms, true);
  compiler.value(field);
  return compiler.take();
}

void check_keys(const Where& where, KnownKeys& known) {
  check_condition(where.root, where, known);
}

void check_key(const RunField& field, std::string_view source, WhereSpan span,
               std::string_view option, KnownKeys& known) {
  if (field.of == RunField::Of::attribute || known.has(field.of, field.key)) return;
  constexpr const char* kNouns[] = {"", "metric", "parameter", "tag", "fact"};
  const std::string near = known.near(field.of, field.key);
  where_error(
      source, option, span,
      fmt::format("no run has a {} '{}'{}", kNouns[static_cast<std::size_t>(field.of)], field.key,
                  near.empty() ? "" : fmt::format("; did you mean '{}'?", near)));
}

}  // namespace cifarpipe
