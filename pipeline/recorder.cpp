#include "pipeline/recorder.hpp"

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

}  // namespace cifarpipe
