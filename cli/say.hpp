// What a person is told beside the result: progress, hints, errors, on stderr. Whoever reads it may
// leave, and the disk that takes it may be full: neither changes what a command does or how it
// ends. Main thread.
#pragma once

#include <fmt/format.h>

#include <string_view>
#include <utility>

namespace cifarpipe::cli {

/// As it stands; no line end is added. Never throws for what cannot be written.
void say_text(std::string_view text);

template <typename... Args>
void say(fmt::format_string<Args...> format, Args&&... args) {
  say_text(fmt::format(format, std::forward<Args>(args)...));
}

/// Opens what the caller closed of stdin, stdout and stderr, so that no file of ours, a database
/// say, gets their numbers and what is printed is written into it. Before anything is opened.
void fill_standard_streams();

}  // namespace cifarpipe::cli
