#include "stages/evaluate/report.hpp"

#include <fmt/format.h>

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

EvaluationReport::EvaluationReport(std::string split, learn::ModelInfo model)
    : split_(std::move(split)),
      model_(std::move(model)),
      counts_(model_.classes.size(), std::vector<std::int64_t>(model_.classes.size())) {}

void EvaluationReport::add(const learn::Judgement& judgement, std::int32_t index) {
  rows_.push_back({index, judgement});
  ++counts_[static_cast<std::size_t>(judgement.label)]
           [static_cast<std::size_t>(judgement.predicted)];
  loss_sum_ += judgement.loss;
  correct_ += judgement.predicted == judgement.label ? 1 : 0;
  top5_ += judgement.label_rank < 5 ? 1 : 0;
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

std::int64_t EvaluationReport::class_images(std::size_t label) const {
  std::int64_t sum = 0;
  for (const auto count : counts_[label]) sum += count;
  return sum;
}

void EvaluationReport::write(const std::filesystem::path& dir) const {
  learn::write_text(dir / "confusion.csv", confusion_csv());
  learn::write_text(dir / "per_class.csv", per_class_csv());
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
  std::string out = "class,images,correct,accuracy,predicted,precision\n";
  for (std::size_t label = 0; label < counts_.size(); ++label) {
    std::int64_t predicted = 0;
    for (const auto& row : counts_) predicted += row[label];
    const auto images = class_images(label);
    const auto correct = class_correct(label);
    out += fmt::format("{},{},{},{:.6g},{},{:.6g}\n", csv(model_.classes[label]), images, correct,
                       ratio(correct, images), predicted, ratio(correct, predicted));
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
  nlohmann::ordered_json json;
  json["split"] = split_;
  json["images"] = images();
  json["loss"] = loss();
  json["accuracy"] = accuracy();
  json["top5_accuracy"] = top5_accuracy();
  auto& classes = json["class_accuracy"] = nlohmann::ordered_json::object();
  for (std::size_t label = 0; label < counts_.size(); ++label) {
    classes[model_.classes[label]] = ratio(class_correct(label), class_images(label));
  }
  json["architecture"] = model_.architecture;
  json["parameters"] = model_.parameters;
  return json.dump(2) + "\n";
}

}  // namespace cifarpipe
