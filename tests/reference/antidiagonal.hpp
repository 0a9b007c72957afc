#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "reference/inputs.hpp"
#include "reference/ranking.hpp"

namespace reference {

/// Mean share of attention that the query groups of one block give to key blocks 0..m, in groups of `stride` tokens.
/// Queries outside the problem count as zeros, which a NaN key shines through; groups without any query do not count.
inline UnitScores antidiagonal_scores(Inputs const& in, std::int64_t head, std::int64_t m, std::int64_t tokens,
                                      std::int64_t stride) {
  std::int64_t const first_query = in.len_k - in.len_q;
  UnitScores mass(static_cast<std::size_t>(m + 1));
  std::vector<double> const zeros(static_cast<std::size_t>(in.dim));
  double groups = 0.0;
  for (std::int64_t r = m * tokens / stride; r < (m + 1) * tokens / stride; ++r) {
    if ((r + 1) * stride <= first_query || r * stride >= in.len_k) continue;
    groups += 1.0;
    std::vector<double> weights;
    double highest = -std::numeric_limits<double>::infinity(), total = 0.0;
    // Key groups that no query of this one sees are left out.
    std::int64_t const oldest = std::max(r * stride, first_query) + 1 - in.window_tokens;
    std::int64_t const begin = in.window_tokens == 0 ? 0 : std::max<std::int64_t>(oldest, 0) / stride;
    for (std::int64_t c = begin; c <= r; ++c) {
      double sum = 0.0;
      for (std::int64_t u = 0; u < stride; ++u) {
        std::int64_t const i = r * stride + stride - 1 - u, j = c * stride + u;
        if (j >= in.len_k) continue;
        bool const present = i >= first_query && i < in.len_k;
        sum += dot(present ? in.query(i - first_query, head) : zeros.data(), in.key(j, in.head_kv(head)), in.dim);
      }
      weights.push_back(in.capped(sum * in.beta() / static_cast<double>(stride)));
      highest = std::isnan(weights.back()) ? weights.back() : std::max(highest, weights.back());
    }
    for (double& weight : weights) total += weight = std::exp(weight - highest);
    for (std::int64_t c = begin; c <= r; ++c)
      mass[static_cast<std::size_t>(c * stride / tokens)] += weights[static_cast<std::size_t>(c - begin)] / total;
  }
  for (double& share : mass) share /= groups;
  return mass;
}

}  // namespace reference
