// Numbers and metrics as a report says them. Values only: any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace cifarpipe::report {

/// Four significant digits; "NaN", "∞", "−∞".
std::string figure(double value);
/// A fraction as "89.15 %", with a space that does not break.
std::string percent(double fraction, int decimals = 2);
/// 1528856 → "1,528,856"
std::string grouped(std::int64_t value);
/// 1528856 → "1.53 M"
std::string compact(double value);
/// "1 image", "2 images"
std::string counted(std::int64_t count, std::string_view singular, std::string_view plural);

/// Metrics that are fractions of one and read best as percentages.
bool is_fraction(std::string_view metric);
/// A metric's value the way its name asks for.
std::string metric_text(std::string_view metric, double value);
/// The direction in which a metric gets better: 1 up, -1 down, 0 neither is known.
int goal_of(std::string_view metric);

}  // namespace cifarpipe::report
