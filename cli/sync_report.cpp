#include "cli/sync_report.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/say.hpp"
#include "tracking/quantities.hpp"

namespace cifarpipe::cli {
namespace {

using nlohmann::ordered_json;
using std::chrono::steady_clock;

constexpr const char* kRed = "\033[31m";
constexpr const char* kYellow = "\033[33m";
constexpr const char* kReset = "\033[0m";
constexpr double kPointsOfARequest = 1000;
constexpr int kCells = 24;

ordered_json json_of(const MirrorCounts& counts) {
  return {{"runs", counts.runs},
          {"points", counts.points},
          {"artifacts", counts.artifacts},
          {"models", counts.models}};
}

std::string painted(bool color, const char* code, const std::string& text) {
  return color ? code + text + kReset : text;
}

std::string said_of(const SyncOutcome& outcome, bool dry_run) {
  if (dry_run) {
    return outcome.left.none() ? "up to date, " + counted(outcome.runs, "run")
                               : "would be sent: " + counts_text(outcome.left);
  }
  std::string text;
  if (!outcome.sent.none()) {
    text = "sent " + counts_text(outcome.sent);
  } else if (outcome.complete()) {
    text = fmt::format("up to date, {}: nothing to do", counted(outcome.runs, "run"));
  } else {
    text = "nothing sent";
  }
  if (!outcome.left.none()) text += fmt::format("; left: {}", counts_text(outcome.left));
  return text;
}

}  // namespace

void print_sync(const std::vector<SyncOutcome>& outcomes, bool dry_run, bool color) {
  for (const SyncOutcome& outcome : outcomes) {
    const std::string version =
        outcome.version.empty() ? "" : fmt::format(" (MLflow {})", outcome.version);
    fmt::print("{}{}: {}\n", outcome.uri, version, said_of(outcome, dry_run));
    if (!outcome.error.empty()) {
      fmt::print("  {} {}\n", painted(color, kRed, "ended early:"), outcome.error);
    }
    for (const std::string& notice : outcome.notices) fmt::print("  note: {}\n", notice);
    for (const std::string& name : outcome.busy) {
      fmt::print("  {} {} is being sent by another cifarpipe\n", painted(color, kYellow, "busy:"),
                 name);
    }
    for (const Parked& parked : outcome.parked) {
      fmt::print("  {} {}: {}: {}\n", painted(color, kYellow, "parked:"), parked.run, parked.item,
                 parked.reason);
      if (!parked.way_out.empty()) fmt::print("          way out: {}\n", parked.way_out);
    }
  }
}

void print_sync_json(const std::vector<SyncOutcome>& outcomes) {
  ordered_json out = ordered_json::array();
  for (const SyncOutcome& outcome : outcomes) {
    ordered_json parked = ordered_json::array();
    for (const Parked& p : outcome.parked) {
      parked.push_back({{"id", p.run_id},
                        {"run", p.run},
                        {"item", p.item},
                        {"reason", p.reason},
                        {"way_out", p.way_out},
                        {"time", p.time_ms}});
    }
    const ordered_json error =
        outcome.error.empty() ? ordered_json(nullptr) : ordered_json(outcome.error);
    out.push_back({{"server", outcome.uri},
                   {"version", outcome.version},
                   {"runs", outcome.runs},
                   {"sent", json_of(outcome.sent)},
                   {"left", json_of(outcome.left)},
                   {"parked", std::move(parked)},
                   {"busy", outcome.busy},
                   {"notices", outcome.notices},
                   {"error", error}});
  }
  fmt::print("{}\n", out.dump(2, ' ', false, ordered_json::error_handler_t::replace));
}

void SyncProgress::begin(const std::string& uri, std::size_t runs, std::int64_t points) {
  uri_ = uri;
  runs_ = runs;
  points_ = points;
  run_ = 0;
  counts_ = {};
  last_ = steady_clock::now();
}

void SyncProgress::run(std::size_t number, const std::string& name) {
  run_ = number;
  name_ = name;
  draw();
}

void SyncProgress::sent(const MirrorCounts& counts) {
  counts_ = counts;
  draw();
}

void SyncProgress::draw() {
  if (off_) return;
  const auto now = steady_clock::now();
  const auto pause = live_ ? std::chrono::milliseconds(100) : std::chrono::milliseconds(10'000);
  if (now - last_ < pause) return;
  last_ = now;
  // A run takes about as long as a request full of points.
  const double points = static_cast<double>(std::max(points_, counts_.points)) / kPointsOfARequest;
  const double all = static_cast<double>(runs_) + points;
  const double done =
      static_cast<double>(run_) + static_cast<double>(counts_.points) / kPointsOfARequest;
  const double part = all > 0 ? std::clamp(done / all, 0.0, 1.0) : 1;
  std::string bar;
  for (int i = 0; i < kCells; ++i) bar += i < static_cast<int>(part * kCells) ? "━" : "─";
  const std::string counts =
      fmt::format("{}/{}  {}  {}", run_, counted(runs_, "run"),
                  counted(static_cast<std::size_t>(counts_.points), "point"),
                  counted(static_cast<std::size_t>(counts_.artifacts), "artifact"));
  if (!live_) {
    say("{}  {:.0f} %  {}\n", uri_, 100 * part, counts);
    return;
  }
  winsize size{};
  const std::size_t columns =
      ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 40 ? size.ws_col : 80;
  std::string rest = fmt::format(" {:3.0f} %  {}  {}", 100 * part, counts, name_);
  if (rest.size() + kCells >= columns) rest.resize(columns - kCells - 1);
  say("\r\033[2K{}{}", bar, rest);
  std::fflush(stderr);
  drawn_ = true;
}

void SyncProgress::erase() {
  if (drawn_) say("\r\033[2K");
  drawn_ = false;
}

}  // namespace cifarpipe::cli
