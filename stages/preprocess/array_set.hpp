// Named arrays from one place, and what their names mean: which are images, which labels, and of
// which split. One thread; arrays live as long as the set.
#pragma once

#include <filesystem>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "stages/preprocess/folder_tree.hpp"
#include "stages/preprocess/npz.hpp"

namespace cifarpipe::preprocess {

/// What an array's name says.
struct ArrayRole {
  std::string split;  ///< "train", "validation", "test"; empty for the only one there is.
  bool labels = false;
};

/// "x_train", "test-labels", "X", …; nothing for other names.
std::optional<ArrayRole> role_of(const std::string& name);

class ArraySet {
 public:
  /// A .npz file.
  ArraySet(const std::filesystem::path& top, const Folder& folder, const std::string& npz);
  /// The .npy files of a folder.
  ArraySet(const std::filesystem::path& top, const Folder& folder);

  /// For messages and for people: the file, or the folder.
  const std::string& place() const { return place_; }
  const std::vector<std::string>& names() const { return names_; }
  /// For messages.
  std::string shown(const std::string& array) const;
  NpyArray read(const std::string& array);
  /// Whether any name is one of images or labels.
  bool has_roles() const;
  /// The names of the classes, from a text file beside the arrays or an array of texts; may be
  /// empty.
  std::vector<std::string> class_names();

 private:
  std::filesystem::path folder_on_disk_;
  std::string place_;
  std::vector<std::string> names_;
  std::unique_ptr<Npz> npz_;
  std::map<std::string, std::string> files_;  ///< Array to .npy file.
  std::string class_file_;
  std::list<learn::MappedFile> mapped_;
};

}  // namespace cifarpipe::preprocess
