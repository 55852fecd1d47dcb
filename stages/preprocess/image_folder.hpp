// Folders of image files as a source: train/<class>/ with test/<class>/ (and perhaps
// validation/<class>/), or <class>/ alone, anywhere below the top. Images are read and decoded when
// they are asked for.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "stages/preprocess/folder_tree.hpp"
#include "stages/preprocess/image_source.hpp"

namespace cifarpipe::preprocess {

/// Where the images of a data set are; points into the tree.
struct ImageFolders {
  const Folder* root = nullptr;
  const Folder* train = nullptr;  ///< The root itself where classes stand alone; null where only
                                  ///< other splits are.
  const Folder* validation = nullptr;
  const Folder* test = nullptr;
};

/// All that the tree holds: folders with splits in them, and folders that hold several folders of
/// images and no data set.
std::vector<ImageFolders> find_image_folders(const Folder& top);

class ImageFolderSource : public ImageSource {
 public:
  /// Throws an Error when there is no train, when it is not clear what the classes are, and for a
  /// class which is not in every split.
  ImageFolderSource(std::filesystem::path top, const Folder& tree, const ImageFolders& folders);

  vision::Image load(std::size_t split, std::size_t image, int channels) const override;
  std::string file_of(std::size_t split, std::size_t image) const override {
    return files_[split][image];
  }

 private:
  void name_classes(const std::vector<std::string>& folders);
  void add_split(const char* name, const Folder& folder);

  std::filesystem::path top_;
  std::vector<std::string> folders_;  ///< Names of the class folders, in the order of the classes.
  std::vector<std::vector<std::string>> files_;  ///< Of each split and image, below `top_`.
};

}  // namespace cifarpipe::preprocess
