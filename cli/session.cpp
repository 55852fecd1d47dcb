#include "cli/session.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "pipeline/plan.hpp"
#include "pipeline/provenance.hpp"
#include "pipeline/supervisor.hpp"
#include "tracking/recorder.hpp"

namespace cifarpipe::cli {

namespace {

constexpr std::uintmax_t kLeastRoom = 1 << 20;  // Bytes; what a database takes to be opened.

/// Whether this user may write all that a command writes in a store that is there, and there is
/// room for it.
bool can_write(const std::filesystem::path& runs) {
  std::error_code ec;
  const auto space = std::filesystem::space(runs, ec);
  if (!ec && space.available < kLeastRoom) return false;
  for (const char* name : {".", "store/locks", "store/rings", "cifarpipe.db", "cifarpipe.db-wal",
                           "cifarpipe.db-shm"}) {
    if (::access((runs / name).c_str(), W_OK) != 0 && errno != ENOENT) return false;
  }
  return true;
}

/// Closes the rows of dead runs and stores what their workers left. A worker sees within moments
/// that its supervisor is gone, and until then it may log: what follows, a sync say, is to know all
/// of it.
void take_over_from_dead(const Store& store, SqliteRecorder& recorder) {
  constexpr int kLooks = 100;
  constexpr useconds_t kBetween = 20'000;  // Microseconds.
  const bool anyone = reap_dead_runs(recorder) > 0;
  for (int i = 0; drain_orphan_rings(store, recorder) > 0 && anyone && i < kLooks; ++i) {
    usleep(kBetween);
  }
}

}  // namespace

void require_runs_folder(const Program& program) {
  if (program.runs_dir.empty()) {
    throw Error("--runs wants a folder, and its name is empty", ErrorKind::usage);
  }
  std::error_code error;
  const auto status = std::filesystem::status(program.runs_dir, error);
  if (std::filesystem::exists(status) && !std::filesystem::is_directory(status)) {
    throw Error(fmt::format("{} is a file; --runs wants a folder", program.runs_dir),
                ErrorKind::usage);
  }
}

std::filesystem::path runs_folder(const Program& program) {
  require_runs_folder(program);
  std::error_code error;
  const std::filesystem::path runs = std::filesystem::absolute(program.runs_dir, error);
  if (error) {
    throw Error(fmt::format("'{}' cannot be found: the working folder is not there any more",
                            program.runs_dir),
                ErrorKind::environment);
  }
  return runs;
}

std::vector<std::string> same_program(const Program& program) {
  std::vector<std::string> line = {"cifarpipe"};
  // Left out where it would be found without it, as in the command that was typed.
  const char* usual = std::getenv("CIFARPIPE_RUNS");
  if (program.runs_dir != (usual != nullptr && *usual != '\0' ? usual : "runs")) {
    line.insert(line.end(), {"--runs", program.runs_dir});
  }
  for (const std::filesystem::path& path : program.plugin_paths) {
    line.insert(line.end(), {"--plugin-path", path.string()});
  }
  return line;
}

std::string next_command(const Program& program, const Secrets& secrets,
                         const std::vector<std::string>& words) {
  std::vector<std::string> line = same_program(program);
  line.insert(line.end(), words.begin(), words.end());
  return shell_line(secrets.redacted_arguments(std::move(line)));
}

Session::Session(const Program& program, Purpose purpose)
    : Session(runs_folder(program), purpose) {}

Session::Session(const std::filesystem::path& runs, Purpose purpose)
    : Session(runs, purpose == Purpose::look && !can_write(runs)) {}

Session::Session(const std::filesystem::path& runs, bool as_it_is)
    : as_it_is_(as_it_is),
      store_(as_it_is ? Store(runs, file_ops(), Store::AsItIs{}) : Store(runs, file_ops())) {
  const auto database = store_.root() / "cifarpipe.db";
  if (as_it_is) {
    recorder_ = std::make_unique<SqliteRecorder>(database, Database::Access::read);
    return;
  }
  const bool fresh = !std::filesystem::exists(database);
  recorder_ = std::make_unique<SqliteRecorder>(database);
  take_over_from_dead(store_, *recorder_);
  if (fresh) {
    for (const JobRef& job : store_.list()) {
      if (const auto result = store_.find(job)) index_result(*result, store_, *recorder_);
    }
  }
}

Session::~Session() = default;

Recorder& Session::recorder() {
  return *recorder_;
}

GraphWorld Session::world(const Program& program, const Configuration& configuration) {
  GraphWorld world;
  world.secrets = secrets_of(program, configuration);
  bool cuda = false;
  for (const Cell& cell : configuration.cells) {
    for (const StageInstance& stage : cell.stages) cuda = cuda || stage.type->cuda;
  }
  world.machine = detect_machine(cuda);
  world.digest_path = [this](const std::string& path) { return digest_of(path); };
  world.earlier_result = [this](const InputSource& source) {
    const RunRecord run = earlier_run(source);
    const auto job = recorder_->run_stage_job(run.id, source.stage);
    const auto result = job ? store_.find(*job) : std::nullopt;
    if (!result) {
      throw Error(fmt::format("run {} has no result of a stage '{}'", run.name, source.stage),
                  source.place);
    }
    if (result->port(source.port) == nullptr) {
      throw Error(fmt::format("stage '{}' of run {} has no output '{}'", source.stage, run.name,
                              source.port),
                  source.place);
    }
    return std::make_pair(*job, port_digest(*result, source.port));
  };
  return world;
}

/// "latest" is the newest run that has what is asked for: else a pipeline that takes an earlier
/// run's result would meet itself when it is called again.
RunRecord Session::earlier_run(const InputSource& source) {
  try {
    if (source.run != "latest") return recorder_->resolve_run(source.run);
  } catch (const Error& error) {
    throw Error(error.what(), source.place);
  }
  if (auto run = recorder_->newest_run_with(source.stage)) return std::move(*run);
  throw Error(fmt::format("no run has a result of a stage '{}' yet; run a pipeline that has one",
                          source.stage),
              source.place);
}

std::string Session::digest_of_file(const std::filesystem::path& file, NewDigests& made) {
  struct stat info {};
  if (stat(file.c_str(), &info) != 0) throw system_error("cannot read " + file.string(), errno);
  const Recorder::FileStamp stamp{
      file.string(), static_cast<std::uint64_t>(info.st_size),
      static_cast<std::int64_t>(info.st_mtim.tv_sec) * 1'000'000'000 + info.st_mtim.tv_nsec,
      static_cast<std::uint64_t>(info.st_ino)};
  if (const auto known = recorder_->known_digest(stamp)) return *known;
  std::string digest = sha256_file(file);
  made.emplace_back(stamp, digest);
  return digest;
}

void Session::remember(NewDigests& made) {
  if (made.empty() || as_it_is_) return;
  Batch batch(*recorder_);
  for (const auto& [stamp, digest] : made) recorder_->remember_digest(stamp, digest);
  batch.commit();
  made.clear();
}

std::string Session::digest_of(const std::string& path) {
  const std::filesystem::path root = std::filesystem::canonical(path);
  NewDigests made;
  if (std::filesystem::is_regular_file(root)) {
    std::string digest = digest_of_file(root, made);
    remember(made);
    return digest;
  }
  if (!std::filesystem::is_directory(root)) {
    throw Error(
        fmt::format("'{}' is neither a file nor a folder: nothing can be read from it", path),
        ErrorKind::usage);
  }
  // As combined_digest, with each file's digest from the table where it is known.
  std::vector<FileDigest> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
    if (!entry.is_regular_file()) continue;
    files.push_back({entry.path().lexically_relative(root).generic_string(), entry.file_size(),
                     digest_of_file(entry.path(), made)});
    constexpr std::size_t kMany = 5000;  // So that a kill does not lose all, and none waits long.
    if (made.size() >= kMany) remember(made);
  }
  remember(made);
  std::sort(files.begin(), files.end(),
            [](const FileDigest& a, const FileDigest& b) { return a.path < b.path; });
  return combined_digest(files);
}

}  // namespace cifarpipe::cli
