// What MLflow takes as a key, a value, a path or a name, and how ours are made to fit. Pure: the
// same in, the same out, so that what is sent again is the same. Lengths are code points.
#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "tracking/mlflow/client.hpp"

namespace cifarpipe::mlflow {

inline constexpr std::size_t kKeyLength = 250;
inline constexpr std::size_t kParamLength = 6000;

/// `key` as a key of a metric, parameter or tag: letters (of any script), digits and "_-. /:" stay,
/// the rest becomes '_'; no empty, "." or ".." parts between slashes; at most 250. Two keys may
/// become one: KeyNames sees to that. `colons`: Server::colons_in_keys.
std::string fitted_key(std::string_view key, bool colons = true);

/// The keys of one kind (metrics, say) of one run, each with a name of its own. A key whose name is
/// taken gets '-' and six hex digits of its hash. Who comes first keeps the plain name, so ask in
/// an order that stays the same (that of the store's rows) and the names do too; keys that are
/// known from the beginning and need no change keep their names in any order.
class KeyNames {
 public:
  explicit KeyNames(bool colons = true, const std::vector<std::string>& known = {});
  const std::string& name(const std::string& key);

 private:
  bool colons_;
  std::map<std::string, std::string> names_;
  std::set<std::string> taken_;
};

/// Pairs that can be sent, and what was done to them: for the one sentence that says it, and for
/// the artifact that keeps the full text.
struct Fit {
  struct Cut {
    std::string key;   ///< Ours.
    std::string name;  ///< In MLflow.
    std::string full;
  };
  Pairs pairs;           ///< Of equal keys the last value, at the first one's place.
  std::vector<Cut> cut;  ///< Values that were too long; they end with "…" in `pairs`.
  Pairs renamed;         ///< Key and name, where they differ.
};
Fit fit_params(const Pairs& params, const Server& server);
Fit fit_tags(const Pairs& tags, const Server& server);
Fit fit_experiment_tags(const Pairs& tags, const Server& server);

/// Why MLflow cannot keep an artifact at this path, as the end of a sentence ("holds '#', …"); ""
/// if it can.
std::string artifact_path_problem(std::string_view path);
/// The path in an URL: every part percent-encoded.
std::string artifact_url_path(std::string_view path);

/// A logged model's name: none of / : . % " ' in it, not empty.
std::string fitted_model_name(std::string_view name);
/// A registered model's name: no / and :, not empty.
std::string fitted_registered_name(std::string_view name);

/// "3.17.2" at or behind "3.17": by its leading numbers. An unknown version ("") is not.
bool version_at_least(std::string_view version, int major, int minor, int patch = 0);

}  // namespace cifarpipe::mlflow
