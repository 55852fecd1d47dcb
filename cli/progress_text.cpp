#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <map>
#include <utility>

#include "cli/progress.hpp"
#include "cli/runs.hpp"
#include "cli/say.hpp"
#include "pipeline/random_id.hpp"
#include "tracking/quantities.hpp"

namespace cifarpipe::cli {
namespace {

using std::chrono::steady_clock;

constexpr const char* kReset = "\033[0m";
constexpr const char* kGreen = "\033[32m";
constexpr const char* kRed = "\033[31m";
constexpr const char* kYellow = "\033[33m";

class TextProgress : public RunObserver {
 public:
  TextProgress(Verbosity verbosity, bool live, bool color)
      : verbosity_(verbosity), live_(live), color_(color) {}
  ~TextProgress() override { erase(); }

  void run_opened(const RunRecord& run, Opened how) override {
    if (verbosity_ == Verbosity::quiet || how == Opened::already_finished) return;
    if (run.cell && listed_ > 3) {  // Of a sweep a few are listed, the others counted.
      ++unlisted_;
      return;
    }
    ++listed_;
    const std::string goes_on =
        how == Opened::continued ? fmt::format(" goes on, attempt {}", run.attempt) : "";
    line(fmt::format("{}{}  {}", paint(kBold, text_shown(run.name)), goes_on,
                     paint(kDim, typed_path(run.folder))));
  }

  void job_started(const JobLabel& job, const std::string& reason, int attempt,
                   bool from_checkpoint) override {
    Live& live = lives_[job.job];
    live.label = name_of(job);
    live.start = live.last_plain = steady_clock::now();
    if (verbosity_ == Verbosity::quiet) return;
    const std::string how = from_checkpoint
                                ? fmt::format("attempt {}, from its checkpoint", attempt)
                                : text_shown(reason);
    if (!live_ || from_checkpoint) {
      line(fmt::format("{:<14} {}", live.label, paint(kDim, how)));
    }
  }

  void job_progress(const JobLabel& job, const Event& progress) override {
    const auto found = lives_.find(job.job);
    if (found == lives_.end()) return;
    Live& live = found->second;
    live.progress = progress;
    if (live_ || verbosity_ == Verbosity::quiet) return;
    // Without a terminal: a line now and then, more rarely the longer it takes.
    const auto now = steady_clock::now();
    if (now - live.last_plain < std::chrono::seconds(10)) return;
    live.last_plain = now;
    line(progress_line(live, 200));
  }

  void job_log(const JobLabel& job, LogLevel level, const std::string& text) override {
    const bool important = level >= LogLevel::warning;
    if (verbosity_ == Verbosity::quiet && level < LogLevel::error) return;
    if (level == LogLevel::debug && verbosity_ != Verbosity::verbose) return;
    line(fmt::format("{:<14} {}", name_of(job),
                     important ? paint(level == LogLevel::error ? kRed : kYellow, text) : text));
  }

  void job_ended(const JobLabel& job, const JobEnd& end) override {
    lives_.erase(job.job);
    if (end.status == "finished") {
      if (verbosity_ == Verbosity::quiet) return;
      std::string text = fmt::format("{:<14} ", name_of(job));
      if (end.action == "run") {
        text +=
            fmt::format("{} {:>9}", paint(kGreen, "done      "), duration_text(end.usage.wall_ms));
      } else {
        text += fmt::format("{} {:>9}", paint(kDim, fmt::format("{:<10}", end.action)), "");
      }
      line(text + "  " + finals(end.finals));
      if (end.action == "reproduced") line(fmt::format("{:<14} {}", "", text_shown(end.reason)));
    } else if (end.status == "failed") {
      line(fmt::format("{:<14} {}", name_of(job), paint(kRed, "failed: " + end.message)));
      for (const std::string& printed : end.last_lines) {
        line(fmt::format("{:<14} {}", "", paint(kDim, "| " + printed)));
      }
    } else {
      if (verbosity_ == Verbosity::quiet) return;
      line(fmt::format("{:<14} {}", name_of(job),
                       paint(kYellow, end.status == "killed" ? "stopped" : end.status) +
                           (end.reason.empty() ? "" : " (" + text_shown(end.reason) + ")")));
    }
  }

  void run_ended(const RunRecord&) override {}

  void message(LogLevel level, const std::string& text) override {
    if (verbosity_ == Verbosity::quiet && level < LogLevel::warning) return;
    line(level >= LogLevel::warning ? paint(kYellow, text) : text);
  }

  void tick() override {
    if (!live_ || verbosity_ == Verbosity::quiet) return;
    erase();
    tell_unlisted();
    winsize size{};
    const std::size_t columns =
        ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 80;
    std::string all;
    for (auto& [job, live] : lives_) {
      all += progress_line(live, columns - 1) + "\n";
      ++drawn_;
    }
    write(all);
  }

 private:
  struct Live {
    std::string label;
    Event progress;
    steady_clock::time_point start;
    steady_clock::time_point last_plain;
  };

  std::string paint(const char* code, std::string_view text) const {
    return color_ ? fmt::format("{}{}{}", code, text, kReset) : std::string(text);
  }

  static std::string name_of(const JobLabel& job) {
    return job.cell.empty() ? job.stage : fmt::format("{} [{}]", job.stage, text_shown(job.cell));
  }

  static std::string finals(const std::vector<VisiblePoint>& points) {
    std::string out;
    std::size_t shown = 0;
    for (const VisiblePoint& p : points) {
      if (p.metric.find('/') != std::string::npos) continue;  // A family, such as one a class.
      if (++shown > 6) break;
      out += fmt::format("{}{} {}", out.empty() ? "" : "  ", p.metric, figure_text(p.value));
    }
    return out;
  }

  static std::string amount(double value, const std::string& unit) {
    if (unit != "bytes") return fmt::format("{:.0f}", value);
    if (value >= 1e9) return fmt::format("{:.2f} GB", value / 1e9);
    if (value >= 1e6) return fmt::format("{:.1f} MB", value / 1e6);
    return fmt::format("{:.0f} kB", value / 1e3);
  }

  std::string progress_line(const Live& live, std::size_t columns) const {
    const auto elapsed =
        std::chrono::duration_cast<std::chrono::milliseconds>(steady_clock::now() - live.start)
            .count();
    const Event& p = live.progress;
    std::string text = fmt::format("{:<14} ", live.label);
    if (p.total > 0) {
      const double part = std::clamp(p.done / p.total, 0.0, 1.0);
      const int cells = 20;
      const int full = static_cast<int>(part * cells);
      for (int i = 0; i < cells; ++i) text += i < full ? "━" : (color_ ? "─" : " ");
      text += fmt::format(" {}/{}", amount(p.done, p.unit), amount(p.total, p.unit));
      if (p.unit != "bytes" && !p.unit.empty()) text += " " + p.unit;
      if (part > 0.02 && part < 1) {
        text += fmt::format("  {} left", duration_text(static_cast<std::int64_t>(
                                             static_cast<double>(elapsed) * (1 - part) / part)));
      }
    } else {
      text += duration_text(elapsed);
      if (p.done > 0)
        text += fmt::format("  {} {}", amount(p.done, p.unit), p.unit == "bytes" ? "" : p.unit);
    }
    if (!p.text.empty()) text += "  " + p.text;
    return text_cut(text, columns);
  }

  void line(const std::string& text) {
    erase();
    tell_unlisted();
    write(text + "\n");
  }

  /// Before whatever comes after the runs that were opened.
  void tell_unlisted() {
    if (unlisted_ > 0) write(fmt::format("… and {} more\n", std::exchange(unlisted_, 0)));
  }

  /// Takes the live lines off the screen; what is printed next takes their place.
  void erase() {
    std::string codes;
    for (; drawn_ > 0; --drawn_) codes += "\033[1A\033[2K";
    write(codes);
  }

  static void write(const std::string& text) {
    if (!text.empty()) say_text(text);
  }

  Verbosity verbosity_;
  bool live_;
  bool color_;
  int listed_ = 0;
  int unlisted_ = 0;
  int drawn_ = 0;
  std::map<std::size_t, Live> lives_;
};

}  // namespace

std::string typed_path(const std::filesystem::path& path) {
  std::error_code error;
  const auto here = std::filesystem::current_path(error);
  const auto relative = path.lexically_relative(here);
  const bool below = !error && !relative.empty() && *relative.begin() != "..";
  return (below ? relative : path).string();
}

std::unique_ptr<RunObserver> make_text_progress(Verbosity verbosity, bool live, bool color) {
  return std::make_unique<TextProgress>(verbosity, live, color);
}

}  // namespace cifarpipe::cli
