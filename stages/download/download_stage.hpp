// The stage `download`: brings the files of a data set, from the net, from this machine or drawn by
// itself, into one folder. No input; output `files` of type files/raw. One thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "pipeline/stage.hpp"
#include "stages/download/archive.hpp"
#include "stages/download/digest_check.hpp"
#include "stages/download/source.hpp"

namespace cifarpipe::download {

struct DownloadParams {
  std::filesystem::path source = "cifar10";
  std::string sha256;
  std::string md5;
  std::int64_t max_bytes = std::int64_t{4} << 30;
  std::int64_t max_files = 100000;
  int retries = 5;
  int timeout = 30;
  std::int64_t train_images = 6000;
  std::int64_t test_images = 2000;
  std::int64_t synthetic_seed = 1;

  static Schema<DownloadParams> schema();
};

class DownloadStage : public Stage {
 public:
  using Params = DownloadParams;
  static StageDescription describe();

  explicit DownloadStage(Params params) : params_(std::move(params)) {}
  void run(StageContext& context) override;

 private:
  void draw(StageContext& context) const;
  void fetch_archive(StageContext& context, const std::string& url, Pins pins) const;
  void take_local(StageContext& context, const std::filesystem::path& path, const Pins& pins) const;
  void unpack(StageContext& context, const std::filesystem::path& archive,
              const std::string& name) const;
  Limits limits() const { return {params_.max_bytes, params_.max_files}; }

  Params params_;
};

}  // namespace cifarpipe::download
