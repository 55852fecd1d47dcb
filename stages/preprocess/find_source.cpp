#include "stages/preprocess/find_source.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <vector>

#include "pipeline/error.hpp"
#include "stages/preprocess/cifar_source.hpp"
#include "stages/preprocess/image_folder.hpp"
#include "stages/preprocess/numpy_source.hpp"
#include "stages/preprocess/wording.hpp"

namespace fs = std::filesystem;

namespace cifarpipe::preprocess {
namespace {

const std::string kCifar100 = "in CIFAR-100's layout";
const std::string kFolders = "folders of images";

/// A data set that was found: where, and how to open it.
struct Candidate {
  std::string where;
  std::string kind;  ///< "in CIFAR-10's layout"
  std::function<std::unique_ptr<ImageSource>()> open;
};

class Search {
 public:
  Search(const fs::path& top, const SourceOptions& options)
      : top_(top), options_(options), tree_(read_tree(top)) {}

  std::unique_ptr<ImageSource> find() {
    visit(tree_);
    for (const ImageFolders& folders : find_image_folders(tree_)) {
      add(shown(*folders.root), kFolders,
          [this, folders] { return std::make_unique<ImageFolderSource>(top_, tree_, folders); });
    }
    if (candidates_.size() > 1) throw several();
    if (candidates_.empty()) throw nothing();
    const Candidate& only = candidates_.front();
    if (options_.coarse && only.kind != kCifar100) {
      throw Error(
          fmt::format("labels = \"coarse\" is for CIFAR-100, but these files are {}", only.kind),
          ErrorKind::usage);
    }
    return only.open();
  }

 private:
  template <class Open>
  void add(std::string where, std::string kind, Open open) {
    candidates_.push_back({std::move(where), std::move(kind), std::move(open)});
  }

  void visit(const Folder& folder) {
    python_ = python_ || is_cifar_for_python(folder);
    if (is_cifar10(folder)) {
      add(shown(folder), "in CIFAR-10's layout",
          [this, &folder] { return std::make_unique<CifarSource>(read_cifar10(top_, folder)); });
    }
    if (is_cifar100(folder)) {
      add(shown(folder), kCifar100, [this, &folder] {
        return std::make_unique<CifarSource>(read_cifar100(top_, folder, options_.coarse));
      });
    }
    visit_arrays(folder);
    for (const Folder::File& file : folder.files) note(folder.path_of(file.name));
    for (const Folder& below : folder.folders) visit(below);
  }

  void visit_arrays(const Folder& folder) {
    for (const Folder::File& file : folder.files) {
      if (ending(file.name) != "npz") continue;
      const std::string name = file.name;
      const ArraySet arrays(top_, folder, name);
      if (!arrays.has_roles()) {
        strange_.push_back(
            fmt::format("{} holds {}", arrays.place(), fmt::join(arrays.names(), ", ")));
        continue;
      }
      add(arrays.place(), "NumPy arrays", [this, &folder, name] {
        return std::make_unique<NumpySource>(std::make_unique<ArraySet>(top_, folder, name),
                                             options_.layout);
      });
    }
    if (ArraySet(top_, folder).has_roles()) {
      add(shown(folder), "NumPy arrays", [this, &folder] {
        return std::make_unique<NumpySource>(std::make_unique<ArraySet>(top_, folder),
                                             options_.layout);
      });
    }
  }

  void note(std::string file) {
    if (some_files_.size() < 5) some_files_.push_back(std::move(file));
  }

  Error several() const {
    std::vector<std::string> places;
    bool folders = false;
    for (const Candidate& candidate : candidates_) {
      places.push_back("in " + candidate.where);
      folders = folders || candidate.kind == kFolders;
    }
    const std::string parts =
        folders ? " (train/<class>/ and test/<class>/ of one data set lie in one folder)" : "";
    return Error(fmt::format("there is more than one data set among the files: {}; keep one{}",
                             listed(places, " and "), parts));
  }

  Error nothing() const {
    if (python_) {
      return Error(
          "these files are CIFAR's version for Python; the binary version (for C programs) "
          "is expected: data_batch_1.bin, or train.bin");
    }
    if (!strange_.empty()) {
      return Error(fmt::format(
          "no array has the name of images or labels, such as x_train and y_train, train_images "
          "and train_labels, or X and y: {}",
          fmt::join(strange_, "; ")));
    }
    if (tree_.images > 0) return no_classes();
    return Error(fmt::format(
        "no data set is among the files: neither folders of images (train/<class>/, or <class>/), "
        "nor NumPy arrays (.npz, .npy), nor data_batch_1.bin (CIFAR-10's binary layout), nor "
        "train.bin (CIFAR-100's); there is {}",
        some_files_.empty() ? std::string("nothing")
                            : fmt::format("{}", fmt::join(some_files_, ", "))));
  }

  Error no_classes() const {
    const Folder* folder = &tree_;
    while (folder->folders_with_images().size() == 1) {
      folder = folder->folders_with_images().front();
    }
    const std::string expected = "train/<class>/ with test/<class>/, or <class>/ alone";
    const auto here = std::count_if(folder->files.begin(), folder->files.end(),
                                    [](const Folder::File& file) { return file.image; });
    if (folder != &tree_ && static_cast<std::size_t>(here) == tree_.images) {
      return Error(fmt::format(
          "there is one folder with images only, {} ({}), but two classes are needed at least, a "
          "folder for each: {}",
          folder->path, counted(tree_.images, "image"), expected));
    }
    return Error(
        fmt::format("there {} {}, but not in a folder for each class: {}, is expected; there is {}",
                    tree_.images == 1 ? "is" : "are", counted(tree_.images, "image"), expected,
                    fmt::join(some_files_, ", ")));
  }

  const fs::path& top_;
  const SourceOptions& options_;
  Folder tree_;
  std::vector<Candidate> candidates_;
  std::vector<std::string> strange_;
  std::vector<std::string> some_files_;
  bool python_ = false;
};

}  // namespace

std::unique_ptr<ImageSource> find_source(const fs::path& top, const SourceOptions& options) {
  return Search(top, options).find();
}

}  // namespace cifarpipe::preprocess
