// What the files of `cifarpipe runs` share: how they look on stdout (tables that fit the terminal,
// colour only there), opening the store, and the subcommands with a file of their own. Main thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tracking/quantities.hpp"
#include "tracking/queries.hpp"

namespace CLI {
class App;
}

namespace cifarpipe::cli {

struct Program;
class Session;

/// stdout as it is: a terminal of some width that may have colour, or a pipe or file, without.
struct Look {
  bool color = false;
  std::size_t width = 0;  ///< 0: not a terminal; nothing is cut.
  static Look of_stdout();
  std::string paint(const char* code, std::string_view text) const;
};

inline constexpr const char* kBold = "\033[1m";
inline constexpr const char* kDim = "\033[2m";
/// The colour of "FINISHED", "failed", …; "" for none.
const char* status_color(std::string_view status);

/// Aligned columns of texts as text_shown makes them. Too wide for the terminal: columns that may
/// go do, from the right; then the first is cut. Elsewhere a very wide cell pushes its row aside.
class Table {
 public:
  struct Column {
    std::string head;
    bool right = false;
    /// Where a terminal is too narrow: those of 1 go first, one by one from the right, then all of
    /// 2 together, then all of 3. 0 stays.
    int goes = 0;
  };
  explicit Table(std::vector<Column> columns);
  void add(std::vector<std::string> cells);
  bool empty() const { return rows_.empty(); }
  void print(const Look& look, std::string_view indent = "") const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

/// Code points, which for what is printed here is columns.
std::size_t text_width(std::string_view text);
/// At most `width` columns, ending in "…" if something is missing.
std::string text_cut(std::string text, std::size_t width);
/// What a user or a plugin wrote, for people: printable, and not the whole of an endless one.
std::string text_shown(std::string_view text);
/// "now", "12 s ago", "5 min ago", "3 h ago", "2 d ago", then the date.
std::string time_ago(std::int64_t ms, std::int64_t now_ms);
/// How long a run took, or has been running.
std::string took_text(const RunRecord& run, std::int64_t now_ms);

/// How a table of runs is made.
struct RunTable {
  std::size_t limit = SIZE_MAX;  ///< Lines.
  bool tree = true;              ///< Children below their parents.
  std::vector<RunField> fields;  ///< Columns; none: the usual ones.
};
void print_run_table(RunQueries& queries, const std::vector<RunRow>& rows, const RunTable& options,
                     const Look& look, std::string_view indent);
int show_run(RunQueries& queries, const RunRecord& run, bool json);
int print_metrics(RunQueries& queries, const RunRecord& run, const std::string& key, bool json);
void print_heading(const Look& look, std::string_view text);

/// Throws Error (usage) for what a run cannot be called.
void require_run_name(const std::string& name);
bool has_database(const Program& program);
/// Throws Error (usage) where there is neither a database nor a result: asking makes no store.
void require_store(const Program& program);
/// The session, for commands that are about a run that must be there: to change something, or to
/// look, which needs no right to write.
std::unique_ptr<Session> open_session(const Program& program);
std::unique_ptr<Session> open_to_look(const Program& program);
/// A metric of a run by its name, or an Error that names the one that was probably meant.
[[noreturn]] void no_such_metric(RunQueries& queries, const RunRecord& run, const std::string& key);

/// A subcommand of `runs`; `action` returns the exit code.
CLI::App* add_runs_subcommand(CLI::App& family, Program& program, const char* name,
                              const char* what, std::function<int()> action);
void add_runs_list(CLI::App& family, Program& program);
void add_runs_compare(CLI::App& family, Program& program);
void add_runs_plot(CLI::App& family, Program& program);
void add_runs_export(CLI::App& family, Program& program);

}  // namespace cifarpipe::cli
