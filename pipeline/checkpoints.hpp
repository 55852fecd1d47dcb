// The checkpoints of a job, `checkpoint-<n>` in its partial_dir: written whole or not there, the
// highest intact one counts. Only the holder of the job's lock writes here. One thread.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>

#include "pipeline/file_ops.hpp"
#include "pipeline/recorder.hpp"

namespace cifarpipe::checkpoints {

struct Checkpoint {
  std::filesystem::path path;  ///< A folder: what the callback wrote, and checkpoint.json.
  Cover cover;                 ///< The metric points that belong to it.
};

/// Has `write` fill an empty folder, makes it durable and then the newest checkpoint in one step;
/// the ones before it are removed. A kill or an error at any instant leaves the old or the new one.
/// Throws Error, and whatever `write` throws.
Checkpoint save(const std::filesystem::path& partial_dir, const Cover& cover,
                const std::function<void(const std::filesystem::path& dir)>& write,
                FileOps& ops = file_ops());

/// The highest checkpoint whose files have the content that was written; nothing if there is none.
std::optional<Checkpoint> latest(const std::filesystem::path& partial_dir);

/// What the highest checkpoint says it covers. Its files, which may be large, are not looked at:
/// for those who only want to know and do not go on from it.
std::optional<Cover> latest_cover(const std::filesystem::path& partial_dir);

}  // namespace cifarpipe::checkpoints
