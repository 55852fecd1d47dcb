#include "stages/preprocess/class_names.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "pipeline/error.hpp"
#include "stages/learn/cifar_names.hpp"
#include "stages/learn/files.hpp"

namespace cifarpipe::preprocess {
namespace {

const std::vector<std::string> kLongNames(learn::kCifar10LongNames.begin(),
                                          learn::kCifar10LongNames.end());
const std::vector<std::string> kShortNames(learn::kCifar10ShortNames.begin(),
                                           learn::kCifar10ShortNames.end());

}  // namespace

std::vector<std::string> read_class_names(const std::filesystem::path& file, std::size_t most) {
  std::vector<std::string> names;
  const std::string text = learn::read_text(file);
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::string line = text.substr(at, end - at);
    at = end + 1;
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ' || line.back() == '\t')) {
      line.pop_back();
    }
    if (!line.empty()) names.push_back(line);
  }
  const std::set<std::string> distinct(names.begin(), names.end());
  if (names.empty() || names.size() > most || distinct.size() != names.size()) {
    throw Error(fmt::format("{} must hold 1 to {} different class names, a line each; it holds {}",
                            file.string(), most, names.size()));
  }
  return names;
}

bool shorten_official_names(std::vector<std::string>& names) {
  if (names != kLongNames && names != kShortNames) return false;
  names = kShortNames;
  return true;
}

std::vector<std::size_t> official_places(const std::vector<std::string>& names) {
  if (names.size() != kShortNames.size()) return {};
  for (const auto& known : {kLongNames, kShortNames}) {
    std::vector<std::size_t> places;
    for (const std::string& name : names) {
      const auto found = std::find(known.begin(), known.end(), name);
      if (found != known.end()) places.push_back(static_cast<std::size_t>(found - known.begin()));
    }
    const std::set<std::size_t> distinct(places.begin(), places.end());
    if (distinct.size() == known.size()) return places;
  }
  return {};
}

const std::vector<std::string>& official_names() {
  return kShortNames;
}

}  // namespace cifarpipe::preprocess
