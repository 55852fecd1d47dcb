#include "stages/download/download_stage.hpp"

#include <fmt/format.h>

#include <cmath>

#include "stages/download/http.hpp"
#include "stages/download/synthetic.hpp"

namespace fs = std::filesystem;

namespace cifarpipe::download {
namespace {

constexpr const char* kCifar10Md5 = "c32a1d4ab5d03f1284b67883e8d87530";
// The official archive and what is in it.
constexpr std::int64_t kCifar10Bytes = 170052171 + 184389000;

std::string time_text(double seconds) {
  const auto s = static_cast<std::int64_t>(std::min(seconds, 359999.0));
  if (s >= 3600) return fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
  return fmt::format("{}:{:02}", s / 60, s % 60);
}

Pins digests(StageContext& context, const fs::path& file) {
  return digests_of(file, [&] { context.throw_if_stopped(); });
}

}  // namespace

Schema<DownloadParams> DownloadParams::schema() {
  using P = DownloadParams;
  return Schema<P>{}
      .field("source", &P::source,
             "\"cifar10\" (the official archive), \"synthetic\" (drawn here, no network), an "
             "http(s):// or file:// URL, or the path of an archive or a folder.")
      .input_path({"cifar10", "synthetic"})
      .field("sha256", &P::sha256, "SHA-256 that the archive must have; empty = not checked.")
      .field("md5", &P::md5, "MD5 that the archive must have; empty = not checked.")
      .field("max_bytes", &P::max_bytes, "Limit for the archive and for all that is in it.")
      .at_least(1)
      .unit("bytes")
      .no_effect()
      .field("max_files", &P::max_files, "Limit for files and folders in the archive.")
      .at_least(1)
      .unit("files")
      .no_effect()
      .field("retries", &P::retries, "Tries after the first one that failed.")
      .range(0, 100)
      .no_effect()
      .field("timeout", &P::timeout, "How long a server may stay silent.")
      .range(1, 3600)
      .unit("seconds")
      .no_effect()
      .field("train_images", &P::train_images, "Training images of the synthetic data.")
      .range(10, 1000000)
      .unit("images")
      .field("test_images", &P::test_images, "Test images of the synthetic data.")
      .range(10, 1000000)
      .unit("images")
      .field("synthetic_seed", &P::synthetic_seed,
             "Which synthetic data: another number gives other images of the same kind.")
      .at_least(0)
      .rule({Param("source") == "synthetic"}, {Param("sha256") == "", Param("md5") == ""},
            "sha256 and md5 are of an archive; source = \"synthetic\" has none");
}

StageDescription DownloadStage::describe() {
  StageDescription d;
  d.name = "download";
  d.summary =
      "Brings the files of a data set: from the net, from a local archive or folder, or "
      "drawn by itself.";
  d.outputs = {{"files", "files/raw", "The unpacked files.", false}};
  return d;
}

void DownloadStage::run(StageContext& context) {
  const Source source = parse_source(params_.source.string());
  Pins pins = checked_pins(params_.sha256, params_.md5);
  switch (source.kind) {
    case Source::Kind::synthetic:
      return draw(context);
    case Source::Kind::cifar10:
      if (pins.md5.empty()) pins.md5 = kCifar10Md5;
      check_free_space(context.resume_dir(), kCifar10Bytes, "CIFAR-10");
      return fetch_archive(context, source.url, pins);
    case Source::Kind::http:
      return fetch_archive(context, source.url, pins);
    case Source::Kind::local:
      return take_local(context, source.path, pins);
  }
}

void DownloadStage::draw(StageContext& context) const {
  const std::int64_t total = params_.train_images + params_.test_images;
  write_synthetic(
      context.output("files"),
      {params_.train_images, params_.test_images,
       static_cast<std::uint64_t>(params_.synthetic_seed)},
      [&](std::int64_t done) {
        context.throw_if_stopped();
        context.progress({static_cast<double>(done), static_cast<double>(total), "images", ""});
      });
  context.info(fmt::format("drew {} training and {} test images of ten shapes",
                           params_.train_images, params_.test_images));
}

void DownloadStage::fetch_archive(StageContext& context, const std::string& url, Pins pins) const {
  const std::string name = shown_url(url);
  const fs::path part = context.resume_dir() / "archive.part";
  HttpRequest request;
  request.url = url;
  request.file = part;
  request.pinned = pins.any();
  request.max_bytes = params_.max_bytes;
  request.retries = params_.retries;
  request.timeout_s = params_.timeout;
  HttpEvents events;
  events.warn = [&](std::string_view line) { context.warn(line); };
  events.progress = [&](std::int64_t done, std::int64_t total, double rate) {
    std::string text;
    if (rate >= 1) {
      text = size_text(std::llround(rate)) + "/s";
      if (total > done) {
        text += ", " + time_text(static_cast<double>(total - done) / rate) + " left";
      }
    }
    context.progress({static_cast<double>(done), static_cast<double>(total), "bytes", text});
  };
  const HttpResult result = fetch(request, events, context.stop());
  context.info(result.resumed_at > 0
                   ? fmt::format("downloaded {}: {}, of which {} were here already", name,
                                 size_text(result.bytes), size_text(result.resumed_at))
                   : fmt::format("downloaded {}: {}", name, size_text(result.bytes)));
  const Pins found = digests(context, part);
  try {
    check_pins(pins, found, name);
  } catch (const Error&) {
    discard_partial(part);  // Going on with wrong bytes would never end well.
    throw;
  }
  if (!result.etag.empty()) context.record("etag", result.etag);
  if (!result.final_url.empty()) context.record("url", shown_url(result.final_url));
  context.record("archive_sha256", found.sha256);
  try {
    unpack(context, part, name);
  } catch (const BadArchive&) {
    discard_partial(part);  // The next try brings it anew.
    throw;
  }
  discard_partial(part);
}

void DownloadStage::take_local(StageContext& context, const fs::path& path,
                               const Pins& pins) const {
  std::error_code code;
  const fs::file_status status = fs::status(path, code);
  if (!fs::exists(status)) {
    throw Error(fmt::format("source = \"{}\" does not exist", path.string()), ErrorKind::usage);
  }
  if (fs::is_directory(status)) {
    if (pins.any()) {
      throw Error(fmt::format("sha256 and md5 are of an archive; {} is a folder: leave them out",
                              path.string()),
                  ErrorKind::usage);
    }
    copy_folder(path, context.output("files"), limits(),
                [&](std::int64_t done, std::int64_t total) {
                  context.throw_if_stopped();
                  context.progress(
                      {static_cast<double>(done), static_cast<double>(total), "bytes", "copying"});
                });
    return;
  }
  if (!fs::is_regular_file(status)) {
    throw Error(fmt::format("source = \"{}\" is neither a file nor a folder", path.string()),
                ErrorKind::usage);
  }
  if (pins.any()) check_pins(pins, digests(context, path), path.string());
  unpack(context, path, path.string());
}

void DownloadStage::unpack(StageContext& context, const fs::path& archive,
                           const std::string& name) const {
  extract_archive(
      archive, name, context.output("files"), limits(), [&](std::int64_t done, std::int64_t total) {
        context.throw_if_stopped();
        context.progress(
            {static_cast<double>(done), static_cast<double>(total), "bytes", "unpacking"});
      });
}

}  // namespace cifarpipe::download
