// The dataset artifact, port type `dataset/images`: a directory with `dataset.json` and, for each
// split, `<split>.images.bin` (uint8, image after image, height x width x channels),
// `<split>.labels.bin` (int32) and `<split>.index.bin` (int32: the image's position in the source's
// official order), all little-endian. Written as a stream, read by mmap. No libtorch here.
// Writer and reader belong to one thread; a reader's spans live as long as the reader.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "stages/learn/files.hpp"

namespace cifarpipe::learn {

/// The only names that a split can have, in the order in which they are listed.
inline constexpr std::array<std::string_view, 3> kSplitNames = {"train", "validation", "test"};

/// What holds for all images of a dataset.
struct DatasetInfo {
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::int64_t channels = 0;
  std::vector<std::string> classes;  ///< A label is an index into these.
  std::vector<double> mean;          ///< A channel, on [0, 1]: what to subtract before dividing.
  std::vector<double> std;           ///< A channel, on [0, 1].

  std::int64_t image_bytes() const { return height * width * channels; }
};

/// Writes a dataset image by image; the splits may come in any order and interleaved.
///
///   DatasetWriter writer(dir, info);
///   writer.add("train", pixels, label, position);   // as often as there are images
///   writer.finish();                                // without it there is no dataset.json
class DatasetWriter {
 public:
  /// `dir` must exist. Checks `info`; mean and std may still be empty here.
  DatasetWriter(std::filesystem::path dir, DatasetInfo info);

  /// Creates a split even if no image follows. Else the first `add` creates it.
  void begin_split(std::string_view split);
  /// `image` is height x width x channels; `position` is the image's in the official order.
  void add(std::string_view split, std::span<const std::uint8_t> image, std::int32_t label,
           std::int32_t position);
  /// For statistics that are known only after the last image.
  void set_normalisation(std::vector<double> mean, std::vector<double> std);
  std::int64_t count(std::string_view split) const;
  /// Closes the files and writes dataset.json. Call once, at the end.
  void finish();

 private:
  struct Split {
    FileWriter images;
    FileWriter labels;
    FileWriter index;
    std::int64_t count = 0;
  };
  Split& split(std::string_view name);

  std::filesystem::path dir_;
  DatasetInfo info_;
  std::map<std::string, Split, std::less<>> splits_;
};

/// One split, in memory that belongs to its reader.
struct SplitView {
  std::int64_t count = 0;
  std::span<const std::uint8_t> images;  ///< count x height x width x channels
  std::span<const std::int32_t> labels;  ///< Each within [0, classes).
  std::span<const std::int32_t> index;
};

/// Opens a dataset and checks all of it but the pixels: sizes of files, every label. Throws an
/// Error that names the file and, for a label, the image.
class DatasetReader {
 public:
  explicit DatasetReader(std::filesystem::path dir);

  const DatasetInfo& info() const { return info_; }
  bool has(std::string_view split) const { return splits_.find(split) != splits_.end(); }
  /// Throws when there is no such split, naming those that are there.
  const SplitView& split(std::string_view name) const;

 private:
  void open_split(const std::string& name, std::int64_t count);

  std::filesystem::path dir_;
  DatasetInfo info_;
  std::vector<MappedFile> files_;
  std::map<std::string, SplitView, std::less<>> splits_;
};

}  // namespace cifarpipe::learn
