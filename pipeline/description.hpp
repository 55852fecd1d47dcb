// A stage's description as JSON text and back, exactly: what a plugin file carries, so that
// `check`, `plan` and `stages` know its stages without loading it. Also the rules that every
// description must keep, checked when a plugin is built. Values only: any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "pipeline/stage.hpp"

namespace cifarpipe {

/// Throws Error if a text in it is not UTF-8.
std::string to_json(const StageDescription& description);

/// Throws Error if the text is not what `to_json` gives.
StageDescription description_from_json(std::string_view text);

/// What is wrong with a description, one clause each: "parameter 'lr' has the default 2.0, which
/// its range [0.0, 1.0] excludes". Empty: it can be used.
std::vector<std::string> description_problems(const StageDescription& description);

}  // namespace cifarpipe
