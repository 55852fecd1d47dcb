#include "pipeline/store.hpp"

#include <fmt/format.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <map>

#include "pipeline/digest.hpp"
#include "pipeline/error.hpp"
#include "pipeline/stage_json.hpp"

namespace cifarpipe {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kStageJson = "stage.json";
constexpr std::string_view kMetrics = "metrics.jsonl";
constexpr std::size_t kKeySize = 64;

bool is_key(std::string_view text) {
  return text.size() == kKeySize && text.find_first_not_of("0123456789abcdef") == text.npos;
}

/// `<key>` or `<key>.<generation>`.
std::string job_name(const JobRef& job) {
  if (!is_key(job.key) || job.generation < 0) {
    throw Error(fmt::format("'{}' is not a key", job.key));
  }
  return job.generation == 0 ? job.key : fmt::format("{}.{}", job.key, job.generation);
}

/// The job that a name in the store begins with; `rest` is what comes after it.
std::optional<JobRef> parse_job_name(std::string_view name, std::string_view& rest) {
  if (name.size() < kKeySize || !is_key(name.substr(0, kKeySize))) return std::nullopt;
  JobRef job{std::string(name.substr(0, kKeySize)), 0};
  rest = name.substr(kKeySize);
  if (rest.size() >= 2 && rest[0] == '.' && rest[1] >= '1' && rest[1] <= '9') {
    const char* end = rest.data() + rest.size();
    const auto [stop, code] = std::from_chars(rest.data() + 1, end, job.generation);
    if (code != std::errc()) return std::nullopt;
    rest = rest.substr(static_cast<std::size_t>(stop - rest.data()));
  }
  return job;
}

/// The names in a folder; none if it is not there.
std::vector<std::string> names_in(const fs::path& dir) {
  std::vector<std::string> names;
  std::error_code code;
  for (fs::directory_iterator i(dir, code), end; !code && i != end; i.increment(code)) {
    names.push_back(i->path().filename().string());
  }
  if (code && code != std::errc::no_such_file_or_directory) {
    throw file_error("list", dir, code.value());
  }
  return names;
}

std::vector<JobRef> jobs_in(const fs::path& dir) {
  std::vector<JobRef> jobs;
  for (const std::string& name : names_in(dir)) {
    std::string_view rest;
    const std::optional<JobRef> job = parse_job_name(name, rest);
    if (job && rest.empty()) jobs.push_back(*job);
  }
  std::ranges::sort(jobs);
  return jobs;
}

bool is_folder(const fs::path& path) {
  std::error_code code;
  return fs::is_directory(fs::symlink_status(path, code));
}

/// What a result has, and what is wrong with it; the first thing unless `hash`.
struct Inspection {
  std::optional<StageJson> stage;
  std::vector<std::string> problems;
};

void compare(const std::map<std::string, const FileDigest*>& declared,
             const std::vector<FileDigest>& found, bool hash, std::vector<std::string>& problems) {
  std::map<std::string, const FileDigest*> there;
  for (const FileDigest& file : found) there.emplace(file.path, &file);
  for (const auto& [path, file] : there) {
    if (path != kStageJson && !declared.contains(path)) {
      problems.push_back(fmt::format("{} does not belong to it", path));
    }
  }
  for (const auto& [path, file] : declared) {
    const auto i = there.find(path);
    if (i == there.end()) {
      problems.push_back(fmt::format("{} is missing", path));
    } else if (i->second->size != file->size) {
      problems.push_back(fmt::format("{} has {} byte{} instead of {}", path, i->second->size,
                                     i->second->size == 1 ? "" : "s", file->size));
    } else if (hash && i->second->sha256 != file->sha256) {
      problems.push_back(fmt::format("the content of {} differs: its SHA-256 is {} instead of {}",
                                     path, i->second->sha256, file->sha256));
    }
  }
}

void inspect_into(Inspection& result, const fs::path& dir, const JobRef& job, bool hash) {
  std::string why;
  result.stage = read_stage_json(read_text_file(dir / kStageJson), why);
  if (!result.stage) {
    result.problems.push_back(fmt::format("stage.json is damaged: {}", why));
    return;
  }
  const StageJson& stage = *result.stage;
  if (stage.record.job != job) {
    result.problems.push_back(fmt::format("stage.json is of {}", job_name(stage.record.job)));
  }
  if (hash && sha256(stage.record.key_document) != job.key) {
    result.problems.push_back("the key is not the digest of stage.json's key document");
  }
  std::map<std::string, const FileDigest*> declared{{std::string(kMetrics), &stage.metrics}};
  for (const PortFiles& port : stage.record.outputs) {
    if (!is_folder(dir / port.port)) {
      result.problems.push_back(fmt::format("the folder {} is missing", port.port));
    }
    for (const FileDigest& file : port.files) {
      declared.emplace(fmt::format("{}/{}", port.port, file.path), &file);
    }
  }
  compare(declared, hash ? digest_tree(dir) : list_tree(dir), hash, result.problems);
}

/// With `hash` contents are compared as well as sizes.
Inspection inspect(const fs::path& dir, const JobRef& job, bool hash) {
  Inspection result;
  try {
    inspect_into(result, dir, job, hash);
  } catch (const Error& error) {
    // A link or a device in it, or a file that cannot be read.
    result.problems.push_back(error.what());
  }
  return result;
}

/// A new folder with a name that nobody else has.
fs::path make_unique(const fs::path& prefix) {
  std::string dir = prefix.string() + "XXXXXX";
  if (::mkdtemp(dir.data()) == nullptr) throw file_error("create the folder", dir, errno);
  return dir;
}

void set_mode(FileOps& ops, const fs::path& path, unsigned mode) {
  struct stat info;
  if (::lstat(path.c_str(), &info) != 0) throw file_error("look at", path, errno);
  // Left alone where it is right already: it may be a link to another user's file.
  if ((info.st_mode & 07777) != mode) ops.chmod(path, mode);
}

void set_modes(FileOps& ops, const fs::path& dir) {
  std::error_code code;
  for (fs::directory_iterator i(dir, code), end; !code && i != end; i.increment(code)) {
    if (is_folder(i->path())) {
      set_modes(ops, i->path());
    } else {
      set_mode(ops, i->path(), 0444);
    }
  }
  if (code) throw file_error("list", dir, code.value());
  set_mode(ops, dir, 0755);
}

}  // namespace

const PortFiles* StoredResult::port(std::string_view name) const {
  for (const PortFiles& port : record.outputs) {
    if (port.port == name) return &port;
  }
  return nullptr;
}

Store::Store(fs::path runs_dir, FileOps& ops) : root_(std::move(runs_dir)), ops_(ops) {
  try {
    for (const char* name : {"tmp", "partial", "locks", "rings"}) {
      if (!is_folder(store_dir() / name)) ops_.make_dirs(store_dir() / name);
    }
  } catch (const Error& error) {
    throw Error(error.what(), ErrorKind::environment);
  }
}

Store::Store(fs::path runs_dir, FileOps& ops, AsItIs) : root_(std::move(runs_dir)), ops_(ops) {}

fs::path Store::result_dir(const JobRef& job) const {
  return store_dir() / job_name(job).substr(0, 2) / job_name(job);
}

fs::path Store::partial_dir(const JobRef& job) const {
  return store_dir() / "partial" / job_name(job);
}

fs::path Store::lock_file(const JobRef& job) const {
  return store_dir() / "locks" / (job_name(job) + ".lock");
}

std::optional<StoredResult> Store::find(const std::string& key) {
  const std::vector<JobRef> jobs = jobs_in(result_dir({key, 0}).parent_path());
  for (auto job = jobs.rbegin(); job != jobs.rend(); ++job) {
    if (job->key != key) continue;
    if (std::optional<StoredResult> result = find(*job)) return result;
  }
  return std::nullopt;
}

std::optional<StoredResult> Store::find(const JobRef& job) {
  const fs::path dir = result_dir(job);
  if (!is_folder(dir)) return std::nullopt;
  Inspection found = inspect(dir, job, false);
  if (!found.problems.empty()) {
    try {
      // Under the job's lock and after another look: someone may be making it anew at this moment,
      // and what that one publishes must not be moved away. Who cannot move it passes over it.
      const std::optional<Lock> lock = Lock::try_lock(lock_file(job));
      if (!lock || !is_folder(dir)) return std::nullopt;
      found = inspect(dir, job, false);
      if (!found.problems.empty()) set_aside(job);
    } catch (const Error&) {
      return std::nullopt;
    }
    if (!found.problems.empty()) return std::nullopt;
  }
  return StoredResult{std::move(found.stage->record), dir};
}

int Store::next_generation(const std::string& key) const {
  int next = 0;
  for (const JobRef& job : jobs_in(result_dir({key, 0}).parent_path())) {
    if (job.key == key) next = std::max(next, job.generation + 1);
  }
  return next;
}

fs::path Store::new_work_dir(const JobRef& job) {
  const std::string prefix = job_name(job) + ".work-";
  for (const std::string& name : names_in(tmp_dir())) {
    if (name.starts_with(prefix)) ops_.remove_all(tmp_dir() / name);
  }
  return make_unique(tmp_dir() / prefix);
}

void Store::write_result(const fs::path& work_dir, const ResultRecord& record,
                         const std::vector<VisiblePoint>& points) {
  const std::string metrics = write_metrics_jsonl(points);
  const StageJson stage{
      record, points.size(), {std::string(kMetrics), metrics.size(), sha256(metrics)}};
  ops_.write_file(work_dir / kMetrics, metrics);
  ops_.write_file(work_dir / kStageJson, write_stage_json(stage));
  // Before anything is done to the files: a link in here could lead anywhere.
  const Inspection found = inspect(work_dir, record.job, false);
  if (!found.problems.empty()) {
    throw Error(fmt::format("the outputs of '{}' cannot be kept: {}", record.stage,
                            fmt::join(found.problems, "; ")));
  }
  set_modes(ops_, work_dir);
  ops_.sync_dir(work_dir);
}

StoredResult Store::publish(const fs::path& work_dir, const ResultRecord& record,
                            const std::vector<VisiblePoint>& points) {
  const fs::path dir = result_dir(record.job);
  try {
    write_result(work_dir, record, points);
    if (is_folder(dir)) {
      // Under the job's lock nobody else can have made it since the job began: it is a damaged one
      // that could not be moved before, or the caller's mistake.
      if (inspect(dir, record.job, false).problems.empty()) {
        throw Error(fmt::format("'{}' is there already", dir.string()));
      }
      set_aside(record.job);
    }
    if (!is_folder(dir.parent_path())) {
      ops_.make_dirs(dir.parent_path());
      ops_.sync_dir(store_dir());
    }
    ops_.rename(work_dir, dir);
  } catch (...) {
    ops_.try_remove_all(work_dir);
    throw;
  }
  // From the rename on the result is there for everybody. A failure from here on still ends the
  // job as failed, since a power cut might undo it, and the same command finds the result.
  ops_.sync_dir(dir.parent_path());
  // The result stands; what is left of its making is no reason to fail, and gc finds it.
  if (is_folder(partial_dir(record.job))) ops_.try_remove_all(partial_dir(record.job));
  return {record, dir};
}

std::vector<JobRef> Store::list() const {
  std::vector<JobRef> jobs;
  for (const std::string& name : names_in(store_dir())) {
    if (name.size() != 2) continue;
    for (JobRef& job : jobs_in(store_dir() / name)) {
      if (job.key.starts_with(name)) jobs.push_back(std::move(job));
    }
  }
  std::ranges::sort(jobs);
  return jobs;
}

std::vector<VerifyProblem> Store::verify(const JobRef& job) const {
  const fs::path dir = result_dir(job);
  if (!is_folder(dir)) return {{job, "there is no such result"}};
  std::vector<VerifyProblem> problems;
  for (std::string& message : inspect(dir, job, true).problems) {
    problems.push_back({job, std::move(message)});
  }
  return problems;
}

fs::path Store::take_away(const JobRef& job, std::string_view why) {
  // In one step and onto an empty folder of its own: nobody ever sees half a result.
  const fs::path away = make_unique(tmp_dir() / fmt::format("{}.{}-", job_name(job), why));
  try {
    ops_.rename(result_dir(job), away);
  } catch (...) {
    ops_.try_remove_all(away);
    throw;
  }
  return away;
}

void Store::set_aside(const JobRef& job) {
  take_away(job, "damaged");
}

void Store::remove(const JobRef& job) {
  if (is_folder(result_dir(job))) ops_.remove_all(take_away(job, "removed"));
  ops_.remove_all(partial_dir(job));
}

std::vector<VisiblePoint> Store::read_points(const JobRef& job) const {
  const fs::path file = result_dir(job) / kMetrics;
  try {
    return read_metrics_jsonl(read_text_file(file));
  } catch (const Error& error) {
    throw Error(fmt::format("'{}': {}", file.string(), error.what()));
  }
}

std::vector<fs::path> Store::stale_work_dirs() const {
  std::vector<fs::path> stale;
  for (const std::string& name : names_in(tmp_dir())) {
    std::string_view rest;
    const std::optional<JobRef> job = parse_job_name(name, rest);
    if (job && is_locked(lock_file(*job))) continue;
    stale.push_back(tmp_dir() / name);
  }
  std::ranges::sort(stale);
  return stale;
}

std::vector<JobRef> Store::partials() const {
  return jobs_in(store_dir() / "partial");
}

void Store::remove_free_locks() {
  const fs::path locks = store_dir() / "locks";
  for (const std::string& name : names_in(locks)) {
    // Under the lock itself: who opened the file just before sees that it is gone, and makes a
    // new one (Lock::try_lock).
    if (const std::optional<Lock> lock = Lock::try_lock(locks / name)) {
      ops_.remove_all(locks / name);
    }
  }
}

bool same_outputs(const ResultRecord& a, const ResultRecord& b) {
  return differing_files(a, b).empty();
}

std::vector<std::string> differing_files(const ResultRecord& a, const ResultRecord& b) {
  // Ports count as well: an output without files is not the same as no output.
  const auto files_of = [](const ResultRecord& record) {
    std::map<std::string, std::string> files;
    for (const PortFiles& port : record.outputs) {
      files.emplace(port.port + "/", "");
      for (const FileDigest& file : port.files) {
        files.emplace(fmt::format("{}/{}", port.port, file.path), file.sha256);
      }
    }
    return files;
  };
  const auto ours = files_of(a);
  const auto theirs = files_of(b);
  std::map<std::string, bool> different;
  for (const auto& [path, digest] : ours) {
    const auto i = theirs.find(path);
    if (i == theirs.end() || i->second != digest) different[path] = true;
  }
  for (const auto& [path, digest] : theirs) {
    if (!ours.contains(path)) different[path] = true;
  }
  std::vector<std::string> names;
  for (const auto& [path, unused] : different) names.push_back(path);
  return names;
}

}  // namespace cifarpipe
