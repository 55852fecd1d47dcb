// The way of a metric from a stage to the recorder: one memory-mapped file a worker,
// `store/rings/<uid>.ring`. The worker's stage thread writes; whoever holds the supervisor's side
// drains. No lock, no system call and no heap in the writer; a page written is safe from any kill.
//
// Layout (metric_ring_layout.hpp): a header page, an area of definitions (jobs and metric names),
// then `capacity` records of 64 bytes. The writer fills a record and stores its sequence number
// last, with release; the reader stops at the first record that is not written yet, and passes over
// one with a wrong CRC32C. `drained` in the header is where the reader is: what lies before it is
// free. A full ring waits for the reader and never drops. Definitions are only ever overwritten
// when every point is drained, so a reader that comes late, after a kill, knows them all.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/lock.hpp"

namespace cifarpipe {

/// The job that points belong to. Generation 0 is the first result under a key.
struct JobRef {
  std::string key;  ///< 64 hex digits.
  int generation = 0;
  friend auto operator<=>(const JobRef&, const JobRef&) = default;
};

/// One metric point as it left a stage.
struct RingPoint {
  JobRef job;
  int attempt = 1;             ///< Of the job, counted from 1.
  std::uint64_t sequence = 0;  ///< Of the record in its ring; grows by at least 1 a point.
  std::string metric;          ///< Bare name, such as "loss".
  std::int64_t step = 0;
  std::int64_t time_ms = 0;  ///< UTC.
  double value = 0;
};

/// The worker's side. One thread. Holds the ring's lock while it lives.
class RingWriter {
 public:
  /// Creates the file whole (posix_fallocate), so that a full disk shows here and not later.
  /// `file` must not exist: a ring may hold points that nobody has stored yet.
  static std::unique_ptr<RingWriter> create(const std::filesystem::path& file,
                                            std::uint32_t capacity = 1u << 14,
                                            std::uint32_t definition_bytes = 1u << 18);
  virtual ~RingWriter() = default;
  /// Points from now on belong to this job and attempt.
  virtual void begin_job(const JobRef& job, int attempt) = 0;
  /// The number of a metric name within the current job. Throws Error for a name that is empty or
  /// longer than 1024 bytes.
  virtual std::uint32_t metric_id(std::string_view name) = 0;
  /// While the ring is full, calls `wait` (which may throw to give up) until there is room. The
  /// time is the kernel's coarse clock, a few ms behind at most: reading it is no system call
  /// anywhere.
  virtual void write(std::uint32_t id, std::int64_t step, double value) = 0;
  /// What to do while the ring is full: sleep for a moment, wake the reader, throw if nobody is
  /// there to read any more. By default: sleep 1 ms.
  virtual void set_wait(std::function<void()> wait) = 0;
  /// The sequence number of the last record written.
  virtual std::uint64_t sequence() const = 0;
};

/// The draining side. One thread.
class RingReader {
 public:
  /// Begins at `drained`. Null if the file is not a ring (another version, damaged header): nothing
  /// can be told from it. Throws Error if it cannot be opened.
  static std::unique_ptr<RingReader> open(const std::filesystem::path& file);
  virtual ~RingReader() = default;
  /// The next points, at most `limit`; does not free their space yet. `last_sequence()` tells how
  /// far it got.
  virtual std::vector<RingPoint> read(std::size_t limit = 1u << 16) = 0;
  virtual std::uint64_t last_sequence() const = 0;
  /// Frees the space up to `last_sequence()`. Call it after the points are committed.
  virtual void release() = 0;
  /// Records that were passed over because they are damaged.
  virtual std::uint64_t damaged() const = 0;
};

}  // namespace cifarpipe
