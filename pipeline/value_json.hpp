// Values as JSON, as every command and the database write them. Not for plugins. Any thread.
#pragma once

#include <nlohmann/json.hpp>

#include "pipeline/value.hpp"

namespace cifarpipe {

/// A number; a string ("nan", "inf", "-inf") where JSON has no number for it.
nlohmann::ordered_json number_json(double value);
/// Groups as an object, in their order.
nlohmann::ordered_json value_json(const Value& value);

}  // namespace cifarpipe
