#include "pipeline/random_id.hpp"

#include <fmt/format.h>
#include <sys/random.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <ctime>

#include "pipeline/digest.hpp"
#include "pipeline/error.hpp"

namespace cifarpipe {

std::string random_id() {
  std::array<std::uint8_t, 16> bytes{};
  if (getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    throw system_error("cannot read random bytes", errno);
  }
  return hex(bytes);
}

std::int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

namespace {
std::tm utc(std::int64_t ms) {
  const std::time_t seconds = ms / 1000;
  std::tm t{};
  gmtime_r(&seconds, &t);
  return t;
}
}  // namespace

std::string folder_time(std::int64_t ms) {
  const std::tm t = utc(ms);
  return fmt::format("{:04}{:02}{:02}-{:02}{:02}{:02}", t.tm_year + 1900, t.tm_mon + 1, t.tm_mday,
                     t.tm_hour, t.tm_min, t.tm_sec);
}

std::string log_time(std::int64_t ms) {
  const std::tm t = utc(ms);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", t.tm_year + 1900, t.tm_mon + 1,
                     t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec, ms % 1000);
}

}  // namespace cifarpipe
