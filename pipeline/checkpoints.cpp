#include "pipeline/checkpoints.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "pipeline/digest.hpp"
#include "pipeline/error.hpp"

namespace cifarpipe::checkpoints {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::ordered_json;

constexpr int kFormat = 1;
constexpr std::string_view kPrefix = "checkpoint-";
constexpr std::string_view kIndex = "checkpoint.json";

struct Entry {
  std::uint64_t number = 0;
  bool complete = false;  ///< Without ".tmp".
  fs::path path;
};

/// All of a folder's checkpoints, the highest number first.
std::vector<Entry> entries(const fs::path& partial_dir) {
  std::vector<Entry> found;
  std::error_code code;
  for (fs::directory_iterator i(partial_dir, code), end; !code && i != end; i.increment(code)) {
    const std::string name = i->path().filename().string();
    if (!name.starts_with(kPrefix)) continue;
    Entry entry{0, false, i->path()};
    const char* last = name.data() + name.size();
    const auto [stop, failed] = std::from_chars(name.data() + kPrefix.size(), last, entry.number);
    if (failed != std::errc()) continue;
    entry.complete = stop == last;
    found.push_back(std::move(entry));
  }
  if (code && code != std::errc::no_such_file_or_directory) {
    throw file_error("list", partial_dir, code.value());
  }
  std::ranges::sort(found, std::ranges::greater{}, &Entry::number);
  return found;
}

std::string index_text(const Cover& cover, const std::vector<FileDigest>& files) {
  Json list = Json::array();
  for (const FileDigest& file : files) {
    list.push_back({{"path", file.path}, {"size", file.size}, {"sha256", file.sha256}});
  }
  const Json json = {{"format", kFormat},
                     {"attempt", cover.attempt},
                     {"sequence", cover.sequence},
                     {"files", std::move(list)}};
  return json.dump(2) + '\n';
}

struct Index {
  Cover cover;
  std::vector<FileDigest> files;
};

std::optional<Index> read_index(const fs::path& dir) {
  try {
    const Json json = Json::parse(read_text_file(dir / kIndex));
    if (json.at("format") != kFormat) return std::nullopt;
    Index index{{json.at("attempt"), json.at("sequence")}, {}};
    for (const Json& file : json.at("files")) {
      index.files.push_back({file.at("path"), file.at("size"), file.at("sha256")});
    }
    return index;
  } catch (const Json::exception&) {
    return std::nullopt;
  } catch (const Error&) {
    return std::nullopt;
  }
}

/// Whether a checkpoint is as it was written. Its content is compared and not only sizes: a stage
/// trusts what it goes on from, and a checkpoint is read once.
bool is_intact(const fs::path& dir, const Index& index) {
  try {
    std::vector<FileDigest> found = digest_tree(dir);
    std::erase_if(found, [](const FileDigest& file) { return file.path == kIndex; });
    return found == index.files;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

Checkpoint save(const fs::path& partial_dir, const Cover& cover,
                const std::function<void(const fs::path& dir)>& write, FileOps& ops) {
  std::error_code code;
  if (!fs::is_directory(partial_dir, code)) {
    ops.make_dirs(partial_dir);
    ops.sync_dir(partial_dir.parent_path());
  }
  const std::vector<Entry> before = entries(partial_dir);
  // Higher than anything there, so that no kill makes two folders one.
  const std::uint64_t number = before.empty() ? 1 : before.front().number + 1;
  for (const Entry& entry : before) {
    if (!entry.complete) ops.remove_all(entry.path);
  }
  const fs::path dir = partial_dir / fmt::format("{}{}", kPrefix, number);
  const fs::path tmp = dir.string() + ".tmp";
  try {
    ops.make_dirs(tmp);
    write(tmp);
    const std::vector<FileDigest> files = digest_tree(tmp);
    if (std::ranges::find(files, kIndex, &FileDigest::path) != files.end()) {
      throw Error(fmt::format("a checkpoint must not have a file of its own called {}", kIndex));
    }
    ops.write_file(tmp / kIndex, index_text(cover, files));
    for (const FileDigest& file : files) ops.sync_file(tmp / file.path);
    for (fs::recursive_directory_iterator i(tmp), end; i != end; ++i) {
      if (i->is_directory()) ops.sync_dir(i->path());
    }
    ops.sync_dir(tmp);
    ops.rename(tmp, dir);
  } catch (...) {
    ops.try_remove_all(tmp);
    throw;
  }
  ops.sync_dir(partial_dir);
  // Only now: until the new one is durable, the old ones are what a power cut leaves.
  for (const Entry& entry : before) {
    if (entry.complete) ops.try_remove_all(entry.path);
  }
  return {dir, cover};
}

std::optional<Checkpoint> latest(const fs::path& partial_dir) {
  for (const Entry& entry : entries(partial_dir)) {
    if (!entry.complete) continue;
    const std::optional<Index> index = read_index(entry.path);
    if (index && is_intact(entry.path, *index)) return Checkpoint{entry.path, index->cover};
  }
  return std::nullopt;
}

std::optional<Cover> latest_cover(const fs::path& partial_dir) {
  for (const Entry& entry : entries(partial_dir)) {
    if (!entry.complete) continue;
    if (const std::optional<Index> index = read_index(entry.path)) return index->cover;
  }
  return std::nullopt;
}

}  // namespace cifarpipe::checkpoints
