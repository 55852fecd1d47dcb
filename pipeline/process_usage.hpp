// What processes use, read from /proc: a handful of small files. The functions on texts are pure;
// what a file does not say is left out, never guessed. Stateless: any thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace cifarpipe {

/// Of /proc/PID/stat.
struct ProcessStat {
  pid_t pid = 0;
  pid_t parent = 0;
  char state = '?';
  std::uint64_t ticks = 0;         ///< User and system time, in clock ticks (sysconf(_SC_CLK_TCK)).
  std::uint64_t reaped_ticks = 0;  ///< The same of its children that were waited for.
  std::uint64_t start = 0;         ///< In ticks after boot: with the pid a name for the process.
};
std::optional<ProcessStat> parse_process_stat(std::string_view text);

/// Of /proc/PID/statm, in pages.
struct ProcessMemory {
  std::uint64_t resident = 0;
  std::uint64_t shared = 0;  ///< Of these: files (libraries) and shared memory.
};
std::optional<ProcessMemory> parse_process_memory(std::string_view text);

/// Bytes received and sent by all interfaces of /proc/net/dev, the loopback too, as psutil counts.
struct NetworkUse {
  std::uint64_t received = 0;
  std::uint64_t sent = 0;
};
std::optional<NetworkUse> parse_network(std::string_view text);

/// The numbers of /proc/PID/task/TID/children.
std::vector<pid_t> parse_children(std::string_view text);

/// A process with all that it started.
struct TreeUse {
  std::uint64_t start = 0;  ///< Of the root; 0: it is gone.
  /// CPU time since the root's start. What children used stays in it after their end.
  std::uint64_t ticks = 0;
  std::uint64_t own_bytes = 0;     ///< Memory that no other process shares.
  std::uint64_t shared_bytes = 0;  ///< The largest share of one process in what they share.
};
TreeUse tree_use(pid_t root);
/// The calling process alone: without its children, also those that have ended.
TreeUse own_use();
std::optional<NetworkUse> network_use();

}  // namespace cifarpipe
