#include "stages/preprocess/preview.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <numeric>

#include "stages/learn/files.hpp"
#include "stages/vision/sheets.hpp"

namespace cifarpipe::preprocess {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kSplits[] = {"train", "validation", "test"};

}  // namespace

Preview::Preview(const CifarLayout& layout)
    : layout_(layout),
      images_a_class_(layout.classes.size() <= 25 ? 12 : 6),
      first_(layout.classes.size()) {}

void Preview::take(std::string_view split, int label, std::span<const std::uint8_t> pixels) {
  const auto c = static_cast<std::size_t>(label);
  auto counts = counts_.find(split);
  if (counts == counts_.end()) {
    counts = counts_.emplace(split, std::vector<std::int64_t>(layout_.classes.size())).first;
  }
  ++counts->second[c];
  if (split == "train" && first_[c].size() < images_a_class_) {
    first_[c].emplace_back(pixels.begin(), pixels.end());
  }
}

void Preview::write(const std::filesystem::path& dir, const std::vector<double>& mean,
                    const std::vector<double>& std, const std::string& normalization) const {
  std::vector<vision::SheetRow> rows;
  for (std::size_t c = 0; c < layout_.classes.size(); ++c) {
    rows.push_back({layout_.classes[c], first_[c]});
  }
  Json splits = Json::object();
  std::string sizes;
  for (const char* split : kSplits) {
    const auto counts = counts_.find(split);
    if (counts == counts_.end()) continue;
    const std::int64_t all =
        std::accumulate(counts->second.begin(), counts->second.end(), std::int64_t{0});
    Json by_class = Json::object();
    for (std::size_t c = 0; c < layout_.classes.size(); ++c) {
      by_class[layout_.classes[c]] = counts->second[c];
    }
    splits[split] = {{"images", all}, {"classes", by_class}};
    sizes += fmt::format("{}{} {}", sizes.empty() ? "" : ", ", all, split);
  }
  vision::draw_contact_sheet(dir / "contact-sheet.png",
                             fmt::format("First images of each class, of {}", sizes), kSide, kSide,
                             rows);
  const Json summary = {{"layout", layout_.name},
                        {"image", {{"height", kSide}, {"width", kSide}, {"channels", kChannels}}},
                        {"classes", layout_.classes},
                        {"splits", splits},
                        {"normalization", normalization},
                        {"mean", mean},
                        {"std", std}};
  learn::write_text(dir / "summary.json", summary.dump(2) + "\n");
}

}  // namespace cifarpipe::preprocess
