// Pictures of a run for MLflow's image grid with its step slider.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "pipeline/digest.hpp"
#include "tracking/content_run.hpp"
#include "tracking/png_shrink.hpp"

namespace cifarpipe {
namespace content {
namespace {

constexpr std::size_t kMostSteps = 100;  // Of a key: MLflow's pages list all files at once.
constexpr int kThumbnailSide = 256;      // The grid shows thumbnails as large as they are.

/// The number in "epoch_012.png" or "step_500.png"; nothing for other names.
std::optional<std::int64_t> step_in(const std::string& name) {
  constexpr std::string_view kEnding = ".png";
  if (!name.ends_with(kEnding)) return std::nullopt;
  for (const std::string_view begin : {"epoch_", "step_"}) {
    if (!name.starts_with(begin)) continue;
    const char* first = name.data() + begin.size();
    const char* last = name.data() + name.size() - kEnding.size();
    std::int64_t step = 0;
    const auto read = std::from_chars(first, last, step);
    if (read.ec == std::errc() && read.ptr == last && step >= 0) return step;
  }
  return std::nullopt;
}

std::string key_of(const StageRow& stage, const std::string& name) {
  return plain_name(stage.name + "_" + name);
}

/// The first, the last and others evenly between.
std::vector<Picture> thinned(std::vector<Picture> pictures) {
  if (pictures.size() <= kMostSteps) return pictures;
  std::vector<Picture> out;
  for (std::size_t i = 0; i < kMostSteps; ++i) {
    out.push_back(pictures[i * (pictures.size() - 1) / (kMostSteps - 1)]);
  }
  return out;
}

/// Pictures of one port that are numbered: a series.
std::vector<Picture> series(const RunView& view, const StageRow& stage, const PortFiles& port) {
  std::vector<Picture> out;
  for (StoredFile& file : view.files(stage, port.port)) {
    if (const auto step = step_in(file.name)) {
      out.push_back({key_of(stage, port.port), *step, std::move(file), 0});
    }
  }
  std::stable_sort(out.begin(), out.end(),
                   [](const Picture& a, const Picture& b) { return a.step < b.step; });
  out = thinned(std::move(out));
  // The slider begins at 0 and would show nothing there.
  if (!out.empty() && out.front().step > 0) {
    Picture first = out.front();
    first.step = 0;
    out.insert(out.begin(), std::move(first));
  }
  return out;
}

/// Single pictures of our own stages that are worth a place among the charts.
struct Single {
  const char* uses;
  const char* port;
  const char* file;
  const char* key;
};
constexpr Single kSingles[] = {{"preprocess", "preview", "contact-sheet.png", "contact_sheet"},
                               {"evaluate", "report", "confusion.png", "confusion"},
                               {"evaluate", "report", "mistakes.png", "mistakes"}};

/// The same for the same picture at the same place, so that sending it again changes nothing.
std::string uuid_of(const RunView& view, const Picture& picture) {
  const std::string digest = sha256(fmt::format("{}/{}/{}/{}", view.run.record.id, picture.key,
                                                picture.step, picture.file.sha256));
  return fmt::format("{}-{}-{}-{}-{}", digest.substr(0, 8), digest.substr(8, 4),
                     digest.substr(12, 4), digest.substr(16, 4), digest.substr(20, 12));
}

}  // namespace

std::vector<Picture> pictures_of(const RunView& view) {
  std::vector<Picture> out;
  if (!view.server.step_images) return out;
  for (const StageRow& stage : view.stages) {
    std::vector<Picture> own;
    for (const PortFiles& port : stage.outputs) {
      for (Picture& picture : series(view, stage, port)) own.push_back(std::move(picture));
    }
    for (const Single& single : kSingles) {
      if (stage.uses != single.uses) continue;
      if (auto file = view.file(stage, single.port, single.file)) {
        own.push_back({key_of(stage, single.key), 0, std::move(*file), 0});
      }
    }
    if (own.empty()) continue;
    const std::int64_t time = view.published_ms(stage);
    for (Picture& picture : own) {
      picture.time_ms = time;
      out.push_back(std::move(picture));
    }
  }
  return out;
}

std::vector<std::pair<std::string, std::int64_t>> picture_keys(const RunView& view) {
  std::vector<std::pair<std::string, std::int64_t>> out;
  if (!view.server.step_images) return out;
  for (const StageRow& stage : view.stages) {
    for (const Single& single : kSingles) {
      if (stage.uses == single.uses) out.emplace_back(key_of(stage, single.key), 0);
    }
    for (const PortFiles& port : stage.outputs) {
      const auto pictures = series(view, stage, port);
      if (!pictures.empty()) out.emplace_back(pictures.back().key, pictures.back().step);
    }
  }
  return out;
}

std::vector<Upload> images_of(const RunView& view) {
  std::vector<Upload> out;
  for (const Picture& picture : pictures_of(view)) {
    const std::string name = fmt::format("images/{}+step+{}+timestamp+{}+{}", picture.key,
                                         picture.step, picture.time_ms, uuid_of(view, picture));
    Upload image;
    image.path = name + ".png";
    image.file = picture.file.file;
    image.digest = picture.file.sha256;
    Upload small = image;
    small.path = name + "+compressed.png";
    small.shrink_to = kThumbnailSide;
    small.digest = fmt::format("{} to {}", image.digest, kThumbnailSide);
    out.push_back(std::move(image));
    out.push_back(std::move(small));
  }
  return out;
}

}  // namespace content

std::optional<std::string> thumbnail_of(const Upload& upload) {
  const auto png = content::read_text(upload.file);
  return png ? shrunk_png(*png, upload.shrink_to) : std::nullopt;
}

}  // namespace cifarpipe
