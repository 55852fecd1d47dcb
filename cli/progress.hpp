// How a run looks to whoever watches: a live line a running stage on a terminal, plain lines
// elsewhere, one JSON object a line for programs. stderr, but for JSON. Supervisor's thread.
#pragma once

#include <filesystem>
#include <memory>

#include "pipeline/observer.hpp"

namespace cifarpipe::cli {

enum class Verbosity { quiet, normal, verbose };

/// `live`: stderr is a terminal that can be redrawn.
std::unique_ptr<RunObserver> make_text_progress(Verbosity verbosity, bool live, bool color);
std::unique_ptr<RunObserver> make_json_progress();

/// A path as one would type it: without the folder that the program was called in.
std::string typed_path(const std::filesystem::path& path);

}  // namespace cifarpipe::cli
