#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <thread>
#include <unordered_map>

#include "pipeline/error.hpp"
#include "pipeline/file_ops.hpp"
#include "pipeline/metric_ring.hpp"
#include "pipeline/metric_ring_layout.hpp"

namespace cifarpipe {
namespace {

using ring::Definition;
using ring::DefinitionKind;
using ring::JobDefinition;
using ring::Record;
using ring::RingHeader;

constexpr std::size_t kLongestName = 1024;

struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const {
    return std::hash<std::string_view>{}(text);
  }
};
template <class T>
using TextMap = std::unordered_map<std::string, T, TextHash, std::equal_to<>>;

std::int64_t now_ms() {
  timespec now;
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  return now.tv_sec * std::int64_t{1000} + now.tv_nsec / 1'000'000;
}

class MappedWriter final : public RingWriter {
 public:
  MappedWriter(Lock lock, std::byte* base, std::uint32_t capacity, std::uint32_t definition_bytes)
      : lock_(std::move(lock)),
        base_(base),
        header_(*reinterpret_cast<RingHeader*>(base)),
        records_(reinterpret_cast<Record*>(base + ring::kPage + definition_bytes)),
        capacity_(capacity),
        definition_bytes_(definition_bytes) {}
  ~MappedWriter() override { ::munmap(base_, ring::file_size(capacity_, definition_bytes_)); }

  void begin_job(const JobRef& job, int attempt) override {
    ids_.clear();
    names_.clear();
    job_.assign(sizeof(JobDefinition), '\0');
    const JobDefinition fixed{job.generation, attempt};
    std::memcpy(job_.data(), &fixed, sizeof fixed);
    job_ += job.key;
    if (!fits(job_)) {
      restart_definitions();
    } else {
      job_offset_ = append(DefinitionKind::job, job_);
    }
  }

  std::uint32_t metric_id(std::string_view name) override {
    if (const auto known = ids_.find(name); known != ids_.end()) return known->second;
    if (job_.empty()) throw Error("a metric outside of a job");
    if (name.empty() || name.size() > kLongestName) {
      throw Error(fmt::format("a metric's name has 1 to {} bytes; this one has {}", kLongestName,
                              name.size()));
    }
    Name entry{std::string(name)};
    define(entry);
    const auto id = static_cast<std::uint32_t>(names_.size());
    names_.push_back(std::move(entry));
    ids_.emplace(name, id);
    return id;
  }

  void write(std::uint32_t id, std::int64_t step, double value) override {
    if (id >= names_.size()) throw Error(fmt::format("no metric of this job has the id {}", id));
    if (sequence_ - known_drained_ >= capacity_) wait_until(sequence_ - capacity_ + 1);
    Name& name = names_[id];
    if (name.epoch != epoch_) define(name);

    Record record{};
    record.sequence = sequence_ + 1;
    record.epoch = epoch_;
    record.job = job_offset_;
    record.name = name.offset;
    record.step = step;
    record.time_ms = now_ms();
    record.value = value;
    record.crc = ring::record_crc(record);

    Record& slot = records_[record.sequence % capacity_];
    std::memcpy(reinterpret_cast<std::byte*>(&slot) + sizeof slot.sequence,
                reinterpret_cast<const std::byte*>(&record) + sizeof slot.sequence,
                sizeof(Record) - sizeof slot.sequence);
    // From this store on the record is there for the reader, and safe from a kill: before it the
    // slot has the number of the lap before and is not looked at.
    std::atomic_ref(slot.sequence).store(record.sequence, std::memory_order_release);
    sequence_ = record.sequence;
  }

  void set_wait(std::function<void()> wait) override { wait_ = std::move(wait); }
  std::uint64_t sequence() const override { return sequence_; }

 private:
  struct Name {
    std::string text;
    std::uint32_t offset = 0;
    std::uint32_t epoch = 0;  ///< The epoch in which `offset` counts.
  };

  static std::size_t entry_size(std::string_view bytes) {
    return (sizeof(Definition) + bytes.size() + 7) / 8 * 8;
  }
  bool fits(std::string_view bytes) const {
    return definitions_used_ + entry_size(bytes) <= definition_bytes_;
  }

  std::uint32_t append(DefinitionKind kind, std::string_view bytes) {
    if (!fits(bytes)) throw Error("a ring's area of definitions is too small");
    std::byte* entry = base_ + ring::kPage + definitions_used_;
    const Definition head{0, epoch_, kind, static_cast<std::uint32_t>(bytes.size())};
    std::memcpy(entry, &head, sizeof head);
    std::memcpy(entry + sizeof head, bytes.data(), bytes.size());
    const std::uint32_t crc = ring::definition_crc(entry, head.length);
    std::memcpy(entry, &crc, sizeof crc);
    const auto offset = static_cast<std::uint32_t>(definitions_used_ / 8);
    definitions_used_ += entry_size(bytes);
    return offset;
  }

  /// Gives a name its place in the current epoch. The one and the same text is written once.
  void define(Name& name) {
    auto known = offsets_.find(name.text);
    if (known == offsets_.end()) {
      if (!fits(name.text)) restart_definitions();
      known = offsets_.emplace(name.text, append(DefinitionKind::name, name.text)).first;
    }
    name.offset = known->second;
    name.epoch = epoch_;
  }

  void restart_definitions() {
    wait_until(sequence_);
    ++epoch_;
    definitions_used_ = 0;
    offsets_.clear();
    job_offset_ = append(DefinitionKind::job, job_);
  }

  void wait_until(std::uint64_t drained) {
    while ((known_drained_ = std::atomic_ref(header_.drained).load(std::memory_order_acquire)) <
           drained) {
      if (wait_) {
        wait_();
      } else {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    }
  }

  Lock lock_;
  std::byte* base_;
  RingHeader& header_;
  Record* records_;
  const std::uint32_t capacity_;
  const std::uint32_t definition_bytes_;
  std::uint64_t sequence_ = 0;
  std::uint64_t known_drained_ = 0;  ///< At least this far is drained.
  std::uint32_t epoch_ = 1;
  std::size_t definitions_used_ = 0;
  std::string job_;  ///< The current job's definition; empty before the first.
  std::uint32_t job_offset_ = 0;
  std::vector<Name> names_;         ///< Of the current job, by id.
  TextMap<std::uint32_t> ids_;      ///< Of the current job.
  TextMap<std::uint32_t> offsets_;  ///< Of the current epoch.
  std::function<void()> wait_;
};

std::byte* allocate(const std::filesystem::path& file, int fd, std::size_t size) {
  struct stat info;
  if (::fstat(fd, &info) != 0) throw file_error("look at", file, errno);
  if (info.st_size != 0) throw Error(fmt::format("'{}' exists already", file.string()));
  // Room for all of it now: a store through a map for which the disk has no room is a SIGBUS.
  int failed;
  do {
    failed = ::posix_fallocate(fd, 0, static_cast<off_t>(size));
  } while (failed == EINTR);
  if (failed != 0) throw file_error("make room for", file, failed);
  void* base = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (base == MAP_FAILED) throw file_error("map", file, errno);
#ifdef MADV_POPULATE_WRITE
  ::madvise(base, size, MADV_POPULATE_WRITE);  // Page faults now and not in a training step.
#endif
  return static_cast<std::byte*>(base);
}

}  // namespace

std::unique_ptr<RingWriter> RingWriter::create(const std::filesystem::path& file,
                                               std::uint32_t capacity,
                                               std::uint32_t definition_bytes) {
  if (capacity == 0 || definition_bytes % ring::kPage != 0 || definition_bytes == 0) {
    throw Error("a ring has at least one record and one page of definitions");
  }
  std::optional<Lock> lock = Lock::try_lock(file);
  if (!lock) throw Error(fmt::format("'{}' belongs to another process", file.string()));
  std::byte* base = nullptr;
  try {
    base = allocate(file, lock->fd(), ring::file_size(capacity, definition_bytes));
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::environment) ::unlink(file.c_str());
    throw;
  }
  // The magic last: until then it is no ring to anybody.
  RingHeader header{};
  header.magic = ring::kMagic;
  header.version = ring::kVersion;
  header.capacity = capacity;
  header.definition_bytes = definition_bytes;
  header.crc = ring::header_crc(header);
  std::memcpy(base + sizeof header.magic,
              reinterpret_cast<const std::byte*>(&header) + sizeof header.magic,
              sizeof header - sizeof header.magic);
  std::atomic_ref(reinterpret_cast<RingHeader*>(base)->magic)
      .store(ring::kMagic, std::memory_order_release);
  return std::make_unique<MappedWriter>(std::move(*lock), base, capacity, definition_bytes);
}

}  // namespace cifarpipe
