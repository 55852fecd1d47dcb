// `cifarpipe init`: a file to start from. It is written from the plugins' descriptions, so every
// parameter is in it, with its true default.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "cli/catalog.hpp"
#include "cli/command.hpp"
#include "pipeline/config.hpp"
#include "pipeline/provenance.hpp"

namespace cifarpipe::cli {
namespace {

constexpr std::size_t kWidth = 100;

constexpr std::string_view kHead =
    R"(# A pipeline of cifarpipe. Run it:          cifarpipe run {0}
# What would happen, and why:               cifarpipe plan {0}
# Every value and where it came from:       cifarpipe config {0} --origin
# Values can be changed for one call:       cifarpipe run {0} --set train.lr=0.01
# A line that begins with '#' and holds a value shows the default.

[pipeline]
name = {1}  # The experiment that the runs belong to.
# description = ""                # A sentence for people.
# seed = 42                       # Root of all random numbers.
# threads = 0                     # Threads that a stage computes with; 0 = this machine's cores.
)";

constexpr std::string_view kTail = R"(
# A matrix makes the file a sweep: every combination of these values is one run.
# [matrix]
# train.lr = [3e-3, 1e-3]
# train.optimizer = ["adam", "sgd"]
# [[matrix.exclude]]              # Leave one combination out.
# train.lr = 3e-3
# train.optimizer = "sgd"
# [[matrix.include]]              # Add one.
# train.lr = 1e-4

# [tracking.mlflow]
# uri = "http://127.0.0.1:5000"   # Default: MLFLOW_TRACKING_URI, else none.
)";

// The chain that most files have, as instance and stage; other plugins are for the reader to add.
struct Link {
  std::string_view instance, uses;
};
constexpr Link kChain[] = {
    {"download", "download"}, {"data", "preprocess"}, {"train", "train"}, {"test", "evaluate"}};

std::string wrapped_comment(std::string_view text) {
  std::string out, line = "#";
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(' ', begin), text.size());
    if (line.size() + 1 + (end - begin) > kWidth) {
      out += line + "\n";
      line = "#";
    }
    line += ' ';
    line += text.substr(begin, end - begin);
    begin = end + 1;
  }
  return out + line + "\n";
}

// The comment behind the line, or above it where it is too long for that.
std::string commented(const std::string& line, const std::string& comment) {
  std::string whole = fmt::format("{:<32}  # {}", line, comment);
  return whole.size() <= kWidth ? whole + "\n" : wrapped_comment(comment) + line + "\n";
}

std::string param_line(const FieldInfo& field) {
  const bool synthetic =
      std::find(field.keywords.begin(), field.keywords.end(), "synthetic") != field.keywords.end();
  std::string help = field.help;
  if (field.choices.size() > 1) help += fmt::format(" One of: {}.", fmt::join(field.choices, ", "));
  if (field.required) help += " A value must be given.";
  const std::string line = field.secret     ? fmt::format("# {} = {{ env = \"NAME\" }}", field.name)
                           : field.required ? fmt::format("{} = ", field.name)
                           : synthetic
                               ? fmt::format("{} = \"synthetic\"", field.name)
                               : fmt::format("# {} = {}", field.name, to_text(field.default_value));
  return commented(line, help);
}

// Inputs that more than one output of the chain fits; the first is what most want.
std::string inputs_of(const StageCatalog& catalog, const StageType& type) {
  std::string out;
  for (const Port& in : type.description.inputs) {
    std::vector<std::string> makers;
    for (const Link& link : kChain) {
      const StageType* other = catalog.find(link.uses);
      if (other == nullptr || other == &type) continue;
      for (const Port& port : other->description.outputs) {
        if (port.type == in.type) makers.push_back(fmt::format("{}.{}", link.instance, port.name));
      }
    }
    if (in.optional || makers.size() < 2) continue;
    out += commented(fmt::format("inputs.{} = \"{}\"", in.name, makers.front()),
                     fmt::format("Or: {}.", fmt::join(makers.begin() + 1, makers.end(), ", ")));
  }
  return out;
}

std::string content(const StageCatalog& catalog, const std::string& file) {
  const std::string name = std::filesystem::path(file).stem().string();
  std::string out =
      fmt::format(fmt::runtime(kHead), shell_line({file}), fmt::format("{:<25}", to_text(name)));
  for (const Link& link : kChain) {
    const StageType* type = catalog.find(link.uses);
    if (type == nullptr) continue;
    out += fmt::format("\n[stages.{}]\n", link.instance);
    out += commented(fmt::format("uses = \"{}\"", link.uses), type->description.summary);
    out += inputs_of(catalog, *type);
    if (type->description.params.fields.empty()) continue;
    out += fmt::format("[stages.{}.params]\n", link.instance);
    for (const FieldInfo& field : type->description.params.fields) {
      if (field.deprecated.empty()) out += param_line(field);
    }
  }
  return out + std::string(kTail);
}

int init(const Program& program, const std::string& file) {
  if (file.empty()) throw Error("the name of the file to write is empty", ErrorKind::usage);
  const std::unique_ptr<StageCatalog> catalog = open_catalog(program, {});
  if (catalog->names().empty()) {
    throw Error("no plugins were found, so there is nothing to write about; see cifarpipe doctor",
                ErrorKind::environment);
  }
  const std::string text = content(*catalog, file);
  // A folder that is not there is a mistyped name, as for every other file of a command line.
  const auto folder = std::filesystem::path(file).parent_path();
  if (std::error_code ec; !folder.empty() && !std::filesystem::exists(folder, ec) && !ec) {
    throw Error(fmt::format("cannot write {}: its folder is not there", file), ErrorKind::usage);
  }
  const int fd = open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0 && errno == EEXIST) {
    throw Error(fmt::format("{} is there already, and init overwrites nothing", file),
                ErrorKind::usage);
  }
  if (fd < 0) throw system_error("cannot write " + file, errno);
  const ssize_t written = write(fd, text.data(), text.size());
  if (close(fd) != 0 || written != static_cast<ssize_t>(text.size())) {
    unlink(file.c_str());
    throw system_error("cannot write " + file, written < 0 ? errno : ENOSPC);
  }
  fmt::print("wrote {}; next: {}\n", file, next_command(program, program.secrets, {"check", file}));
  return 0;
}

}  // namespace

void add_init_command(CLI::App& app, Program& program) {
  auto* command = app.add_subcommand("init", "Write a commented file to start from.");
  auto file = std::make_shared<std::string>("pipeline.toml");
  command->add_option("FILE", *file, "Where to (default: pipeline.toml); never overwrites.");
  command->callback(
      [&program, file] { program.action = [&program, file] { return init(program, *file); }; });
}

}  // namespace cifarpipe::cli
