#include "pipeline/recorder.hpp"

#include <algorithm>

namespace cifarpipe {

std::string_view to_string(RunStatus status) {
  switch (status) {
    case RunStatus::running:
      return "RUNNING";
    case RunStatus::finished:
      return "FINISHED";
    case RunStatus::failed:
      return "FAILED";
    case RunStatus::killed:
      return "KILLED";
  }
  return "";
}

std::int64_t took_ms(const RunRecord& run, std::int64_t now_ms) {
  const std::int64_t until = run.end_ms != 0 ? run.end_ms : now_ms;
  const std::int64_t since = run.working_since_ms != 0 ? until - run.working_since_ms : 0;
  return std::max<std::int64_t>(0, run.worked_ms + since);
}

}  // namespace cifarpipe
