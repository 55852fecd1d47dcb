// What the tests of the data stages share: a temporary folder, a StageContext that keeps what a
// stage says, small archives with any kind of entry, and the message of an error. One thread.
#pragma once

#include <archive.h>
#include <archive_entry.h>

#include <boost/test/unit_test.hpp>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <set>
#include <sstream>
#include <stop_token>
#include <string>
#include <vector>

#include "pipeline/stage.hpp"

namespace cifarpipe::test {

namespace fs = std::filesystem;

class TempDir {
 public:
  TempDir() {
    std::string name = (fs::temp_directory_path() / "cifarpipe-data-XXXXXX").string();
    BOOST_REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~TempDir() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const fs::path& path() const { return path_; }
  fs::path make(const std::string& name) const {
    fs::create_directories(path_ / name);
    return path_ / name;
  }

 private:
  fs::path path_;
};

inline std::string read(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

inline void write(const fs::path& file, const std::string& text) {
  fs::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary) << text;
}

/// What `f` throws, as its text; "" if nothing.
inline std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

inline void check_contains(const std::string& text, const std::string& part) {
  BOOST_CHECK_MESSAGE(text.find(part) != std::string::npos,
                      "'" << text << "' does not contain '" << part << "'");
}

/// All files below a folder, as "relative path" → content.
inline std::map<std::string, std::string> tree(const fs::path& dir) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(dir)) {
    if (entry.is_regular_file()) {
      files[entry.path().lexically_relative(dir).generic_string()] = read(entry.path());
    }
  }
  return files;
}

struct ArchiveEntry {
  std::string name;
  std::string content;
  unsigned type = AE_IFREG;
  std::string link = {};
  bool hard = false;
};

/// Writes an archive with exactly these entries; `format` is "tar", "tar.gz" or "zip".
inline fs::path make_archive(const fs::path& file, const std::vector<ArchiveEntry>& entries,
                             const std::string& format = "tar") {
  archive* a = archive_write_new();
  if (format == "zip") {
    archive_write_set_format_zip(a);
  } else {
    archive_write_set_format_pax_restricted(a);
  }
  if (format == "tar.gz") archive_write_add_filter_gzip(a);
  BOOST_REQUIRE_EQUAL(archive_write_open_filename(a, file.c_str()), ARCHIVE_OK);
  for (const ArchiveEntry& e : entries) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, e.name.c_str());
    archive_entry_set_filetype(entry, e.type);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_size(entry, static_cast<la_int64_t>(e.content.size()));
    if (e.hard) {
      archive_entry_set_hardlink(entry, e.link.c_str());
    } else if (!e.link.empty()) {
      archive_entry_set_symlink(entry, e.link.c_str());
    }
    BOOST_REQUIRE_GE(archive_write_header(a, entry), ARCHIVE_WARN);
    archive_write_data(a, e.content.data(), e.content.size());
    archive_entry_free(entry);
  }
  archive_write_close(a);
  archive_write_free(a);
  return file;
}

/// Runs a stage in folders of its own and keeps what it says.
class FakeContext : public StageContext {
 public:
  explicit FakeContext(const fs::path& root) : root_(root), resume_(root / "resume") {
    fs::create_directories(resume_);
  }

  void set_input(const std::string& port, const fs::path& dir) { inputs_[port] = dir; }

  const fs::path* input(std::string_view port) const override {
    const auto found = inputs_.find(port);
    return found == inputs_.end() ? nullptr : &found->second;
  }
  const fs::path& output(std::string_view port) const override {
    const auto made = outputs_.emplace(port, root_ / "out" / port).first;
    fs::create_directories(made->second);
    return made->second;
  }
  MetricId metric_id(std::string_view) override { return MetricId{0}; }
  void metric(MetricId, std::int64_t, double) override {}
  void log(LogLevel level, std::string_view line) override {
    logs.emplace_back(level, std::string(line));
  }
  void progress(const Progress& p) override {
    ++progress_calls;
    last_progress = p.done;
    if (on_progress) on_progress(p);
  }
  void record(std::string_view name, std::string_view value) override {
    records[std::string(name)] = value;
  }
  void not_deterministic(std::string_view) override {}
  const fs::path& resume_dir() const override { return resume_; }
  std::optional<fs::path> checkpoint() const override { return std::nullopt; }
  void save_checkpoint(const std::function<void(const fs::path&)>&) override {}
  std::uint64_t seed() const override { return seed_value; }
  const Numerics& numerics() const override { return numerics_; }
  std::stop_token stop() const override { return stopper.get_token(); }

  std::stop_source stopper;
  std::uint64_t seed_value = 42;
  std::vector<std::pair<LogLevel, std::string>> logs;
  std::map<std::string, std::string> records;
  int progress_calls = 0;
  double last_progress = 0;
  std::function<void(const Progress&)> on_progress;

 private:
  fs::path root_;
  fs::path resume_;
  std::map<std::string, fs::path, std::less<>> inputs_;
  mutable std::map<std::string, fs::path, std::less<>> outputs_;
  Numerics numerics_;
};

}  // namespace cifarpipe::test
