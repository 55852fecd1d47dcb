// The bytes of a metric ring, shared by its writer and its reader. Of this machine only: the two
// are the same build on the same host, or the reader sees another version and leaves it alone.
//
//   0              RingHeader, padded to a page
//   4096           definitions: entries of 8-byte multiples, appended; a point names them by offset
//   + definitions  records, 64 bytes each; sequence s lies at s % capacity
//
// When the area of definitions is full, the writer waits until every point is drained, and begins
// it anew under the next epoch. So no point that is still to be read ever loses its definitions.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>

#include "pipeline/digest.hpp"

namespace cifarpipe::ring {

inline constexpr std::uint64_t kMagic = 0x31474e4952504643;  // "CFPRING1"
inline constexpr std::uint32_t kVersion = 1;
inline constexpr std::size_t kPage = 4096;

struct RingHeader {
  std::uint64_t magic;
  std::uint32_t version;
  std::uint32_t capacity;
  std::uint32_t definition_bytes;
  std::uint32_t crc;  ///< Of what stands before it.
  std::byte unused[40];
  std::uint64_t drained;  ///< In a cache line of its own; written by the reader alone.
};
static_assert(std::is_trivially_copyable_v<RingHeader> && offsetof(RingHeader, drained) == 64);

struct Record {
  std::uint64_t sequence;  ///< From 1; stored last.
  std::uint32_t crc;       ///< Of all but `unused`, with `crc` = 0.
  std::uint32_t epoch;     ///< Of the definitions.
  std::uint32_t job;       ///< Where the job's definition lies, in units of 8 bytes.
  std::uint32_t name;
  std::int64_t step;
  std::int64_t time_ms;
  double value;
  std::byte unused[16];
};
static_assert(sizeof(Record) == 64 && std::is_trivially_copyable_v<Record>);

enum class DefinitionKind : std::uint32_t { job = 1, name = 2 };

/// Followed by `length` bytes: a name, or a JobDefinition and the key.
struct Definition {
  std::uint32_t crc;  ///< Of the rest and the bytes.
  std::uint32_t epoch;
  DefinitionKind kind;
  std::uint32_t length;
};
static_assert(sizeof(Definition) == 16);

struct JobDefinition {
  std::int32_t generation;
  std::int32_t attempt;
};

inline std::size_t file_size(std::uint32_t capacity, std::uint32_t definition_bytes) {
  return kPage + definition_bytes + std::size_t{capacity} * sizeof(Record);
}

inline std::uint32_t header_crc(const RingHeader& header) {
  return crc32c(std::as_bytes(std::span(&header, 1)).first(offsetof(RingHeader, crc)));
}

/// `record.crc` must be 0.
inline std::uint32_t record_crc(const Record& record) {
  return crc32c(std::as_bytes(std::span(&record, 1)).first(offsetof(Record, unused)));
}

/// Over a whole entry in memory, header and bytes.
inline std::uint32_t definition_crc(const std::byte* entry, std::uint32_t length) {
  return crc32c(
      {entry + sizeof(std::uint32_t), sizeof(Definition) - sizeof(std::uint32_t) + length});
}

}  // namespace cifarpipe::ring
