#include "stages/preprocess/bad_images.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "stages/learn/dataset_file.hpp"
#include "stages/preprocess/csv.hpp"

namespace cifarpipe::preprocess {
namespace {

constexpr std::size_t kShown = 5;

}  // namespace

void BadImages::add(const Item& item, const std::string& reason) {
  bad_.push_back({item, source_.name_of(item.split, item.image), reason});
  context_.log(LogLevel::debug, fmt::format("{} {}", bad_.back().name, reason));
}

void BadImages::judge(const std::vector<Item>& items, bool skip) const {
  if (bad_.empty()) return;
  std::string text = fmt::format("{} of {} images cannot be used: ", bad_.size(), items.size());
  for (std::size_t i = 0; i < std::min(bad_.size(), kShown); ++i) {
    text += fmt::format("{}{} {}", i == 0 ? "" : "; ", bad_[i].name, bad_[i].reason);
  }
  if (bad_.size() > kShown) text += fmt::format("; and {} more", bad_.size() - kShown);
  if (!skip) {
    throw Error(text +
                ". All of them are in the run's log; repair or remove them, or go on without them "
                "by on_bad_image = \"skip\"");
  }
  require_some_of_each_class(items);
  context_.warn(text + ". They are left out, and listed in bad_images.csv of the preview");
}

void BadImages::require_some_of_each_class(const std::vector<Item>& items) const {
  std::map<std::pair<std::size_t, std::int32_t>, std::pair<std::int64_t, std::int64_t>> counts;
  const auto label_of = [&](const Item& item) {
    return source_.splits()[item.split].labels[item.image];
  };
  const auto of = [&](const Item& item) -> auto& {
    return counts[{item.target, label_of(item)}];
  };
  for (const Item& item : items) ++of(item).first;
  for (const Bad& bad : bad_) ++of(bad.item).second;
  for (const auto& entry : counts) {  // No binding by names: clang 14 captures none in lambdas.
    const auto& place = entry.first;
    const auto& count = entry.second;
    if (count.first > count.second) continue;
    const auto first = std::find_if(bad_.begin(), bad_.end(), [&](const Bad& bad) {
      return bad.item.target == place.first && label_of(bad.item) == place.second;
    });
    const bool only = count.first == 1;
    throw Error(fmt::format(
        "{} of class '{}' in the {} split can{} be used; {} {}",
        only ? "the only image" : fmt::format("none of the {} images", count.first),
        source_.info().classes[static_cast<std::size_t>(place.second)],
        learn::kSplitNames[place.first], only ? "not" : "", first->name, first->reason));
  }
}

void BadImages::write(const std::filesystem::path& csv) const {
  std::string text = "split,file,reason\n";
  for (const Bad& bad : bad_) {
    text += fmt::format("{},{},{}\n", learn::kSplitNames[bad.item.target], csv_field(bad.name),
                        csv_field(bad.reason));
  }
  learn::write_text(csv, text);
}

}  // namespace cifarpipe::preprocess
