#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
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

// How many records behind one that seems not to be written are looked at. If a later one is
// written, so was this one, and its number is damaged.
constexpr std::uint64_t kLookAhead = 2 * ring::kPage / sizeof(Record);

class MappedReader final : public RingReader {
 public:
  MappedReader(std::byte* base, const RingHeader& header)
      : base_(base),
        header_(*reinterpret_cast<RingHeader*>(base)),
        capacity_(header.capacity),
        definition_bytes_(header.definition_bytes),
        records_(reinterpret_cast<Record*>(base + ring::kPage + definition_bytes_)),
        last_(std::atomic_ref(header_.drained).load(std::memory_order_relaxed)),
        look_ahead_(capacity_) {}
  ~MappedReader() override { ::munmap(base_, ring::file_size(capacity_, definition_bytes_)); }

  std::vector<RingPoint> read(std::size_t limit) override {
    // What another reader has released meanwhile is stored already.
    last_ = std::max(last_, std::atomic_ref(header_.drained).load(std::memory_order_acquire));
    std::vector<RingPoint> points;
    while (points.size() < limit) {
      const std::uint64_t next = last_ + 1;
      if (!written(next) && !written_after(next)) {
        // The first time all of the ring is looked through; then it is known where the end is.
        look_ahead_ = std::min<std::uint64_t>(kLookAhead, capacity_);
        break;
      }
      const std::optional<Record> record = load(next);
      if (!record || !append(*record, points)) ++damaged_;
      last_ = next;
    }
    return points;
  }

  std::uint64_t last_sequence() const override { return last_; }
  std::uint64_t damaged() const override { return damaged_; }

  void release() override {
    std::atomic_ref(header_.drained).store(last_, std::memory_order_release);
  }

 private:
  struct Job {
    JobRef ref;
    int attempt = 0;
  };

  Record& slot(std::uint64_t sequence) const { return records_[sequence % capacity_]; }

  bool written(std::uint64_t sequence) const {
    return std::atomic_ref(slot(sequence).sequence).load(std::memory_order_acquire) == sequence;
  }

  bool written_after(std::uint64_t sequence) const {
    for (std::uint64_t k = 1; k < look_ahead_; ++k) {
      if (written(sequence + k) && load(sequence + k)) return true;
    }
    return false;
  }

  /// Nothing if it is damaged.
  std::optional<Record> load(std::uint64_t sequence) const {
    if (!written(sequence)) return std::nullopt;
    Record record;
    std::memcpy(&record, &slot(sequence), sizeof record);
    const std::uint32_t crc = std::exchange(record.crc, 0);
    if (record.sequence != sequence || ring::record_crc(record) != crc) return std::nullopt;
    return record;
  }

  bool append(const Record& record, std::vector<RingPoint>& points) {
    if (record.epoch != epoch_) {
      epoch_ = record.epoch;
      jobs_.clear();
      names_.clear();
    }
    const Job* job = find_job(record.job);
    const std::string* name = find_name(record.name);
    if (job == nullptr || name == nullptr) return false;
    points.push_back({.job = job->ref,
                      .attempt = job->attempt,
                      .sequence = record.sequence,
                      .metric = *name,
                      .step = record.step,
                      .time_ms = record.time_ms,
                      .value = record.value});
    return true;
  }

  const Job* find_job(std::uint32_t offset) {
    if (const auto known = jobs_.find(offset); known != jobs_.end()) return &known->second;
    const std::optional<std::string> bytes = definition(offset, DefinitionKind::job);
    if (!bytes || bytes->size() < sizeof(JobDefinition)) return nullptr;
    JobDefinition fixed;
    std::memcpy(&fixed, bytes->data(), sizeof fixed);
    Job job{{bytes->substr(sizeof fixed), fixed.generation}, fixed.attempt};
    return &jobs_.emplace(offset, std::move(job)).first->second;
  }

  const std::string* find_name(std::uint32_t offset) {
    if (const auto known = names_.find(offset); known != names_.end()) return &known->second;
    std::optional<std::string> bytes = definition(offset, DefinitionKind::name);
    if (!bytes) return nullptr;
    return &names_.emplace(offset, std::move(*bytes)).first->second;
  }

  std::optional<std::string> definition(std::uint32_t offset, DefinitionKind kind) const {
    const std::size_t at = std::size_t{offset} * 8;
    if (at + sizeof(Definition) > definition_bytes_) return std::nullopt;
    const std::byte* entry = base_ + ring::kPage + at;
    Definition head;
    std::memcpy(&head, entry, sizeof head);
    if (head.epoch != epoch_ || head.kind != kind ||
        head.length > definition_bytes_ - at - sizeof head ||
        ring::definition_crc(entry, head.length) != head.crc) {
      return std::nullopt;
    }
    return std::string(reinterpret_cast<const char*>(entry + sizeof head), head.length);
  }

  std::byte* base_;
  RingHeader& header_;
  const std::uint32_t capacity_;
  const std::uint32_t definition_bytes_;
  Record* records_;
  std::uint64_t last_;
  std::uint64_t look_ahead_;
  std::uint64_t damaged_ = 0;
  std::uint32_t epoch_ = 0;  ///< Of what the maps hold.
  std::unordered_map<std::uint32_t, Job> jobs_;
  std::unordered_map<std::uint32_t, std::string> names_;
};

}  // namespace

std::unique_ptr<RingReader> RingReader::open(const std::filesystem::path& file) {
  const Descriptor fd = open_file(file, O_RDWR);
  struct stat info;
  if (::fstat(fd.get(), &info) != 0) throw file_error("look at", file, errno);
  RingHeader header;
  if (::pread(fd.get(), &header, sizeof header, 0) != ssize_t{sizeof header}) return nullptr;
  if (header.magic != ring::kMagic || header.version != ring::kVersion ||
      header.crc != ring::header_crc(header) || header.capacity == 0) {
    return nullptr;
  }
  const std::size_t size = ring::file_size(header.capacity, header.definition_bytes);
  if (static_cast<std::uint64_t>(info.st_size) < size) return nullptr;
  void* base = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (base == MAP_FAILED) throw file_error("map", file, errno);
  return std::make_unique<MappedReader>(static_cast<std::byte*>(base), header);
}

}  // namespace cifarpipe
