#include "pipeline/process_usage.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <string>

namespace cifarpipe {
namespace {

/// Numbers with blanks between them; false where something else stands.
template <class T>
bool take_number(std::string_view& text, T& out) {
  const std::size_t begin = text.find_first_not_of(" \t\n");
  if (begin == std::string_view::npos) return false;
  text.remove_prefix(begin);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc()) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return true;
}

/// A file of /proc, which has no size before it is read; "" if it cannot be.
std::string read_all(const char* file) {
  std::string out;
  const int fd = open(file, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return out;
  char buffer[4096];
  for (;;) {
    const ssize_t n = read(fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    out.append(buffer, static_cast<std::size_t>(n));
  }
  close(fd);
  return out;
}

std::uint64_t page_size() {
  static const auto size = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  return size;
}

std::optional<ProcessStat> stat_of(pid_t pid) {
  return parse_process_stat(read_all(fmt::format("/proc/{}/stat", pid).c_str()));
}

std::vector<pid_t> children_of(pid_t pid) {
  std::vector<pid_t> children;
  const std::string folder = fmt::format("/proc/{}/task", pid);
  DIR* tasks = opendir(folder.c_str());
  if (tasks == nullptr) return children;
  while (const dirent* entry = readdir(tasks)) {
    if (entry->d_name[0] == '.') continue;
    const auto of_task =
        parse_children(read_all(fmt::format("{}/{}/children", folder, entry->d_name).c_str()));
    children.insert(children.end(), of_task.begin(), of_task.end());
  }
  closedir(tasks);
  return children;
}

void add_memory(pid_t pid, TreeUse& use) {
  const auto memory = parse_process_memory(read_all(fmt::format("/proc/{}/statm", pid).c_str()));
  if (!memory) return;
  use.own_bytes += (memory->resident - std::min(memory->shared, memory->resident)) * page_size();
  use.shared_bytes = std::max(use.shared_bytes, memory->shared * page_size());
}

}  // namespace

std::optional<ProcessStat> parse_process_stat(std::string_view text) {
  // The name in brackets may hold anything, brackets too; the last one ends it.
  const std::size_t open = text.find('(');
  const std::size_t close = text.rfind(')');
  if (open == std::string_view::npos || close == std::string_view::npos || close < open) {
    return std::nullopt;
  }
  ProcessStat stat;
  std::string_view head = text.substr(0, open);
  std::string_view rest = text.substr(close + 1);
  if (!take_number(head, stat.pid) || rest.size() < 2) return std::nullopt;
  stat.state = rest[1];
  rest.remove_prefix(2);
  // Fields 4 to 22, as proc(5) counts them.
  std::int64_t fields[23] = {};
  for (int i = 4; i <= 22; ++i) {
    if (!take_number(rest, fields[i])) return std::nullopt;
  }
  stat.parent = static_cast<pid_t>(fields[4]);
  stat.ticks = static_cast<std::uint64_t>(fields[14] + fields[15]);
  stat.reaped_ticks = static_cast<std::uint64_t>(fields[16] + fields[17]);
  stat.start = static_cast<std::uint64_t>(fields[22]);
  return stat;
}

std::optional<ProcessMemory> parse_process_memory(std::string_view text) {
  std::uint64_t size = 0;
  ProcessMemory memory;
  if (!take_number(text, size) || !take_number(text, memory.resident) ||
      !take_number(text, memory.shared)) {
    return std::nullopt;
  }
  return memory;
}

std::optional<NetworkUse> parse_network(std::string_view text) {
  std::optional<NetworkUse> use;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;  // The two lines of headings.
    line.remove_prefix(colon + 1);
    std::uint64_t fields[9] = {};
    bool whole = true;
    for (std::uint64_t& field : fields) whole = whole && take_number(line, field);
    if (!whole) continue;
    if (!use) use.emplace();
    use->received += fields[0];
    use->sent += fields[8];
  }
  return use;
}

std::vector<pid_t> parse_children(std::string_view text) {
  std::vector<pid_t> children;
  pid_t child = 0;
  while (take_number(text, child)) children.push_back(child);
  return children;
}

TreeUse tree_use(pid_t root) {
  TreeUse use;
  std::vector<pid_t> waiting = {root};
  // A bound, since children may come as fast as they are counted.
  for (std::size_t i = 0; i < waiting.size() && i < 10'000; ++i) {
    const auto stat = stat_of(waiting[i]);
    if (!stat) continue;  // Ended meanwhile; its parent has its time once it has waited for it.
    if (i == 0) use.start = stat->start;
    use.ticks += stat->ticks + stat->reaped_ticks;
    add_memory(waiting[i], use);
    const std::vector<pid_t> children = children_of(waiting[i]);
    waiting.insert(waiting.end(), children.begin(), children.end());
  }
  return use;
}

TreeUse own_use() {
  TreeUse use;
  const pid_t pid = getpid();
  if (const auto stat = stat_of(pid)) {
    use.start = stat->start;
    use.ticks = stat->ticks;
  }
  add_memory(pid, use);
  return use;
}

std::optional<NetworkUse> network_use() {
  return parse_network(read_all("/proc/net/dev"));
}

}  // namespace cifarpipe
