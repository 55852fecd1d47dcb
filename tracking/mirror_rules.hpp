// The small rules of the mirror: names of its tags, what makes two things the same, and what a
// person can do about a thing that was refused. Pure functions.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tracking/mirror_content.hpp"
#include "tracking/mirror_points.hpp"

namespace cifarpipe::mirror {

inline constexpr const char* kUidTag = "cifarpipe.run_uid";  ///< Our run's id, on its MLflow run.
inline constexpr const char* kModelUidTag = "cifarpipe.model_uid";
inline constexpr const char* kParentTag = "cifarpipe.parent";  ///< Where MLflow cannot nest.
inline constexpr const char* kNonfiniteTag = "cifarpipe.nonfinite";

inline constexpr const char* kTheRun = "the run";  ///< The item that all others depend on.

const std::string* find_tag(const mlflow::Pairs& tags, const std::string& key);
void set_tag(mlflow::Pairs& tags, const std::string& key, const std::string& value);

std::string digest_of(const std::string& text);
std::string digest_of(const mlflow::Pairs& pairs);
std::string digest_of(const mlflow::DatasetInput& dataset);
std::string digest_of(const ModelContent& model);  ///< Without what is asked of the registry.
/// The same input has the same name; what it is of is its digest.
std::string name_of(const mlflow::DatasetInput& dataset);

/// Makes parameters and tags fit: odd keys renamed, long values cut with their full text as an
/// artifact. Sentences that say so.
std::vector<std::string> fit(RunContent& content, const mlflow::Server& server);

/// What a run's pages say of pictures and tables that are on the server stays true when the store
/// has them no more: adds to `tags` what the run's own tags there say of these artifacts.
void keep_logged(mlflow::Pairs& tags, const mlflow::Pairs& there,
                 const std::map<std::string, std::string>& artifacts);

/// An artifact's path without the time in a picture's name: a picture that was made again, and is
/// the same, is not sent again.
std::string timeless(const std::string& path);
/// The same for all of path → digest.
std::map<std::string, std::string> timeless(const std::map<std::string, std::string>& artifacts);

/// A run's name as MLflow can keep it.
std::string run_name(const std::string& name);

/// "train/loss: nan at step 41 to 100 (60 points); …"
std::string nonfinite_text(const std::vector<HeldMetric>& metrics);

/// What a person can do when `item` was refused with `error`; "" if nothing is known.
std::string way_out(const std::string& item, const mlflow::CallError& error);

}  // namespace cifarpipe::mirror
