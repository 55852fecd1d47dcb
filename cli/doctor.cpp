// `cifarpipe doctor`: what this machine and this installation offer, and what is missing.
#include <fmt/format.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <set>

#include "cli/session.hpp"
#include "pipeline/machine.hpp"
#include "plugins/catalog.hpp"
#include "tracking/database.hpp"
#include "tracking/migrations.hpp"

namespace cifarpipe::cli {
namespace {

/// Prints one line a finding and remembers whether something is missing or wrong.
class Findings {
 public:
  void ok(std::string_view what, const std::string& text) { print("", what, text); }
  void missing(std::string_view what, const std::string& text) {
    good_ = false;
    print("missing: ", what, text);
  }
  void wrong(std::string_view what, const std::string& text) {
    good_ = false;
    print("problem: ", what, text);
  }
  int exit_code() const { return !good_ ? static_cast<int>(ErrorKind::environment) : 0; }

 private:
  static void print(std::string_view mark, std::string_view what, const std::string& text) {
    fmt::print("{:<12} {}{}\n", what, mark, text);
  }
  bool good_ = true;
};

std::filesystem::path on_path(std::string_view name) {
  const char* path = std::getenv("PATH");
  std::string_view rest = path == nullptr ? "" : path;
  while (!rest.empty()) {
    const auto colon = rest.find(':');
    const std::filesystem::path file = std::filesystem::path(rest.substr(0, colon)) / name;
    if (access(file.c_str(), X_OK) == 0) return file;
    rest = colon == std::string_view::npos ? "" : rest.substr(colon + 1);
  }
  return {};
}

void machine_lines(Findings& findings) {
  const Machine machine = detect_machine(true);
  findings.ok("cpu", fmt::format("{}, {} cores, {}", machine.cpu_model, machine.cores,
                                 machine.amx_bf16    ? "bf16 by AMX"
                                 : machine.fast_bf16 ? "bf16 by AVX512-BF16"
                                                     : "no fast bf16: precision auto is fp32"));
  findings.ok("memory", fmt::format("{:.1f} GB", static_cast<double>(machine.memory_bytes) / 1e9));
  findings.ok("gpu", machine.cuda_devices.empty()
                         ? "none that CUDA can use"
                         : fmt::format("{} ({})", machine.cuda_devices.size(),
                                       fmt::join(machine.cuda_devices, ", ")));
}

void disk_line(const Program& program, Findings& findings) {
  const std::filesystem::path runs = runs_folder(program);
  std::filesystem::path there = runs;
  std::error_code error;
  while (!std::filesystem::exists(there, error) && there.has_relative_path()) {
    there = there.parent_path();
  }
  struct statvfs info {};
  if (statvfs(there.c_str(), &info) != 0) {
    findings.wrong("runs", runs.string() + " cannot be reached");
    return;
  }
  const double free = static_cast<double>(info.f_bavail) * static_cast<double>(info.f_frsize);
  const std::string text = fmt::format("{} ({:.1f} GB free)", runs.string(), free / 1e9);
  if (access(there.c_str(), W_OK) != 0) {
    findings.wrong("runs", text + ": not writable; choose another folder with --runs");
  } else if (free < 1e9) {
    findings.wrong("runs", text + ": less than 1 GB is left; `cifarpipe gc` helps");
  } else {
    findings.ok("runs", text);
  }
}

/// Whether runs can be recorded and looked up there.
void database_line(const Program& program, Findings& findings) {
  const std::filesystem::path file = runs_folder(program) / "cifarpipe.db";
  std::error_code error;
  if (!std::filesystem::exists(file, error)) return;
  // Readers, too, write beside a database that somebody has open.
  const bool writable =
      access(file.c_str(), W_OK) == 0 && access(file.parent_path().c_str(), W_OK) == 0;
  const bool open = std::filesystem::exists(file.string() + "-wal", error);
  try {
    const Database db(file, open && writable ? Database::Access::write : Database::Access::read);
    require_not_newer(db);
    findings.ok("database", file.string());
  } catch (const Error& problem) {
    findings.wrong("database", problem.what());
  }
}

void plugin_lines(const Program& program, Findings& findings) {
  const PluginCatalog catalog(plugin_search_path(
      program.plugin_paths, {}, std::getenv("CIFARPIPE_PLUGIN_PATH"), program.executable));
  std::set<std::string> torch;
  for (const std::string& name : catalog.names()) {
    const StageType* type = catalog.find(name);
    if (!type->torch_version.empty()) torch.insert(type->torch_version);
    findings.ok("stage", fmt::format("{} ({} {}, build {})", name, type->plugin_name,
                                     type->plugin_version, type->build_id.substr(0, 8)));
  }
  for (const StageCatalog::Problem& problem : catalog.problems()) {
    findings.wrong("plugin", problem.message);
  }
  for (const std::string& version : torch) findings.ok("libtorch", version);
  if (catalog.names().empty()) {
    findings.missing("stages",
                     "no plugin was found; build them with ./cifarpipe or name their "
                     "folder with --plugin-path");
  }
}

int doctor(const Program& program) {
  Findings findings;
  findings.ok("cifarpipe", fmt::format("{} ({})", CIFARPIPE_VERSION, program.executable.string()));
  machine_lines(findings);
  disk_line(program, findings);
  database_line(program, findings);
  const auto worker = program.executable.parent_path() / "cifarpipe-worker";
  if (access(worker.c_str(), X_OK) == 0) {
    findings.ok("worker", worker.string());
  } else {
    findings.missing("worker", worker.string() + " is not there; build again with ./cifarpipe");
  }
  plugin_lines(program, findings);
  const auto git = on_path("git");
  if (git.empty()) {
    findings.missing("git", "runs will not record a commit; install git");
  } else {
    findings.ok("git", git.string());
  }
  return findings.exit_code();
}

}  // namespace

void add_doctor_command(CLI::App& app, Program& program) {
  auto* command =
      app.add_subcommand("doctor", "Show versions, processor, memory, disk, and what is missing.");
  command->callback([&program] { program.action = [&program] { return doctor(program); }; });
}

}  // namespace cifarpipe::cli
