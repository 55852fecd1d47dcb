#include "stages/evaluate/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace cifarpipe {
namespace {

/// As CSV wants it (RFC 4180): quoted if it must be.
std::string csv(const std::string& field) {
  if (field.find_first_of(",\"\r\n") == std::string::npos) return field;
  std::string out = "\"";
  for (const char c : field) out += c == '"' ? "\"\"" : std::string(1, c);
  return out + '"';
}

double ratio(std::int64_t part, std::int64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace

std::optional<double> EvaluationReport::WithoutDuplicates::accuracy() const {
  if (images == 0) return std::nullopt;
  return ratio(correct, images);
}

EvaluationReport::EvaluationReport(ReportOptions options, learn::ModelInfo model)
    : options_(std::move(options)),
      model_(std::move(model)),
      counts_(model_.classes.size(), std::vector<std::int64_t>(model_.classes.size())),
      calibration_(options_.calibration_bins) {}

void EvaluationReport::add(const learn::Judgement& judgement, std::int32_t index) {
  rows_.push_back({index, judgement});
  ++counts_[static_cast<std::size_t>(judgement.label)]
           [static_cast<std::size_t>(judgement.predicted)];
  const bool right = judgement.predicted == judgement.label;
  calibration_.add(judgement.confidence, right);
  loss_sum_ += judgement.loss;
  correct_ += right ? 1 : 0;
  top5_ += judgement.label_rank < 5 ? 1 : 0;
  topk_ += judgement.label_rank < options_.top_k ? 1 : 0;
}

void EvaluationReport::leave_out(const std::set<std::int64_t>& indices) {
  WithoutDuplicates rest;
  for (const auto& [index, j] : rows_) {
    if (indices.contains(index)) {
      ++rest.duplicates;
    } else {
      ++rest.images;
      rest.correct += j.predicted == j.label ? 1 : 0;
    }
  }
  without_ = rest;
}

std::vector<EvaluationReport::Row> EvaluationReport::worst(std::size_t count) const {
  std::vector<Row> wrong;
  for (const Row& row : rows_) {
    if (row.judgement.predicted != row.judgement.label) wrong.push_back(row);
  }
  std::stable_sort(wrong.begin(), wrong.end(), [](const Row& a, const Row& b) {
    return learn::surer(a.judgement, b.judgement);
  });
  if (wrong.size() > count) wrong.resize(count);
  return wrong;
}

double EvaluationReport::loss() const {
  return rows_.empty() ? 0 : loss_sum_ / static_cast<double>(rows_.size());
}

double EvaluationReport::accuracy() const {
  return ratio(correct_, images());
}

double EvaluationReport::top5_accuracy() const {
  return ratio(top5_, images());
}

double EvaluationReport::topk_accuracy() const {
  return ratio(topk_, images());
}

std::int64_t EvaluationReport::class_images(std::size_t label) const {
  std::int64_t sum = 0;
  for (const auto count : counts_[label]) sum += count;
  return sum;
}

void EvaluationReport::write(const std::filesystem::path& dir) const {
  learn::write_text(dir / "confusion.csv", confusion_csv());
  learn::write_text(dir / "per_class.csv", per_class_csv());
  learn::write_text(dir / "calibration.csv", calibration_csv());
  learn::write_text(dir / "predictions.csv", predictions_csv());
  learn::write_text(dir / "summary.json", summary_json());
}

std::string EvaluationReport::confusion_csv() const {
  std::string out = "label";
  for (const auto& name : model_.classes) out += "," + csv(name);
  out += "\n";
  for (std::size_t label = 0; label < counts_.size(); ++label) {
    out += csv(model_.classes[label]);
    for (const auto count : counts_[label]) out += fmt::format(",{}", count);
    out += "\n";
  }
  return out;
}

std::string EvaluationReport::per_class_csv() const {
  std::string out =
      "class,images,correct,accuracy,accuracy_low,accuracy_high,predicted,precision,recall,f1\n";
  const auto classes = learn::class_metrics(counts_);
  for (std::size_t label = 0; label < classes.size(); ++label) {
    const learn::ClassMetrics& c = classes[label];
    const learn::Interval interval = learn::wilson(c.correct, c.images);
    const auto figure = [&](double value) {
      return c.images == 0 ? "" : fmt::format("{:.6g}", value);
    };
    out += fmt::format("{},{},{},{},{},{},{},{},{},{}\n", csv(model_.classes[label]), c.images,
                       c.correct, figure(c.recall), figure(interval.low), figure(interval.high),
                       c.predicted, figure(c.precision), figure(c.recall), figure(c.f1));
  }
  return out;
}

std::string EvaluationReport::calibration_csv() const {
  std::string out = "lower,upper,images,confidence,accuracy\n";
  for (const learn::CalibrationBin& bin : calibration_.bins()) {
    out += fmt::format("{:.6g},{:.6g},{},", bin.lower, bin.upper, bin.images);
    out +=
        bin.images == 0 ? ",\n" : fmt::format("{:.6g},{:.6g}\n", bin.confidence(), bin.accuracy());
  }
  return out;
}

std::string EvaluationReport::predictions_csv() const {
  std::string out =
      "index,label,predicted,label_name,predicted_name,confidence,label_probability,correct\n";
  for (const auto& [index, j] : rows_) {
    out += fmt::format("{},{},{},{},{},{:.6g},{:.6g},{}\n", index, j.label, j.predicted,
                       csv(model_.classes[static_cast<std::size_t>(j.label)]),
                       csv(model_.classes[static_cast<std::size_t>(j.predicted)]), j.confidence,
                       j.label_probability, j.label == j.predicted ? 1 : 0);
  }
  return out;
}

std::string EvaluationReport::summary_json() const {
  using Json = nlohmann::ordered_json;
  const auto pair = [](const learn::Interval& i) { return Json::array({i.low, i.high}); };
  Json json;
  json["split"] = options_.split;
  json["images"] = images();
  json["tta"] = options_.tta;
  json["loss"] = loss();
  json["accuracy"] = accuracy();
  json["accuracy_interval_95"] = pair(interval());
  json["top5_accuracy"] = top5_accuracy();
  json["top_k"] = options_.top_k;
  json["topk_accuracy"] = topk_accuracy();
  const learn::MacroMetrics mean = macro();
  json["macro_precision"] = mean.precision;
  json["macro_recall"] = mean.recall;
  json["macro_f1"] = mean.f1;
  json["calibration_error"] = calibration_.expected_error();
  json["largest_calibration_error"] = calibration_.largest_error();
  if (without_) {
    json["duplicates"] = without_->duplicates;
    const auto rest = without_->accuracy();
    json["accuracy_without_duplicates"] = rest ? Json(*rest) : Json();
    json["accuracy_without_duplicates_interval_95"] =
        rest ? pair(learn::wilson(without_->correct, without_->images)) : Json();
  }
  Json& accuracies = json["class_accuracy"] = Json::object();
  Json& classes = json["classes"] = Json::array();
  const auto metrics = learn::class_metrics(counts_);
  for (std::size_t label = 0; label < metrics.size(); ++label) {
    const learn::ClassMetrics& c = metrics[label];
    const auto figure = [&](const Json& value) { return c.images == 0 ? Json() : value; };
    accuracies[model_.classes[label]] = figure(c.recall);
    classes.push_back({{"class", model_.classes[label]},
                       {"images", c.images},
                       {"correct", c.correct},
                       {"predicted", c.predicted},
                       {"precision", figure(c.precision)},
                       {"recall", figure(c.recall)},
                       {"f1", figure(c.f1)},
                       {"accuracy_interval_95", figure(pair(learn::wilson(c.correct, c.images)))}});
  }
  json["architecture"] = model_.architecture;
  json["parameters"] = model_.parameters;
  if (!model_.groups.empty()) json["groups"] = model_.groups;
  return json.dump(2) + "\n";
}

}  // namespace cifarpipe
