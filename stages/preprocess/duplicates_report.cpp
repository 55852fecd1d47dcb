#include "stages/preprocess/duplicates_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <tuple>

#include "stages/learn/duplicate_list.hpp"
#include "stages/learn/files.hpp"
#include "stages/preprocess/wording.hpp"
#include "stages/vision/sheets.hpp"

namespace cifarpipe::preprocess {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kTrain = 0;
constexpr std::size_t kTest = 2;
constexpr std::size_t kSplits = learn::kSplitNames.size();
constexpr const char* kProse[kSplits] = {"training", "validation", "test"};

// Real duplicates seldom have two labels: 0.3 % of those in CIFAR-10. Where many have, images of
// different things look alike to the hash.
constexpr std::int64_t kSuspiciousConflicts = 10;
constexpr double kSuspiciousShare = 0.03;

/// Each pair once, and the nearest first. Partners need not choose each other.
std::vector<Duplicate> pairs(const Duplicates& duplicates) {
  std::vector<Duplicate> pairs;
  for (Duplicate d : duplicates.found) {
    if (d.image < d.partner) {
      std::swap(d.image, d.partner);
      std::swap(d.index, d.partner_index);
      std::swap(d.label, d.partner_label);
    }
    pairs.push_back(d);
  }
  const auto key = [](const Duplicate& d) { return std::tuple(d.distance, d.image, d.partner); };
  std::sort(pairs.begin(), pairs.end(),
            [&](const Duplicate& a, const Duplicate& b) { return key(a) < key(b); });
  const auto same =
      std::unique(pairs.begin(), pairs.end(),
                  [&](const Duplicate& a, const Duplicate& b) { return key(a) == key(b); });
  pairs.erase(same, pairs.end());
  return pairs;
}

std::vector<std::uint8_t> rgb(const learn::DatasetReader& data, const ImagePlace& at) {
  const auto size = static_cast<std::size_t>(data.info().image_bytes());
  const auto image = data.split(learn::kSplitNames[at.split])
                         .images.subspan(static_cast<std::size_t>(at.place) * size, size);
  if (data.info().channels == 3) return {image.begin(), image.end()};
  std::vector<std::uint8_t> three;
  for (const std::uint8_t grey : image) three.insert(three.end(), 3, grey);
  return three;
}

std::string label(const Duplicate& d) {
  return fmt::format("{} {}, {} {}", learn::kSplitNames[d.image.split], d.index,
                     learn::kSplitNames[d.partner.split], d.partner_index);
}

}  // namespace

std::string duplicates_csv(const Duplicates& duplicates) {
  std::string csv = "split,index,other_split,other_index,kind,distance,label,other_label\n";
  for (const Duplicate& d : duplicates.found) {
    csv += fmt::format("{},{},{},{},{},{},{},{}\n", learn::kSplitNames[d.image.split], d.index,
                       learn::kSplitNames[d.partner.split], d.partner_index,
                       d.exact ? "exact" : "near", d.distance, d.label, d.partner_label);
  }
  return csv;
}

std::string duplicates_json(const Duplicates& duplicates, const learn::DatasetReader& data,
                            int distance) {
  Json images = Json::object();
  for (std::size_t own = 0; own < kSplits; ++own) {
    for (std::size_t other = 0; other < kSplits; ++other) {
      if (!data.has(learn::kSplitNames[own]) || !data.has(learn::kSplitNames[other])) continue;
      const DuplicateCount& count = duplicates.counts[own][other];
      images[std::string(learn::kSplitNames[own])][std::string(learn::kSplitNames[other])] = {
          {"exact", count.exact}, {"near", count.near}, {"other_label", count.conflicts}};
    }
  }
  return Json{{"distance", distance}, {"images", images}}.dump(2) + "\n";
}

std::string duplicates_sentence(const Duplicates& duplicates, const learn::DatasetReader& data) {
  std::string text;
  for (std::size_t own = kSplits; own-- > 0;) {
    std::string those;
    for (std::size_t other = 0; other <= own; ++other) {
      const DuplicateCount& count = duplicates.counts[own][other];
      if (count.all() == 0) continue;
      those += fmt::format(
          "{}{} {} one in {}", those.empty() ? " " : ", ", count.all(),
          count.all() == 1 ? "has" : "have",
          own == other ? "their own split" : fmt::format("the {} split", kProse[other]));
      std::string more;
      if (count.exact > 0) more = fmt::format("{} exact", count.exact);
      if (count.conflicts > 0) {
        more += fmt::format("{}{} of another label", more.empty() ? "" : ", ", count.conflicts);
      }
      if (!more.empty()) those += " (" + more + ")";
    }
    if (those.empty()) continue;
    const auto images = static_cast<std::size_t>(data.split(learn::kSplitNames[own]).count);
    text += fmt::format("{}of {}{}", text.empty() ? "" : "; ",
                        counted(images, fmt::format("{} image", kProse[own])), those);
  }
  return "duplicates: " + (text.empty() ? "none" : text);
}

std::string duplicates_doubt(const Duplicates& duplicates) {
  std::int64_t near = 0;
  std::int64_t conflicts = 0;
  for (const Duplicate& d : duplicates.found) {
    if (d.exact) continue;
    ++near;
    if (d.label != d.partner_label) ++conflicts;
  }
  if (conflicts < kSuspiciousConflicts ||
      static_cast<double>(conflicts) < kSuspiciousShare * static_cast<double>(near)) {
    return "";
  }
  return fmt::format(
      "{} of {} near-duplicates have another label than their partner: images of this data set may "
      "be alike without being duplicates; look at duplicates.png, and lower duplicate_distance",
      conflicts, near);
}

void draw_duplicates(const std::filesystem::path& png, const Duplicates& duplicates,
                     const learn::DatasetReader& data) {
  std::vector<Duplicate> all = pairs(duplicates);
  std::vector<Duplicate> between;
  std::ranges::copy_if(all, std::back_inserter(between), [](const Duplicate& d) {
    return d.image.split == kTest && d.partner.split == kTrain;
  });
  if (!between.empty()) all = std::move(between);
  if (all.empty()) return;
  const auto& info = data.info();
  const std::size_t count =
      std::min<std::size_t>(all.size(), std::max(info.height, info.width) > 64 ? 25 : 100);
  std::vector<vision::SheetRow> rows;
  for (std::size_t i = 0; i < count; ++i) {
    const Duplicate& d = all[count == 1 ? 0 : i * (all.size() - 1) / (count - 1)];
    rows.push_back({label(d), {rgb(data, d.image), rgb(data, d.partner)}});
  }
  vision::draw_contact_sheet(
      png,
      fmt::format("{} of {} pairs of duplicates, from the nearest to the furthest", count,
                  all.size()),
      static_cast<int>(info.width), static_cast<int>(info.height), rows);
}

void report_duplicates(StageContext& context, int distance) {
  const learn::DatasetReader data(context.output("dataset"));
  const Duplicates duplicates =
      find_duplicates(data, distance, context.numerics().threads, [&](double done) {
        context.throw_if_stopped();
        context.progress({100 * done, 100, "%", "duplicates"});
      });
  learn::write_text(context.output("dataset") / learn::kDuplicatesFile, duplicates_csv(duplicates));
  const auto& preview = context.output("preview");
  learn::write_text(preview / "duplicates.json", duplicates_json(duplicates, data, distance));
  draw_duplicates(preview / "duplicates.png", duplicates, data);
  const auto count = [&](std::size_t own, std::size_t other) {
    return static_cast<double>(duplicates.counts[own][other].all());
  };
  context.metric("duplicates/test_in_train", 0, count(kTest, kTrain));
  context.metric("duplicates/train_in_train", 0, count(kTrain, kTrain));
  context.info(duplicates_sentence(duplicates, data));
  if (const std::string doubt = duplicates_doubt(duplicates); !doubt.empty()) context.warn(doubt);
}

}  // namespace cifarpipe::preprocess
