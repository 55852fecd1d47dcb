// What lies in a folder, by name: read once, for everything that looks for data sets in it. Hidden
// files, __MACOSX and the like are not in it, nor are links to folders. One thread; values.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

namespace cifarpipe::preprocess {

struct Folder {
  struct File {
    std::string name;
    bool image = false;  ///< By its ending; where that says nothing, by its first bytes.
  };

  std::string name;
  std::string path;             ///< Below the top, with "/"; empty for the top itself.
  std::vector<File> files;      ///< Sorted by name.
  std::vector<Folder> folders;  ///< Sorted by name.
  std::size_t images = 0;       ///< In it and all below.

  std::string path_of(const std::string& below) const {
    return path.empty() ? below : path + "/" + below;
  }
  const File* find(const std::string& file) const;
  bool has_images_itself() const;
  /// The folders with images somewhere in them.
  std::vector<const Folder*> folders_with_images() const;
};

Folder read_tree(const std::filesystem::path& top);

/// For messages: "the top folder" or its path.
std::string shown(const Folder& folder);

/// The text with A to Z as a to z.
std::string lower_case(std::string text);

/// What follows the last dot, in lower case; empty without one.
std::string ending(const std::string& file);

}  // namespace cifarpipe::preprocess
