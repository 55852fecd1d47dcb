#include "tracking/report/words.hpp"

#include <fmt/format.h>

#include <cmath>

namespace cifarpipe::report {
namespace {

/// "test/class_accuracy/cat" → "class_accuracy/cat"
std::string_view without_stage(std::string_view metric) {
  const std::size_t slash = metric.find('/');
  return slash == std::string_view::npos ? metric : metric.substr(slash + 1);
}

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

}  // namespace

std::string figure(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "∞" : "−∞";
  return fmt::format("{:.4g}", value);
}

std::string percent(double fraction, int decimals) {
  if (!std::isfinite(fraction)) return figure(fraction);
  return fmt::format("{:.{}f}\u00a0%", 100 * fraction, decimals);
}

std::string grouped(std::int64_t value) {
  std::string digits = fmt::format("{}", value);
  const std::size_t sign = value < 0 ? 1 : 0;
  for (std::size_t at = digits.size(); at > sign + 3;) {
    at -= 3;
    digits.insert(at, ",");
  }
  return digits;
}

std::string compact(double value) {
  if (!std::isfinite(value)) return figure(value);
  if (std::abs(value) >= 1e9) return fmt::format("{:.3g} G", value / 1e9);
  if (std::abs(value) >= 1e6) return fmt::format("{:.3g} M", value / 1e6);
  if (std::abs(value) >= 1e4) return fmt::format("{:.3g} k", value / 1e3);
  return fmt::format("{:.4g}", value);
}

std::string counted(std::int64_t count, std::string_view singular, std::string_view plural) {
  return fmt::format("{} {}", grouped(count), count == 1 ? singular : plural);
}

bool is_fraction(std::string_view metric) {
  const std::string_view name = without_stage(metric);
  return has(name, "accuracy") || has(name, "precision") || has(name, "recall") ||
         has(name, "_f1") || name == "calibration_error";
}

std::string metric_text(std::string_view metric, double value) {
  return is_fraction(metric) ? percent(value) : figure(value);
}

int goal_of(std::string_view metric) {
  const std::string_view name = without_stage(metric);
  if (name.ends_with("accuracy_low") || name.ends_with("accuracy_high")) return 0;
  if (is_fraction(metric) && name != "calibration_error") return 1;
  if (has(name, "loss") || has(name, "error")) return -1;
  return name.ends_with("_per_second") ? 1 : 0;
}

}  // namespace cifarpipe::report
