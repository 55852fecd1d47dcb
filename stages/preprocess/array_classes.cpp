#include "stages/preprocess/array_classes.hpp"

#include <fmt/format.h>

#include <set>
#include <utility>

#include "pipeline/error.hpp"
#include "stages/preprocess/wording.hpp"

namespace cifarpipe::preprocess {
namespace {

using Labels = std::set<std::int32_t>;

Labels absent(const Labels& of, const Labels& in) {
  Labels labels;
  for (const std::int32_t label : of) {
    if (!in.contains(label)) labels.insert(label);
  }
  return labels;
}

Labels up_to(std::size_t count) {
  Labels labels;
  for (std::size_t i = 0; i < count; ++i) labels.insert(static_cast<std::int32_t>(i));
  return labels;
}

std::string how_to_renumber(const Labels& labels) {
  const std::int32_t first = *labels.begin();
  const bool gaps = *labels.rbegin() - first + 1 != static_cast<std::int32_t>(labels.size());
  return gaps ? "renumber them in all splits alike (numpy.unique(labels, return_inverse=True)[1])"
              : fmt::format("labels count from 0, so subtract {} from all", first);
}

void require_names_for(const std::string& place, const std::vector<std::string>& names,
                       const Labels& labels) {
  if (std::set<std::string>(names.begin(), names.end()).size() != names.size()) {
    throw Error(fmt::format("{}: the {} class names are not all different", place, names.size()));
  }
  const auto last = static_cast<std::size_t>(*labels.rbegin());
  if (last < names.size()) return;
  throw Error(fmt::format(
      "{}: with {} labels go up to {}, but there is the label {}: {}", place,
      counted(names.size(), "class name"), names.size() - 1, last,
      *labels.begin() > 0 ? how_to_renumber(labels) : std::string("name the other classes, too")));
}

void require_no_gaps(const std::string& place, const Labels& labels) {
  const auto count = static_cast<std::size_t>(*labels.rbegin()) + 1;
  const Labels gaps = absent(up_to(count), labels);
  if (gaps.empty()) return;
  std::vector<std::string> shown;
  for (const std::int32_t label : gaps) shown.push_back(std::to_string(label));
  throw Error(
      fmt::format("{}: the labels go up to {}, but no image has {}: {}; or, if these are classes "
                  "without images, name all {} (class_names, or a classes.txt beside the arrays)",
                  place, count - 1, listed(std::move(shown)), how_to_renumber(labels), count));
}

}  // namespace

ArrayClasses classes_of(const std::string& place, std::vector<std::string> names,
                        const std::vector<SourceSplit>& splits) {
  Labels all;
  for (const SourceSplit& split : splits) all.insert(split.labels.begin(), split.labels.end());
  ArrayClasses classes{std::move(names), {}};
  const bool named = !classes.names.empty();
  if (named) {
    require_names_for(place, classes.names, all);
  } else {
    require_no_gaps(place, all);
    for (const std::int32_t label : all) classes.names.push_back(std::to_string(label));
  }
  const auto remark = [&](const std::string& where, const Labels& labels) {
    if (labels.empty()) return;
    std::vector<std::string> shown;
    for (const std::int32_t label : labels) {
      const std::string& name = classes.names[static_cast<std::size_t>(label)];
      shown.push_back(named ? fmt::format("{} ('{}')", label, name) : name);
    }
    classes.remarks.push_back(
        fmt::format("no image{} has the label {}", where, listed(std::move(shown))));
  };
  remark("", absent(up_to(classes.names.size()), all));
  for (const SourceSplit& split : splits) {
    const Labels here(split.labels.begin(), split.labels.end());
    remark(fmt::format(" of the {} split", split.name), absent(all, here));
  }
  return classes;
}

}  // namespace cifarpipe::preprocess
