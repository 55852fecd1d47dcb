// Averages of the weights over the course of training: what is validated and kept in the end.
// Stage's thread only.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "stages/learn/model.hpp"

namespace cifarpipe::learn {

/// "ema": the average follows the weights, which go their own way; batch norms' running statistics
/// are averaged too. "lookahead": the weights are set to the average each time it moves, whose
/// memory grows from nothing with the third power of the share of training that is done
/// (airbench, arXiv 2404.00498).
struct AveragingOptions {
  std::string rule = "none";
  double decay = 0.999;  ///< A step.
  int every = 1;         ///< Steps between two moves.
};

class Averaging {
 public:
  /// Shares the model's tensors.
  Averaging(AveragingOptions options, const Model& model);

  bool on() const { return options_.rule != "none"; }
  /// After an optimiser step: `steps` are done of `total`.
  void after_step(std::int64_t steps, std::int64_t total);
  /// The averages, named as the model's tensors; empty when off.
  const std::vector<NamedTensor>& averages() const { return averages_; }
  /// Exchanges the averages and the model's weights. Twice is as before.
  void swap();

 private:
  void move(double decay);

  AveragingOptions options_;
  std::vector<NamedTensor> weights_;
  std::vector<NamedTensor> averages_;
};

/// The averages while it lives, then the weights again.
class AveragedScope {
 public:
  explicit AveragedScope(Averaging& averaging) : averaging_(averaging) { averaging_.swap(); }
  AveragedScope(const AveragedScope&) = delete;
  AveragedScope& operator=(const AveragedScope&) = delete;
  ~AveragedScope() { averaging_.swap(); }

 private:
  Averaging& averaging_;
};

}  // namespace cifarpipe::learn
