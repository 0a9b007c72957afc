#pragma once

#include <cstdint>
#include <vector>

#include "reference/inputs.hpp"
#include "reference/ranking.hpp"
#include "reference/window.hpp"

namespace reference {

/// Mean of `width` neighbours around each entry. What lies outside counts as 0 and still counts: the ends are damped.
inline UnitScores smooth(UnitScores const& scores, std::int64_t width) {
  std::int64_t const n = static_cast<std::int64_t>(scores.size());
  UnitScores smoothed(scores.size());
  for (std::int64_t j = 0; j < n; ++j) {
    for (std::int64_t x = -(width - 1) / 2; x <= (width - 1) / 2; ++x)
      if (j + x >= 0 && j + x < n) smoothed[static_cast<std::size_t>(j)] += scores[static_cast<std::size_t>(j + x)];
    smoothed[static_cast<std::size_t>(j)] /= static_cast<double>(width);
  }
  return smoothed;
}

/// Attention that each token of one KV head receives from the last queries: mean over the group, then sum over the
/// window.
inline UnitScores window_mass(Inputs const& in, std::int64_t head_kv, std::int64_t window) {
  UnitScores mass(static_cast<std::size_t>(in.len_k));
  for (std::int64_t g = 0; g < in.group(); ++g)
    for (auto const& row : window_attention(in, head_kv * in.group() + g, window))
      for (std::size_t j = 0; j < mass.size(); ++j) mass[j] += row[j] / static_cast<double>(in.group());
  return mass;
}

struct SnapKvRule {
  std::int64_t capacity = 0;
  std::int64_t window = 256;
  std::int64_t smoothing = 21;
  std::int64_t sink_tokens = 4;
  std::int64_t recent_tokens = 128;
};

/// Tokens that one KV head keeps, ascending; all of them when they fit.
inline Units snap_kv_tokens(Inputs const& in, std::int64_t head_kv, SnapKvRule const& rule) {
  if (in.len_k <= rule.capacity) return both_ends(in.len_k, in.len_k, 0);
  UnitScores const scores = smooth(window_mass(in, head_kv, rule.window), rule.smoothing);
  return top_units(scores, both_ends(in.len_k, rule.sink_tokens, rule.recent_tokens), rule.capacity);
}

}  // namespace reference
