#include "stages/preprocess/array_set.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "pipeline/error.hpp"
#include "stages/preprocess/class_names.hpp"

namespace fs = std::filesystem;

namespace cifarpipe::preprocess {
namespace {

constexpr std::size_t kMostClasses = 65536;

const std::map<std::string, std::string> kSplits = {
    {"train", "train"},      {"training", "train"},        {"val", "validation"},
    {"valid", "validation"}, {"validation", "validation"}, {"test", "test"},
    {"testing", "test"}};
const std::set<std::string> kImages = {"x", "image", "images", "data"};
const std::set<std::string> kLabels = {"y", "label", "labels", "target", "targets"};
const std::vector<std::string> kClassArrays = {"class_names", "classes", "label_names"};
const std::vector<std::string> kClassFiles = {"classes.txt", "class_names.txt", "labels.txt"};

std::vector<std::string> words_of(const std::string& name) {
  std::vector<std::string> words(1);
  for (const char c : lower_case(name)) {
    if (c == '_' || c == '-') {
      words.emplace_back();
    } else {
      words.back() += c;
    }
  }
  return words;
}

std::string class_file_in(const Folder& folder) {
  for (const std::string& name : kClassFiles) {
    if (folder.find(name) != nullptr) return name;
  }
  return {};
}

}  // namespace

std::optional<ArrayRole> role_of(const std::string& name) {
  ArrayRole role;
  int kinds = 0;
  for (const std::string& word : words_of(name)) {
    if (const auto split = kSplits.find(word); split != kSplits.end()) {
      if (!role.split.empty()) return std::nullopt;
      role.split = split->second;
    } else if (kImages.contains(word) || kLabels.contains(word)) {
      role.labels = kLabels.contains(word);
      ++kinds;
    } else {
      return std::nullopt;
    }
  }
  return kinds == 1 ? std::optional(role) : std::nullopt;
}

ArraySet::ArraySet(const fs::path& top, const Folder& folder, const std::string& npz)
    : folder_on_disk_(top / folder.path),
      place_(folder.path_of(npz)),
      npz_(std::make_unique<Npz>(folder_on_disk_ / npz, place_)),
      class_file_(class_file_in(folder)) {
  names_ = npz_->names();
}

ArraySet::ArraySet(const fs::path& top, const Folder& folder)
    : folder_on_disk_(top / folder.path),
      place_(preprocess::shown(folder)),
      class_file_(class_file_in(folder)) {
  for (const Folder::File& file : folder.files) {
    if (ending(file.name) != "npy") continue;
    names_.push_back(file.name.substr(0, file.name.size() - 4));
    files_[names_.back()] = file.name;
  }
}

std::string ArraySet::shown(const std::string& array) const {
  return npz_ ? fmt::format("{} of {}", array, place_) : files_.at(array);
}

NpyArray ArraySet::read(const std::string& array) {
  if (npz_) return npz_->read(array);
  const auto& file = mapped_.emplace_back(folder_on_disk_ / files_.at(array));
  return parse_npy(file.bytes(), shown(array));
}

bool ArraySet::has_roles() const {
  return std::any_of(names_.begin(), names_.end(),
                     [](const std::string& name) { return role_of(name).has_value(); });
}

std::vector<std::string> ArraySet::class_names() {
  for (const std::string& name : kClassArrays) {
    if (std::find(names_.begin(), names_.end(), name) == names_.end()) continue;
    return texts(read(name), shown(name));
  }
  if (class_file_.empty()) return {};
  return read_class_names(folder_on_disk_ / class_file_, kMostClasses);
}

}  // namespace cifarpipe::preprocess
