#include "stages/preprocess/share.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "pipeline/error.hpp"

namespace cifarpipe::preprocess {
namespace {

/// The finaliser of splitmix64. Ranks depend on seed and place alone, so that the same images are
/// chosen on every machine; std::shuffle's result is not fixed by the standard.
std::uint64_t rank_of(std::uint64_t seed, std::uint64_t position) {
  std::uint64_t x = seed ^ (position + 1) * 0x9e3779b97f4a7c15u;
  for (int round = 0; round < 2; ++round) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    x ^= x >> 31;
  }
  return x;
}

/// How many of each class: whole parts first, then one more where most was cut off.
std::vector<std::int64_t> shares(const std::vector<std::int64_t>& counts, double fraction) {
  std::vector<std::int64_t> result;
  std::vector<std::pair<double, std::size_t>> cut;
  std::int64_t all = 0;
  std::int64_t given = 0;
  for (std::size_t c = 0; c < counts.size(); ++c) {
    const double share = static_cast<double>(counts[c]) * fraction;
    result.push_back(static_cast<std::int64_t>(std::floor(share)));
    cut.emplace_back(static_cast<double>(result.back()) - share, c);
    all += counts[c];
    given += result.back();
  }
  std::sort(cut.begin(), cut.end());
  const std::int64_t wanted = std::llround(static_cast<double>(all) * fraction);
  for (std::size_t i = 0; i < cut.size() && given < wanted && cut[i].first < 0; ++i, ++given) {
    ++result[cut[i].second];
  }
  return result;
}

}  // namespace

std::vector<bool> choose_share(std::span<const std::int32_t> labels,
                               const std::vector<std::string>& classes, double fraction,
                               std::uint64_t seed, const std::string& parameter) {
  std::vector<bool> chosen(labels.size(), false);
  if (fraction <= 0) return chosen;
  std::vector<std::vector<std::pair<std::uint64_t, std::size_t>>> members(classes.size());
  for (std::size_t i = 0; i < labels.size(); ++i) {
    members[static_cast<std::size_t>(labels[i])].emplace_back(rank_of(seed, i), i);
  }
  std::vector<std::int64_t> counts;
  for (const auto& m : members) counts.push_back(static_cast<std::int64_t>(m.size()));
  const std::vector<std::int64_t> share = shares(counts, fraction);
  for (std::size_t c = 0; c < members.size(); ++c) {
    if (share[c] > 0 && share[c] == counts[c]) {
      throw Error(
          fmt::format("{} = {} takes {} of class '{}', and none is left to train on: lower "
                      "{}, or add images of that class",
                      parameter, fraction,
                      counts[c] == 1 ? "the only image" : fmt::format("all {} images", counts[c]),
                      classes[c], parameter),
          ErrorKind::usage);
    }
    std::sort(members[c].begin(), members[c].end());
    for (std::int64_t i = 0; i < share[c]; ++i) {
      chosen[members[c][static_cast<std::size_t>(i)].second] = true;
    }
  }
  return chosen;
}

}  // namespace cifarpipe::preprocess
