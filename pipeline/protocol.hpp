// The messages between the supervisor and a worker, over a SOCK_SEQPACKET pair: one JSON object a
// packet, at most kMaxMessage bytes, sometimes with a descriptor. The worker's end is descriptor 3.
// One thread reads an end and one writes it (they may differ).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pipeline/recorder.hpp"
#include "pipeline/stage.hpp"

namespace cifarpipe {

inline constexpr int kWorkerSocket = 3;
inline constexpr std::size_t kMaxMessage = 128 * 1024;

/// Supervisor → worker: do this job. Carries the job's lock as a descriptor.
struct JobOrder {
  std::string instance;
  std::string plugin_path;
  std::string build_id;  ///< Of the plugin as planned; another one on disk is refused.
  std::string stage;
  ParamValues params;
  JobRef job;
  int attempt = 1;
  std::uint64_t seed = 0;
  Numerics numerics;
  std::vector<std::pair<std::string, std::string>> inputs;  ///< Port → directory.
  std::string work_dir;                                     ///< Output ports are made below it.
  std::string partial_dir;  ///< Checkpoints and the resume directory live here.
};

/// Worker → supervisor.
struct Event {
  enum class Kind {
    ready,        ///< The worker is up; `text` is the ring's file.
    log,          ///< `level`, `text`
    progress,     ///< `done`, `total`, `unit`, `text`
    record,       ///< A fact: `name`, `text`
    checkpoint,   ///< A checkpoint became durable.
    outputs,      ///< Digests of (a part of) the files of port `name`.
    done,         ///< The stage returned; outputs are hashed and durable.
    failed,       ///< The stage threw: `text`; `exit_code` as ErrorKind.
    interrupted,  ///< The stage stopped on request.
  };
  Kind kind = Kind::log;
  LogLevel level = LogLevel::info;
  std::string name;
  std::string text;
  double done = 0;
  double total = 0;
  std::string unit;
  int exit_code = 0;
  std::vector<FileDigest> files;
  Usage usage;  ///< With done, failed and interrupted.
};

/// Supervisor → worker, besides JobOrder: `stop` (write a checkpoint and end the job), `release`
/// (the job is published: let its lock go).
enum class Command { job, stop, release };

struct Order {
  Command command = Command::stop;
  JobOrder job;
  int lock_fd = -1;  ///< With Command::job; owned by the receiver.
};

/// False if the other end is gone. Throws Error if the message is too long.
bool send_order(int socket, const Order& order);
bool send_event(int socket, const Event& event);
/// Nothing at the end of the stream. With `block` false also when nothing is there yet: then
/// `*would_block` is set.
std::optional<Order> receive_order(int socket);
std::optional<Event> receive_event(int socket, bool* would_block);

}  // namespace cifarpipe
