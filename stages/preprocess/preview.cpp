#include "stages/preprocess/preview.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <utility>

#include "stages/learn/files.hpp"
#include "stages/vision/resize.hpp"
#include "stages/vision/sheets.hpp"

namespace cifarpipe::preprocess {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::int64_t kLongestSide = 96;
constexpr std::size_t kMostRows = 256;

/// A side of the pictures on the sheet: never enlarged here, and never nothing.
int shown_side(std::int64_t side, const learn::DatasetInfo& info) {
  const std::int64_t longest = std::max(info.width, info.height);
  if (longest <= kLongestSide) return static_cast<int>(side);
  return static_cast<int>(std::max<std::int64_t>(side * kLongestSide / longest, 1));
}

}  // namespace

Preview::Preview(std::string layout, learn::DatasetInfo info)
    : layout_(std::move(layout)),
      info_(std::move(info)),
      images_a_class_(info_.classes.size() <= 25 ? 12 : 6),
      shown_width_(shown_side(info_.width, info_)),
      shown_height_(shown_side(info_.height, info_)),
      first_(info_.classes.size()) {}

void Preview::take(std::string_view split, int label, const vision::Image& image) {
  const auto c = static_cast<std::size_t>(label);
  auto counts = counts_.find(split);
  if (counts == counts_.end()) {
    counts = counts_.emplace(split, std::vector<std::int64_t>(info_.classes.size())).first;
  }
  ++counts->second[c];
  if (split == "train" && c < kMostRows && first_[c].size() < images_a_class_) {
    const vision::Image small = vision::resized(image, shown_width_, shown_height_);
    first_[c].push_back(vision::with_channels(small, 3).pixels);
  }
}

void Preview::write(const std::filesystem::path& dir, const std::vector<double>& mean,
                    const std::vector<double>& std, const std::string& normalization) const {
  std::vector<vision::SheetRow> rows;
  for (std::size_t c = 0; c < std::min(info_.classes.size(), kMostRows); ++c) {
    rows.push_back({info_.classes[c], first_[c]});
  }
  Json splits = Json::object();
  std::string sizes;
  for (const std::string_view split : learn::kSplitNames) {
    const auto counts = counts_.find(split);
    if (counts == counts_.end()) continue;
    const std::int64_t all =
        std::accumulate(counts->second.begin(), counts->second.end(), std::int64_t{0});
    Json by_class = Json::object();
    for (std::size_t c = 0; c < info_.classes.size(); ++c) {
      by_class[info_.classes[c]] = counts->second[c];
    }
    splits[std::string(split)] = {{"images", all}, {"classes", by_class}};
    sizes += fmt::format("{}{} {}", sizes.empty() ? "" : ", ", all, split);
  }
  vision::draw_contact_sheet(dir / "contact-sheet.png",
                             fmt::format("First images of each class, of {}", sizes), shown_width_,
                             shown_height_, rows);
  const Json summary = {
      {"layout", layout_},
      {"image", {{"height", info_.height}, {"width", info_.width}, {"channels", info_.channels}}},
      {"classes", info_.classes},
      {"splits", splits},
      {"normalization", normalization},
      {"mean", mean},
      {"std", std}};
  learn::write_text(dir / "summary.json", summary.dump(2) + "\n");
}

}  // namespace cifarpipe::preprocess
