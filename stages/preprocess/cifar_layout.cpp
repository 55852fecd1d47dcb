#include "stages/preprocess/cifar_layout.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>

#include "pipeline/error.hpp"
#include "stages/learn/files.hpp"

namespace fs = std::filesystem;

namespace cifarpipe::preprocess {
namespace {

const std::vector<std::string> kLongNames = {"airplane", "automobile", "bird",  "cat",  "deer",
                                             "dog",      "frog",       "horse", "ship", "truck"};
const std::vector<std::string> kShortNames = {"plane", "car",  "bird",  "cat",  "deer",
                                              "dog",   "frog", "horse", "ship", "truck"};

/// The number N of "data_batch_N.bin", or 0.
int batch_number(const std::string& name) {
  const std::string front = "data_batch_";
  const std::string back = ".bin";
  if (name.size() <= front.size() + back.size() || name.rfind(front, 0) != 0 ||
      name.compare(name.size() - back.size(), back.size(), back) != 0) {
    return 0;
  }
  const std::string digits = name.substr(front.size(), name.size() - front.size() - back.size());
  const bool number = digits.size() <= 4 && digits[0] != '0' &&
                      digits.find_first_not_of("0123456789") == std::string::npos;
  return number ? std::stoi(digits) : 0;
}

struct Findings {
  std::set<fs::path> cifar10;   ///< Folders with data_batch_N.bin.
  std::set<fs::path> cifar100;  ///< Folders with train.bin.
  bool python = false;          ///< The version for Python, with the same names but no ".bin".
  std::vector<std::string> some_files;
};

Findings look_around(const fs::path& folder) {
  Findings found;
  std::vector<std::string> names;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    const std::string name = entry.path().filename().string();
    const fs::path parent = entry.path().parent_path();
    if (batch_number(name) > 0) found.cifar10.insert(parent);
    if (name == "train.bin") found.cifar100.insert(parent);
    if (name == "data_batch_1" || name == "train") found.python = true;
    names.push_back(entry.path().lexically_relative(folder).generic_string());
  }
  std::sort(names.begin(), names.end());
  names.resize(std::min<std::size_t>(names.size(), 5));
  found.some_files = std::move(names);
  return found;
}

std::vector<std::string> read_names(const fs::path& file) {
  std::vector<std::string> names;
  const std::string text = learn::read_text(file);
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::string line = text.substr(at, end - at);
    at = end + 1;
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ' || line.back() == '\t')) {
      line.pop_back();
    }
    if (!line.empty()) names.push_back(line);
  }
  const std::set<std::string> distinct(names.begin(), names.end());
  if (names.empty() || names.size() > 256 || distinct.size() != names.size()) {
    throw Error(fmt::format("{} must hold 1 to 256 different class names, a line each; it holds {}",
                            file.string(), names.size()));
  }
  return names;
}

void require_file(const fs::path& file, const std::string& why) {
  if (!fs::is_regular_file(file)) {
    throw Error(fmt::format("{} is missing: {}", file.string(), why));
  }
}

CifarLayout read_cifar10(const fs::path& folder) {
  CifarLayout layout;
  layout.name = "cifar10";
  std::map<int, fs::path> batches;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (const int n = batch_number(entry.path().filename().string())) batches[n] = entry.path();
  }
  const int last = batches.rbegin()->first;
  for (int n = 1; n <= last; ++n) {
    require_file(folder / fmt::format("data_batch_{}.bin", n),
                 fmt::format("training files up to data_batch_{}.bin are there", last));
    layout.train.push_back(batches.at(n));
  }
  require_file(folder / "test_batch.bin", "CIFAR-10's layout has the test images in it");
  layout.test.push_back(folder / "test_batch.bin");
  require_file(folder / "batches.meta.txt", "CIFAR-10's layout has the class names in it");
  layout.classes = read_names(folder / "batches.meta.txt");
  if (layout.classes == kLongNames || layout.classes == kShortNames) {
    layout.classes = kShortNames;
    layout.official_classes = true;
  }
  return layout;
}

CifarLayout read_cifar100(const fs::path& folder, bool coarse) {
  CifarLayout layout;
  layout.name = "cifar100";
  layout.label_bytes = 2;
  layout.label_at = coarse ? 0 : 1;
  layout.train.push_back(folder / "train.bin");
  require_file(folder / "test.bin", "CIFAR-100's layout has the test images in it");
  layout.test.push_back(folder / "test.bin");
  const char* names = coarse ? "coarse_label_names.txt" : "fine_label_names.txt";
  require_file(folder / names, "CIFAR-100's layout has the class names in it");
  layout.classes = read_names(folder / names);
  return layout;
}

}  // namespace

CifarLayout find_cifar(const fs::path& folder, bool coarse) {
  const Findings found = look_around(folder);
  std::vector<std::string> folders;
  for (const std::set<fs::path>* set : {&found.cifar10, &found.cifar100}) {
    for (const fs::path& f : *set) {
      const std::string name = f.lexically_relative(folder).generic_string();
      folders.push_back(name == "." ? "the top folder" : name);
    }
  }
  if (folders.size() > 1) {
    throw Error(fmt::format("there is more than one data set among the files: in {}",
                            fmt::join(folders, " and in ")));
  }
  if (!found.cifar10.empty()) {
    if (coarse) {
      throw Error("labels = \"coarse\" is for CIFAR-100, but these files are in CIFAR-10's layout");
    }
    return read_cifar10(*found.cifar10.begin());
  }
  if (!found.cifar100.empty()) return read_cifar100(*found.cifar100.begin(), coarse);
  if (found.python) {
    throw Error(
        "these files are CIFAR's version for Python; the binary version (for C programs) "
        "is expected: data_batch_1.bin, or train.bin");
  }
  throw Error(
      fmt::format("no data set is among the files: neither data_batch_1.bin (CIFAR-10's "
                  "binary layout) nor train.bin (CIFAR-100's); there is {}",
                  found.some_files.empty() ? std::string("nothing")
                                           : fmt::format("{}", fmt::join(found.some_files, ", "))));
}

}  // namespace cifarpipe::preprocess
