#include "stages/preprocess/image_folder.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <numeric>
#include <utility>

#include "pipeline/error.hpp"
#include "stages/preprocess/class_names.hpp"
#include "stages/preprocess/wording.hpp"
#include "stages/vision/decode.hpp"

namespace cifarpipe::preprocess {
namespace {

const Folder* folder_called(const Folder& in, const std::vector<std::string>& names) {
  for (const Folder& folder : in.folders) {
    const bool fits = std::find(names.begin(), names.end(), lower_case(folder.name)) != names.end();
    if (fits && !folder.folders_with_images().empty()) return &folder;
  }
  return nullptr;
}

/// The splits that lie in a folder. Without train, only what holds several classes is one: a class
/// may be called "valid".
ImageFolders splits_in(const Folder& in) {
  ImageFolders here;
  here.root = &in;
  here.train = folder_called(in, {"train", "training"});
  here.validation = folder_called(in, {"validation", "valid", "val"});
  here.test = folder_called(in, {"test", "testing"});
  for (const Folder** split : {&here.validation, &here.test}) {
    const bool counts =
        here.train != nullptr || (*split != nullptr && (*split)->folders_with_images().size() > 1);
    if (!counts) *split = nullptr;
  }
  return here;
}

/// Where a folder stands. One with images of its own among others is a class, whatever lies deeper
/// in it; one that is alone may have a picture beside its class folders.
enum class Standing { alone, among_others, in_class };

void find_sets(const Folder& in, Standing standing, std::vector<ImageFolders>& found) {
  const ImageFolders here = splits_in(in);
  const bool split = here.train != nullptr || here.validation != nullptr || here.test != nullptr;
  if (split) found.push_back(here);
  if (standing == Standing::among_others && in.has_images_itself()) standing = Standing::in_class;
  std::vector<const Folder*> others = in.folders_with_images();
  std::erase_if(others, [&](const Folder* folder) {
    return folder == here.train || folder == here.validation || folder == here.test;
  });
  const bool several = split || others.size() > 1;
  const std::size_t before = found.size();
  for (const Folder* folder : others) {
    find_sets(*folder, standing == Standing::alone && several ? Standing::among_others : standing,
              found);
  }
  const bool classes = !split && others.size() > 1 && standing != Standing::in_class;
  if (classes && found.size() == before) found.push_back({&in, &in, nullptr, nullptr});
}

std::vector<std::string> class_folders(const Folder& split) {
  std::vector<std::string> names;
  for (const Folder* folder : split.folders_with_images()) names.push_back(folder->name);
  return names;
}

/// Class folders without splits around them must be all that there is: beside others, a folder of
/// folders may as well be a class.
void require_plain_classes(const Folder& top, const Folder& root) {
  const Folder* folder = &top;
  while (folder != &root && folder->folders_with_images().size() == 1) {
    folder = folder->folders_with_images().front();
  }
  if (folder == &root) return;
  throw Error(
      fmt::format("the folder {} holds folders of images ({}), and other images lie beside it: if "
                  "it is one class, put its images into one folder; if it is the data set, take "
                  "away what lies beside it",
                  root.path, listed(class_folders(root))));
}

void require_train(const ImageFolders& folders) {
  if (folders.train != nullptr) return;
  const Folder& other = folders.test != nullptr ? *folders.test : *folders.validation;
  throw Error(
      fmt::format("there is {} without train: put a folder train with the same classes beside it, "
                  "or, if its images are to be learned from, call it train and set test, the share "
                  "that becomes the test split",
                  other.path));
}

void require_two_classes(const Folder& train) {
  const std::vector<std::string> classes = class_folders(train);
  if (classes.size() > 1) return;
  throw Error(fmt::format("{} holds images of one class only, {}, but two are needed at least",
                          train.path, classes.front()));
}

void require_same_classes(const std::vector<std::string>& train, const Folder& other) {
  const std::vector<std::string> others = class_folders(other);
  std::vector<std::string> differences;
  const auto missing = [&](const auto& from, const auto& in, const std::string& where) {
    for (const std::string& name : from) {
      if (std::find(in.begin(), in.end(), name) != in.end()) continue;
      differences.push_back(fmt::format("'{}' has images only in {}", name, where));
    }
  };
  missing(train, others, "train");
  missing(others, train, other.name);
  if (differences.empty()) return;
  throw Error(fmt::format("the classes of train and {} differ: {}", other.path,
                          fmt::join(differences, ", ")));
}

void collect(const Folder& folder, std::vector<std::string>& files) {
  for (const Folder::File& file : folder.files) {
    if (file.image) files.push_back(folder.path_of(file.name));
  }
  for (const Folder& below : folder.folders) collect(below, files);
}

std::size_t count_others(const Folder& folder) {
  std::size_t count = 0;
  for (const Folder::File& file : folder.files) count += file.image ? 0 : 1;
  for (const Folder& below : folder.folders) count += count_others(below);
  return count;
}

/// The number that a file's name is, before the ending; -1 if it is none.
std::int32_t number_of(const std::string& path) {
  const std::string name = path.substr(path.rfind('/') + 1);
  const std::string stem = name.substr(0, name.rfind('.'));
  const bool number = !stem.empty() && stem.size() <= 9 &&
                      stem.find_first_not_of("0123456789") == std::string::npos;
  return number ? static_cast<std::int32_t>(std::stol(stem)) : -1;
}

struct FoundImage {
  std::int32_t number;
  std::int32_t label;
  std::string file;
};

/// Sorts by the numbers that the files are called by, if all are and none twice.
bool sort_by_number(std::vector<FoundImage>& images) {
  const auto less = [](const FoundImage& a, const FoundImage& b) { return a.number < b.number; };
  const auto equal = [](const FoundImage& a, const FoundImage& b) { return a.number == b.number; };
  for (const FoundImage& image : images) {
    if (image.number < 0) return false;
  }
  std::vector<FoundImage> sorted = images;
  std::sort(sorted.begin(), sorted.end(), less);
  if (std::adjacent_find(sorted.begin(), sorted.end(), equal) != sorted.end()) return false;
  images = std::move(sorted);
  return true;
}

[[noreturn]] void unreadable(int error_number) {
  throw vision::BadImage(fmt::format("cannot be read: {}", std::strerror(error_number)));
}

/// The whole file in one read; small ones would cost more to map.
void read_file(const std::filesystem::path& file, std::vector<std::uint8_t>& bytes) {
  const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) unreadable(errno);
  struct stat info {};
  ::fstat(fd, &info);
  bytes.resize(static_cast<std::size_t>(info.st_size));
  std::size_t done = 0;
  ssize_t n = 1;
  while (done < bytes.size() && n > 0) {
    n = ::read(fd, bytes.data() + done, bytes.size() - done);
    if (n > 0) done += static_cast<std::size_t>(n);
  }
  const int reason = errno;
  ::close(fd);
  if (n < 0) unreadable(reason);
  bytes.resize(done);
}

}  // namespace

std::vector<ImageFolders> find_image_folders(const Folder& top) {
  std::vector<ImageFolders> found;
  find_sets(top, Standing::alone, found);
  return found;
}

ImageFolderSource::ImageFolderSource(std::filesystem::path top, const Folder& tree,
                                     const ImageFolders& folders)
    : top_(std::move(top)) {
  info_.layout = "image folder";
  require_train(folders);
  if (folders.train == folders.root) require_plain_classes(tree, *folders.root);
  require_two_classes(*folders.train);
  name_classes(class_folders(*folders.train));
  add_split("train", *folders.train);
  std::size_t taken = files_.back().size();
  for (const auto& [name, folder] :
       {std::pair("validation", folders.validation), std::pair("test", folders.test)}) {
    if (folder == nullptr) continue;
    require_same_classes(class_folders(*folders.train), *folder);
    add_split(name, *folder);
    taken += files_.back().size();
  }
  if (const std::size_t left = tree.images - taken; left > 0) {
    info_.remarks.push_back(fmt::format("{} outside of the class folders {} passed over",
                                        counted(left, "image"), left == 1 ? "is" : "are"));
  }
  if (const std::size_t others = count_others(tree); others > 0) {
    const char* are = others == 1 ? "is" : "are";
    info_.remarks.push_back(
        fmt::format("{} that {} no image {} passed over", counted(others, "file"), are, are));
  }
  vision::open_decoder();
}

void ImageFolderSource::name_classes(const std::vector<std::string>& folders) {
  folders_ = folders;
  info_.classes = folders;
  const std::vector<std::size_t> places = official_places(folders);
  if (places.empty()) return;
  for (std::size_t i = 0; i < places.size(); ++i) folders_[places[i]] = folders[i];
  info_.classes = official_names();
  info_.official_classes = true;
}

void ImageFolderSource::add_split(const char* name, const Folder& folder) {
  std::vector<FoundImage> images;
  for (const Folder* of_class : folder.folders_with_images()) {
    const auto place = std::find(folders_.begin(), folders_.end(), of_class->name);
    std::vector<std::string> files;
    collect(*of_class, files);
    std::sort(files.begin(), files.end());
    for (std::string& file : files) {
      images.push_back(
          {number_of(file), static_cast<std::int32_t>(place - folders_.begin()), std::move(file)});
    }
  }
  SourceSplit split;
  split.name = name;
  split.class_by_class = !sort_by_number(images);
  std::vector<std::string> files;
  for (FoundImage& image : images) {
    const auto rank = static_cast<std::int32_t>(files.size());
    split.index.push_back(split.class_by_class ? rank : image.number);
    split.labels.push_back(image.label);
    files.push_back(std::move(image.file));
  }
  splits_.push_back(std::move(split));
  files_.push_back(std::move(files));
}

vision::Image ImageFolderSource::load(std::size_t split, std::size_t image, int channels) const {
  static thread_local std::vector<std::uint8_t> bytes;
  read_file(top_ / files_[split][image], bytes);
  return vision::decode_image(bytes, channels);
}

}  // namespace cifarpipe::preprocess
