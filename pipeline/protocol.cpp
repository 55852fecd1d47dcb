#include "pipeline/protocol.hpp"

#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

namespace cifarpipe {
namespace {

using nlohmann::json;

// Values travel as [variant index, value]; doubles as text, which keeps NaN, infinities and bits.
json value_json(const Value& value) {
  return std::visit(
      [&](const auto& v) -> json {
        using T = std::decay_t<decltype(v)>;
        json body;
        if constexpr (std::is_same_v<T, double>) {
          body = number_text(v);
        } else if constexpr (std::is_same_v<T, std::vector<double>>) {
          body = json::array();
          for (const double d : v) body.push_back(number_text(d));
        } else if constexpr (std::is_same_v<T, Groups>) {
          body = json::array();
          for (const auto& [name, members] : v) body.push_back({name, members});
        } else {
          body = v;
        }
        return {value.index(), body};
      },
      value);
}

double number_from(const json& text) {
  return std::strtod(text.get<std::string>().c_str(), nullptr);
}

Value value_from(const json& pair) {
  const json& body = pair.at(1);
  switch (pair.at(0).get<std::size_t>()) {
    case 0:
      return body.get<bool>();
    case 1:
      return body.get<std::int64_t>();
    case 2:
      return number_from(body);
    case 3:
      return body.get<std::string>();
    case 4:
      return body.get<std::vector<bool>>();
    case 5:
      return body.get<std::vector<std::int64_t>>();
    case 6: {
      std::vector<double> values;
      for (const json& text : body) values.push_back(number_from(text));
      return values;
    }
    case 7:
      return body.get<std::vector<std::string>>();
    default: {
      Groups groups;
      for (const json& group : body) {
        groups.emplace_back(group.at(0).get<std::string>(),
                            group.at(1).get<std::vector<std::string>>());
      }
      return groups;
    }
  }
}

json job_json(const JobOrder& job) {
  json params = json::array();
  for (const auto& [name, value] : job.params) params.push_back({name, value_json(value)});
  return {
      {"instance", job.instance},
      {"plugin_path", job.plugin_path},
      {"build_id", job.build_id},
      {"stage", job.stage},
      {"params", params},
      {"key", job.job.key},
      {"generation", job.job.generation},
      {"attempt", job.attempt},
      {"seed", job.seed},
      {"device", job.numerics.device},
      {"precision", job.numerics.precision},
      {"threads", job.numerics.threads},
      {"inputs", job.inputs},
      {"work_dir", job.work_dir},
      {"partial_dir", job.partial_dir},
  };
}

JobOrder job_from(const json& j) {
  JobOrder job;
  job.instance = j.at("instance");
  job.plugin_path = j.at("plugin_path");
  job.build_id = j.at("build_id");
  job.stage = j.at("stage");
  for (const json& pair : j.at("params")) {
    job.params.emplace_back(pair.at(0).get<std::string>(), value_from(pair.at(1)));
  }
  job.job = {j.at("key"), j.at("generation")};
  job.attempt = j.at("attempt");
  job.seed = j.at("seed");
  job.numerics = {j.at("device"), j.at("precision"), j.at("threads")};
  job.inputs = j.at("inputs").get<std::vector<std::pair<std::string, std::string>>>();
  job.work_dir = j.at("work_dir");
  job.partial_dir = j.at("partial_dir");
  return job;
}

bool send_packet(int socket, const std::string& text, int fd) {
  if (text.size() > kMaxMessage) throw Error("a message between supervisor and worker is too long");
  iovec part{const_cast<char*>(text.data()), text.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  if (fd >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &fd, sizeof(int));
  }
  while (true) {
    if (sendmsg(socket, &message, MSG_NOSIGNAL) >= 0) return true;
    if (errno == EINTR) continue;
    return false;
  }
}

/// The packet's text and descriptor; nothing at the end of the stream.
std::optional<std::pair<std::string, int>> receive_packet(int socket, int flags,
                                                          bool* would_block) {
  std::string text(kMaxMessage, '\0');
  iovec part{text.data(), text.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  ssize_t n = 0;
  do {
    n = recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC);
  } while (n < 0 && errno == EINTR);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
    if (would_block != nullptr) *would_block = true;
    return std::nullopt;
  }
  if (n <= 0) return std::nullopt;
  text.resize(static_cast<std::size_t>(n));
  int fd = -1;
  for (cmsghdr* h = CMSG_FIRSTHDR(&message); h != nullptr; h = CMSG_NXTHDR(&message, h)) {
    if (h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS) {
      std::memcpy(&fd, CMSG_DATA(h), sizeof(int));
    }
  }
  return std::make_pair(std::move(text), fd);
}

}  // namespace

bool send_order(int socket, const Order& order) {
  json j = {{"command", static_cast<int>(order.command)}};
  if (order.command == Command::job) j["job"] = job_json(order.job);
  return send_packet(socket, j.dump(-1, ' ', false, json::error_handler_t::replace), order.lock_fd);
}

std::optional<Order> receive_order(int socket) {
  auto packet = receive_packet(socket, 0, nullptr);
  if (!packet) return std::nullopt;
  const json j = json::parse(packet->first);
  Order order;
  order.command = static_cast<Command>(j.at("command").get<int>());
  order.lock_fd = packet->second;
  if (order.command == Command::job) order.job = job_from(j.at("job"));
  return order;
}

bool send_event(int socket, const Event& event) {
  json files = json::array();
  for (const FileDigest& f : event.files) files.push_back({f.path, f.size, f.sha256});
  constexpr std::size_t kMaxText = 32 * 1024;  // A plugin may log what it likes.
  const json j = {
      {"kind", static_cast<int>(event.kind)},
      {"level", static_cast<int>(event.level)},
      {"name", event.name},
      {"text", event.text.substr(0, kMaxText)},
      {"done", std::isfinite(event.done) ? event.done : 0.0},
      {"total", std::isfinite(event.total) ? event.total : 0.0},
      {"unit", event.unit},
      {"exit_code", event.exit_code},
      {"files", files},
      {"usage", {event.usage.wall_ms, event.usage.cpu_ms, event.usage.peak_rss_bytes}},
  };
  return send_packet(socket, j.dump(-1, ' ', false, json::error_handler_t::replace), -1);
}

std::optional<Event> receive_event(int socket, bool* would_block) {
  *would_block = false;
  auto packet = receive_packet(socket, MSG_DONTWAIT, would_block);
  if (!packet) return std::nullopt;
  if (packet->second >= 0) close(packet->second);
  const json j = json::parse(packet->first);
  Event event;
  event.kind = static_cast<Event::Kind>(j.at("kind").get<int>());
  event.level = static_cast<LogLevel>(j.at("level").get<int>());
  event.name = j.at("name");
  event.text = j.at("text");
  event.done = j.at("done");
  event.total = j.at("total");
  event.unit = j.at("unit");
  event.exit_code = j.at("exit_code");
  for (const json& f : j.at("files")) event.files.push_back({f.at(0), f.at(1), f.at(2)});
  event.usage = {j.at("usage").at(0), j.at("usage").at(1), j.at("usage").at(2)};
  return event;
}

}  // namespace cifarpipe
