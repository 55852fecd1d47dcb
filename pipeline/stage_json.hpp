// The two files that the store itself writes into a result: stage.json, which tells what the result
// is, and metrics.jsonl, its points. Their format is stable and documented in docs/store.md.
// Values only: any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/recorder.hpp"

namespace cifarpipe {

/// The format number in stage.json. Another number is another program's result.
inline constexpr int kStageJsonFormat = 1;

/// What stage.json says.
struct StageJson {
  ResultRecord record;
  std::uint64_t points = 0;
  FileDigest metrics;  ///< Of metrics.jsonl.
};

std::string write_stage_json(const StageJson& stage);
/// Nothing if the text is not a stage.json of this format; `why` then says what is wrong with it.
std::optional<StageJson> read_stage_json(std::string_view text, std::string& why);

/// One object a line: {"metric":"loss","step":1,"time_ms":0,"value":0.5}; NaN and infinities are
/// strings.
std::string write_metrics_jsonl(const std::vector<VisiblePoint>& points);
/// Throws Error with the line that is wrong.
std::vector<VisiblePoint> read_metrics_jsonl(std::string_view text);

}  // namespace cifarpipe
