#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "reference/inputs.hpp"
#include "reference/window.hpp"

namespace reference {

/// The root of the Jensen-Shannon divergence, natural logarithms, between what the last `tokens` queries of a head give
/// to each block of keys, and the softmax of their mean against the blocks' mean keys.
inline double root_divergence(Inputs const& in, std::int64_t head, std::int64_t tokens) {
  std::int64_t const blocks = (in.len_k + tokens - 1) / tokens, window = std::min(tokens, in.len_q);
  std::vector<double> observed(static_cast<std::size_t>(blocks)), pooled(observed),
      mean(static_cast<std::size_t>(in.dim));
  double total = 0.0;
  for (auto const& row : window_attention(in, head, window))
    for (std::size_t j = 0; j < row.size(); ++j) {
      observed[j / static_cast<std::size_t>(tokens)] += row[j];
      total += row[j];
    }
  for (std::int64_t row = in.len_q - window; row < in.len_q; ++row)
    for (std::size_t x = 0; x < mean.size(); ++x) mean[x] += in.query(row, head)[x] / static_cast<double>(window);
  double highest = -1e300, sum = 0.0;
  std::int64_t const oldest =
      in.window_tokens == 0 ? 0
                            : std::max<std::int64_t>(in.position(in.len_q - window) + 1 - in.window_tokens, 0) / tokens;
  for (std::int64_t b = oldest; b < blocks; ++b) {
    std::int64_t const end = std::min((b + 1) * tokens, in.len_k);
    double logit = 0.0;
    for (std::int64_t j = b * tokens; j < end; ++j)
      logit += dot(mean.data(), in.key(j, in.head_kv(head)), in.dim) / static_cast<double>(end - b * tokens);
    pooled[static_cast<std::size_t>(b)] = in.capped(in.beta() * logit);
    highest = std::max(highest, pooled[static_cast<std::size_t>(b)]);
  }
  for (std::size_t b = static_cast<std::size_t>(oldest); b < pooled.size(); ++b)
    sum += pooled[b] = std::exp(pooled[b] - highest);
  double divergence = 0.0;
  for (std::size_t b = 0; b < pooled.size(); ++b) {
    double const p = pooled[b] / sum, q = observed[b] / total, m = (p + q) / 2.0;
    if (p > 0.0) divergence += 0.5 * p * std::log(p / m);
    if (q > 0.0) divergence += 0.5 * q * std::log(q / m);
  }
  return std::sqrt(std::max(divergence, 0.0));
}

}  // namespace reference
