#include "stages/preprocess/cifar_layout.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "pipeline/error.hpp"
#include "stages/preprocess/class_names.hpp"

namespace fs = std::filesystem;

namespace cifarpipe::preprocess {
namespace {

constexpr std::size_t kMostClasses = 256;  // A label is a byte.

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

void require_file(const fs::path& file, const std::string& why) {
  if (!fs::is_regular_file(file)) {
    throw Error(fmt::format("{} is missing: {}", file.string(), why));
  }
}

}  // namespace

bool is_cifar10(const Folder& folder) {
  return std::any_of(folder.files.begin(), folder.files.end(),
                     [](const Folder::File& f) { return batch_number(f.name) > 0; });
}

bool is_cifar100(const Folder& folder) {
  return folder.find("train.bin") != nullptr;
}

bool is_cifar_for_python(const Folder& folder) {
  return folder.find("data_batch_1") != nullptr || folder.find("train") != nullptr;
}

CifarLayout read_cifar10(const fs::path& top, const Folder& folder) {
  CifarLayout layout;
  layout.name = "cifar10";
  const fs::path on_disk = top / folder.path;
  int last = 0;
  for (const Folder::File& file : folder.files) last = std::max(last, batch_number(file.name));
  for (int n = 1; n <= last; ++n) {
    layout.train.push_back(on_disk / fmt::format("data_batch_{}.bin", n));
    require_file(layout.train.back(),
                 fmt::format("training files up to data_batch_{}.bin are there", last));
  }
  layout.test.push_back(on_disk / "test_batch.bin");
  require_file(layout.test.back(), "CIFAR-10's layout has the test images in it");
  require_file(on_disk / "batches.meta.txt", "CIFAR-10's layout has the class names in it");
  layout.classes = read_class_names(on_disk / "batches.meta.txt", kMostClasses);
  layout.official_classes = shorten_official_names(layout.classes);
  return layout;
}

CifarLayout read_cifar100(const fs::path& top, const Folder& folder, bool coarse) {
  CifarLayout layout;
  layout.name = "cifar100";
  layout.label_bytes = 2;
  layout.label_at = coarse ? 0 : 1;
  const fs::path on_disk = top / folder.path;
  layout.train.push_back(on_disk / "train.bin");
  layout.test.push_back(on_disk / "test.bin");
  require_file(layout.test.back(), "CIFAR-100's layout has the test images in it");
  const char* names = coarse ? "coarse_label_names.txt" : "fine_label_names.txt";
  require_file(on_disk / names, "CIFAR-100's layout has the class names in it");
  layout.classes = read_class_names(on_disk / names, kMostClasses);
  return layout;
}

}  // namespace cifarpipe::preprocess
