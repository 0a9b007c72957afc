#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "reference/quest.hpp"

namespace reference {

/// Share of attention that each candidate page holds when the last query row attends to the candidates' tokens alone,
/// the mean over query heads [first, last); -inf for the other pages.
inline UnitScores page_attention(Inputs const& in, std::int64_t first, std::int64_t last, Units const& candidates,
                                 std::int64_t page_tokens) {
  UnitScores mass(static_cast<std::size_t>(current_page(in.len_k, page_tokens)),
                  -std::numeric_limits<double>::infinity());
  for (std::int64_t page : candidates) mass[static_cast<std::size_t>(page)] = 0.0;
  for (std::int64_t head = first; head < last; ++head) {
    Keys const keys = page_keys(candidates, page_tokens, in.len_k);
    std::vector<double> weights;
    double highest = -std::numeric_limits<double>::infinity(), total = 0.0;
    for (std::int64_t j : keys) {
      weights.push_back(in.beta() * dot(in.query(in.len_q - 1, head), in.key(j, in.head_kv(head)), in.dim));
      highest = std::max(highest, weights.back());
    }
    for (double& weight : weights) total += weight = std::exp(weight - highest);
    for (std::size_t i = 0; i < keys.size(); ++i)
      mass[static_cast<std::size_t>(keys[i] / page_tokens)] += weights[i] / total / static_cast<double>(last - first);
  }
  return mass;
}

}  // namespace reference
