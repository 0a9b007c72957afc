#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "reference/inputs.hpp"

namespace reference {

/// Causal attention of the last w = min(window, len_q) queries of one head over all keys, row by row. // [w, len_k]
/// A NaN spoils the whole row as far as the query sees; what it does not see gets 0 from it whatever happens.
inline std::vector<std::vector<double>> window_attention(Inputs const& in, std::int64_t head, std::int64_t window) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  std::int64_t const rows = std::min(window, in.len_q);
  std::vector<std::vector<double>> attention;
  for (std::int64_t t = 0; t < rows; ++t) {
    std::int64_t const row = in.len_q - rows + t;
    std::vector<double> p(static_cast<std::size_t>(in.len_k));
    std::int64_t const seen = in.position(row) + 1;
    std::int64_t const first = in.window_tokens == 0 ? 0 : std::max<std::int64_t>(seen - in.window_tokens, 0);
    double const sink = in.sink_logits.empty() ? -kInf : in.sink_logits[static_cast<std::size_t>(head)];
    double highest = sink;
    for (std::int64_t j = first; j < seen; ++j) {
      double const logit = in.capped(in.beta() * dot(in.query(row, head), in.key(j, in.head_kv(head)), in.dim));
      p[static_cast<std::size_t>(j)] = logit;
      highest = std::isnan(logit) ? logit : std::max(highest, logit);
    }
    double total = std::exp(sink - highest);
    for (auto x = p.begin() + first; x != p.begin() + seen; ++x) total += * x = std::exp(*x - highest);
    for (auto x = p.begin() + first; x != p.begin() + seen; ++x) *x /= total;
    attention.push_back(p);
  }
  return attention;
}

}  // namespace reference
