#include "stages/preprocess/splits.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <string>
#include <utility>

#include "pipeline/error.hpp"
#include "stages/preprocess/share.hpp"

namespace cifarpipe::preprocess {
namespace {

constexpr std::size_t kTrain = 0;
constexpr std::size_t kValidation = 1;
constexpr std::size_t kTest = 2;
// Keeps the choice of test images apart from that of validation images.
constexpr std::uint64_t kTestStream = 0x7465737473657421u;

using Images = std::vector<std::size_t>;

std::vector<std::int32_t> labels_of(const SourceSplit& split, const Images& images) {
  std::vector<std::int32_t> labels;
  for (const std::size_t image : images) labels.push_back(split.labels[image]);
  return labels;
}

/// The first `limit`; where classes stand together the first of each, so that none is missing.
Images limited(const SourceSplit& split, Images images, std::int64_t limit) {
  const auto count = static_cast<std::size_t>(limit);
  if (limit == 0 || count >= images.size()) return images;
  if (!split.class_by_class) {
    images.resize(count);
    return images;
  }
  std::map<std::int32_t, std::size_t> seen;
  std::vector<std::pair<std::size_t, std::size_t>> ranked;
  for (const std::size_t image : images) ranked.emplace_back(seen[split.labels[image]]++, image);
  std::sort(ranked.begin(), ranked.end());
  ranked.resize(count);
  images.clear();
  for (const auto& [rank, image] : ranked) images.push_back(image);
  std::sort(images.begin(), images.end());
  return images;
}

Images all_of(const SourceSplit& split) {
  Images images(split.labels.size());
  std::iota(images.begin(), images.end(), std::size_t{0});
  return images;
}

class Planner {
 public:
  Planner(const ImageSource& source, const SplitOptions& options, std::uint64_t seed)
      : source_(source), options_(options), seed_(seed) {}

  SplitPlan plan() {
    check();
    const SourceSplit& train = source_.splits().front();
    Images images = all_of(train);
    const Images test = take_share(train, images, options_.test, seed_ ^ kTestStream, "test");
    images = limited(train, std::move(images), options_.limit_train);
    add_training(train, images);
    for (std::size_t s = 1; s < source_.splits().size(); ++s) {
      const SourceSplit& split = source_.splits()[s];
      const bool is_test = split.name == "test";
      const std::size_t target = is_test ? kTest : kValidation;
      add(s, limited(split, all_of(split), is_test ? options_.limit_test : 0), target);
    }
    if (options_.test > 0) add(0, limited(train, test, options_.limit_test), kTest);
    return std::move(plan_);
  }

 private:
  bool has(const std::string& name) const {
    return std::any_of(source_.splits().begin(), source_.splits().end(),
                       [&](const SourceSplit& split) { return split.name == name; });
  }

  void check() const {
    for (const auto& [name, share] :
         {std::pair<std::string, double>("test", options_.test),
          std::pair<std::string, double>("validation", options_.validation)}) {
      if (share <= 0 || !has(name)) continue;
      throw Error(fmt::format("{} = {} would take a {} split out of the training images, but the "
                              "data has one: leave {} out",
                              name, share, name, name),
                  ErrorKind::usage);
    }
    if (has("test") || has("validation") || options_.test > 0 || options_.validation > 0) return;
    throw Error(
        "the data has training images only, and nothing to judge a model by: set test, the share "
        "of every class that becomes the test split (such as test = 0.2), or validation",
        ErrorKind::usage);
  }

  /// Moves a share of `images` out of them.
  Images take_share(const SourceSplit& split, Images& images, double share, std::uint64_t seed,
                    const char* parameter) const {
    if (share <= 0) return {};
    const std::vector<bool> chosen =
        choose_share(labels_of(split, images), source_.info().classes, share, seed, parameter);
    Images taken;
    Images left;
    for (std::size_t i = 0; i < images.size(); ++i) (chosen[i] ? taken : left).push_back(images[i]);
    if (taken.empty()) {
      throw Error(fmt::format("{} = {} of {} training images is none: raise {}", parameter, share,
                              left.size(), parameter),
                  ErrorKind::usage);
    }
    images = std::move(left);
    return taken;
  }

  /// In the order of their numbers, whichever of the two splits they go to.
  void add_training(const SourceSplit& train, Images images) {
    const std::size_t first = plan_.items.size();
    Images left = images;
    const Images held_out = take_share(train, left, options_.validation, seed_, "validation");
    add(0, left, kTrain);
    if (options_.validation > 0) add(0, held_out, kValidation);
    std::sort(plan_.items.begin() + static_cast<std::ptrdiff_t>(first), plan_.items.end(),
              [](const Item& a, const Item& b) { return a.image < b.image; });
  }

  void add(std::size_t split, const Images& images, std::size_t target) {
    plan_.present[target] = true;
    for (const std::size_t image : images) plan_.items.push_back({split, image, target});
  }

  const ImageSource& source_;
  const SplitOptions& options_;
  std::uint64_t seed_;
  SplitPlan plan_;
};

}  // namespace

SplitPlan plan_splits(const ImageSource& source, const SplitOptions& options, std::uint64_t seed) {
  return Planner(source, options, seed).plan();
}

}  // namespace cifarpipe::preprocess
