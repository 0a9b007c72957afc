#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "reference/inputs.hpp"
#include "reference/ranking.hpp"

namespace reference {

/// Softmax weights that query row `row` gives to these tokens of a KV head, the mean over the group.
inline UnitScores held_weights(Inputs const& in, std::int64_t row, std::int64_t head_kv, Units const& held) {
  UnitScores mean(held.size());
  for (std::int64_t g = 0; g < in.group(); ++g) {
    std::vector<double> logits;
    double highest = -std::numeric_limits<double>::infinity(), total = 0.0;
    for (std::int64_t token : held) {
      logits.push_back(in.beta() * dot(in.query(row, head_kv * in.group() + g), in.key(token, head_kv), in.dim));
      highest = std::isnan(logits.back()) ? logits.back() : std::max(highest, logits.back());
    }
    for (double& logit : logits) total += logit = std::exp(logit - highest);
    for (std::size_t i = 0; i < held.size(); ++i) mean[i] += logits[i] / total / static_cast<double>(in.group());
  }
  return mean;
}

/// The best `count` units, of units that tie the later ones.
inline Units top_later_units(UnitScores scores, Units const& forced, std::int64_t count) {
  std::int64_t const last = static_cast<std::int64_t>(scores.size()) - 1;
  std::reverse(scores.begin(), scores.end());
  Units mirrored_forced;
  for (std::int64_t unit : forced) mirrored_forced.push_back(last - unit);
  Units units = top_units(scores, mirrored_forced, count);
  for (std::int64_t& unit : units) unit = last - unit;
  std::sort(units.begin(), units.end());
  return units;
}

}  // namespace reference
