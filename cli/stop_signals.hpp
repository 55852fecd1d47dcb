// The signals that ask a command to stop (INT, TERM, HUP), for commands that look at them where all
// can be tidied up, instead of being ended by them. Main thread.
#pragma once

#include <signal.h>

#include <chrono>

namespace cifarpipe::cli {

sigset_t stop_signals();

/// Blocks them for the rest of the process, and lets broken pipes be errors. Threads and children
/// that are made afterwards inherit it.
void block_stop_signals();

/// The number of a stop signal that has come, or comes within `time`; 0 if none does. They must be
/// blocked.
int next_stop_signal(std::chrono::milliseconds time);

}  // namespace cifarpipe::cli
