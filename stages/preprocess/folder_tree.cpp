#include "stages/preprocess/folder_tree.hpp"

#include <algorithm>
#include <array>
#include <fstream>
#include <set>
#include <span>

#include "stages/vision/file_check.hpp"

namespace fs = std::filesystem;

namespace cifarpipe::preprocess {
namespace {

// Images by name, whether they can be read or not: a HEIC among them is to be heard of.
const std::set<std::string> kImages = {"avif", "bmp", "dib",  "gif", "heic", "heif", "jfif",
                                       "jp2",  "jpe", "jpeg", "jpg", "pbm",  "pgm",  "png",
                                       "pnm",  "ppm", "psd",  "tga", "tif",  "tiff", "webp"};
// What lies beside images and is none.
const std::set<std::string> kOthers = {"bin", "csv", "db",  "html", "ini",  "json", "log",
                                       "mat", "md",  "npy", "npz",  "pdf",  "pkl",  "py",
                                       "sh",  "tsv", "txt", "xml",  "yaml", "yml",  "zip"};

bool passed_over(const std::string& name) {
  return name.front() == '.' || name == "__MACOSX" || lower_case(name) == "thumbs.db" ||
         lower_case(name) == "desktop.ini";
}

bool is_image(const fs::path& file, const std::string& name) {
  const std::string end = ending(name);
  if (kImages.contains(end)) return true;
  if (kOthers.contains(end)) return false;
  std::array<char, 32> first{};
  std::ifstream in(file, std::ios::binary);
  in.read(first.data(), first.size());
  return vision::looks_like_image(
      {reinterpret_cast<const std::uint8_t*>(first.data()), static_cast<std::size_t>(in.gcount())});
}

void fill(Folder& folder, const fs::path& on_disk) {
  for (const fs::directory_entry& entry : fs::directory_iterator(on_disk)) {
    std::string name = entry.path().filename().string();
    if (passed_over(name)) continue;
    if (entry.is_directory() && !entry.is_symlink()) {
      folder.folders.push_back({name, folder.path_of(name), {}, {}, 0});
    } else if (entry.is_regular_file()) {
      const bool image = is_image(entry.path(), name);
      folder.images += image ? 1 : 0;
      folder.files.push_back({std::move(name), image});
    }
  }
  const auto by_name = [](const auto& a, const auto& b) { return a.name < b.name; };
  std::sort(folder.files.begin(), folder.files.end(), by_name);
  std::sort(folder.folders.begin(), folder.folders.end(), by_name);
  for (Folder& below : folder.folders) {
    fill(below, on_disk / below.name);
    folder.images += below.images;
  }
}

}  // namespace

const Folder::File* Folder::find(const std::string& file) const {
  for (const File& f : files) {
    if (f.name == file) return &f;
  }
  return nullptr;
}

bool Folder::has_images_itself() const {
  return std::any_of(files.begin(), files.end(), [](const File& f) { return f.image; });
}

std::vector<const Folder*> Folder::folders_with_images() const {
  std::vector<const Folder*> found;
  for (const Folder& below : folders) {
    if (below.images > 0) found.push_back(&below);
  }
  return found;
}

Folder read_tree(const fs::path& top) {
  Folder folder;
  fill(folder, top);
  return folder;
}

std::string shown(const Folder& folder) {
  return folder.path.empty() ? "the top folder" : folder.path;
}

std::string lower_case(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

std::string ending(const std::string& file) {
  const std::size_t dot = file.rfind('.');
  return dot == std::string::npos ? "" : lower_case(file.substr(dot + 1));
}

}  // namespace cifarpipe::preprocess
