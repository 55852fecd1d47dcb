// From a node of the file to a checked value of a parameter. Internal to the configuration.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "pipeline/config_tree.hpp"
#include "pipeline/schema.hpp"

namespace cifarpipe::config {

/// The value of `field` that `node` writes, or nothing after an error that calls it `label`.
std::optional<Value> coerce(Context& context, const Node& node, const FieldInfo& field,
                            std::string_view label);

/// "1e-08", "100": as ranges are shown.
std::string short_number(double value);

}  // namespace cifarpipe::config
