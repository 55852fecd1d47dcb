#include "stages/learn/dataset_file.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

namespace cifarpipe::learn {
namespace {

static_assert(std::endian::native == std::endian::little, "the files are little-endian");

using Json = nlohmann::ordered_json;
constexpr int kFormat = 1;
constexpr std::int64_t kMaximumSide = 1 << 14;  // keeps count x image_bytes within 64 bits
constexpr std::int64_t kMaximumCount = std::int64_t{1} << 31;

void check_statistics(const DatasetInfo& info, const std::string& where) {
  const auto channels = static_cast<std::size_t>(info.channels);
  if (info.mean.size() != channels || info.std.size() != channels) {
    throw Error(where + ": 'mean' and 'std' must have one number for each of the " +
                std::to_string(info.channels) + " channels");
  }
  for (std::size_t c = 0; c < channels; ++c) {
    if (!std::isfinite(info.mean[c]) || !std::isfinite(info.std[c]) || info.std[c] <= 0) {
      throw Error(where + ": 'mean' and 'std' must be finite, and 'std' above 0");
    }
  }
}

void check_info(const DatasetInfo& info, const std::string& where) {
  for (const auto side : {info.height, info.width, info.channels}) {
    if (side < 1 || side > kMaximumSide) {
      throw Error(where + ": height, width and channels must be from 1 to " +
                  std::to_string(kMaximumSide));
    }
  }
  if (info.classes.empty()) throw Error(where + ": there must be at least one class");
  const std::set<std::string> names(info.classes.begin(), info.classes.end());
  if (names.size() != info.classes.size()) throw Error(where + ": two classes have the same name");
}

std::string split_file(std::string_view split, std::string_view part) {
  return std::string(split) + "." + std::string(part) + ".bin";
}

std::string quoted_list(const auto& names) {
  std::string text;
  for (const auto& name : names) text += (text.empty() ? "'" : ", '") + std::string(name) + "'";
  return text;
}

void check_split_name(std::string_view split, const std::string& where) {
  if (std::find(kSplitNames.begin(), kSplitNames.end(), split) == kSplitNames.end()) {
    throw Error(where + ": unknown split '" + std::string(split) + "'; there are " +
                quoted_list(kSplitNames));
  }
}

}  // namespace

DatasetWriter::DatasetWriter(std::filesystem::path dir, DatasetInfo info)
    : dir_(std::move(dir)), info_(std::move(info)) {
  check_info(info_, "the dataset");
}

void DatasetWriter::begin_split(std::string_view name) {
  split(name);
}

DatasetWriter::Split& DatasetWriter::split(std::string_view name) {
  const auto found = splits_.find(name);
  if (found != splits_.end()) return found->second;
  check_split_name(name, "the dataset");
  Split made{FileWriter(dir_ / split_file(name, "images")),
             FileWriter(dir_ / split_file(name, "labels")),
             FileWriter(dir_ / split_file(name, "index")), 0};
  return splits_.emplace(std::string(name), std::move(made)).first->second;
}

void DatasetWriter::add(std::string_view name, std::span<const std::uint8_t> image,
                        std::int32_t label, std::int32_t position) {
  if (static_cast<std::int64_t>(image.size()) != info_.image_bytes()) {
    throw Error("an image of " + std::to_string(image.size()) +
                " bytes in a dataset of images of " + std::to_string(info_.image_bytes()) +
                " bytes");
  }
  if (label < 0 || label >= static_cast<std::int64_t>(info_.classes.size())) {
    throw Error("label " + std::to_string(label) + " of image " + std::to_string(position) +
                " is outside the " + std::to_string(info_.classes.size()) + " classes");
  }
  Split& to = split(name);
  to.images.write(image.data(), image.size());
  to.labels.write(&label, sizeof label);
  to.index.write(&position, sizeof position);
  ++to.count;
}

void DatasetWriter::set_normalisation(std::vector<double> mean, std::vector<double> std) {
  info_.mean = std::move(mean);
  info_.std = std::move(std);
}

std::int64_t DatasetWriter::count(std::string_view name) const {
  const auto found = splits_.find(name);
  return found == splits_.end() ? 0 : found->second.count;
}

void DatasetWriter::finish() {
  check_statistics(info_, "the dataset");
  Json json;
  json["format"] = kFormat;
  json["height"] = info_.height;
  json["width"] = info_.width;
  json["channels"] = info_.channels;
  json["classes"] = info_.classes;
  json["mean"] = info_.mean;
  json["std"] = info_.std;
  json["splits"] = Json::object();
  for (const auto name : kSplitNames) {
    const auto found = splits_.find(name);
    if (found == splits_.end()) continue;
    found->second.images.close();
    found->second.labels.close();
    found->second.index.close();
    json["splits"][std::string(name)] = {{"count", found->second.count}};
  }
  write_text(dir_ / "dataset.json", json.dump(2) + "\n");
}

DatasetReader::DatasetReader(std::filesystem::path dir) : dir_(std::move(dir)) {
  const auto file = dir_ / "dataset.json";
  std::map<std::string, std::int64_t> counts;
  try {
    const Json json = Json::parse(read_text(file));
    if (const int format = json.at("format").get<int>(); format != kFormat) {
      throw Error(file.string() + ": format " + std::to_string(format) +
                  " is not known; this program reads format " + std::to_string(kFormat));
    }
    info_.height = json.at("height").get<std::int64_t>();
    info_.width = json.at("width").get<std::int64_t>();
    info_.channels = json.at("channels").get<std::int64_t>();
    info_.classes = json.at("classes").get<std::vector<std::string>>();
    info_.mean = json.at("mean").get<std::vector<double>>();
    info_.std = json.at("std").get<std::vector<double>>();
    for (const auto& [name, split] : json.at("splits").items()) {
      counts[name] = split.at("count").get<std::int64_t>();
    }
  } catch (const nlohmann::json::exception& e) {
    throw Error(file.string() + " is damaged: " + e.what());
  }
  check_info(info_, file.string());
  check_statistics(info_, file.string());
  for (const auto& [name, count] : counts) {
    check_split_name(name, file.string());
    open_split(name, count);
  }
}

void DatasetReader::open_split(const std::string& name, std::int64_t count) {
  if (count < 0 || count > kMaximumCount) {
    throw Error((dir_ / "dataset.json").string() + ": split '" + name + "' cannot have " +
                std::to_string(count) + " images");
  }
  const auto open = [&](std::string_view part, std::int64_t bytes_each) {
    const auto file = dir_ / split_file(name, part);
    const auto bytes = files_.emplace_back(file).bytes();
    if (static_cast<std::int64_t>(bytes.size()) != count * bytes_each) {
      throw Error(file.string() + " has " + std::to_string(bytes.size()) + " bytes instead of " +
                  std::to_string(count * bytes_each) + " for " + std::to_string(count) + " images");
    }
    return bytes;
  };
  const auto as_int32 = [&](std::span<const std::uint8_t> bytes) {
    return std::span(reinterpret_cast<const std::int32_t*>(bytes.data()),
                     static_cast<std::size_t>(count));
  };
  SplitView view;
  view.count = count;
  view.images = open("images", info_.image_bytes());
  view.labels = as_int32(open("labels", sizeof(std::int32_t)));
  view.index = as_int32(open("index", sizeof(std::int32_t)));
  for (std::size_t i = 0; i < view.labels.size(); ++i) {
    const auto label = view.labels[i];
    if (label < 0 || label >= static_cast<std::int64_t>(info_.classes.size())) {
      throw Error((dir_ / split_file(name, "labels")).string() + ": label " +
                  std::to_string(label) + " of image " + std::to_string(i) + " is outside the " +
                  std::to_string(info_.classes.size()) + " classes");
    }
  }
  splits_.emplace(name, view);
}

const SplitView& DatasetReader::split(std::string_view name) const {
  const auto found = splits_.find(name);
  if (found != splits_.end()) return found->second;
  std::vector<std::string> names;
  for (const auto& [known, view] : splits_) names.push_back(known);
  throw Error("the dataset " + dir_.string() + " has no split '" + std::string(name) + "'" +
              (names.empty() ? "" : "; it has " + quoted_list(names)));
}

}  // namespace cifarpipe::learn
