#include "pipeline/value_json.hpp"

#include <cmath>

namespace cifarpipe {

using nlohmann::ordered_json;

ordered_json number_json(double value) {
  return std::isfinite(value) ? ordered_json(value) : ordered_json(number_text(value));
}

ordered_json value_json(const Value& value) {
  return std::visit(
      [](const auto& v) -> ordered_json {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<T, double>) {
          return number_json(v);
        } else if constexpr (std::is_same_v<T, std::vector<double>>) {
          ordered_json out = ordered_json::array();
          for (const double number : v) out.push_back(number_json(number));
          return out;
        } else if constexpr (std::is_same_v<T, Groups>) {
          ordered_json out = ordered_json::object();
          for (const auto& [name, members] : v) out[name] = members;
          return out;
        } else {
          return v;
        }
      },
      value);
}

}  // namespace cifarpipe
