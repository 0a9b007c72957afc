#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "reference/ranking.hpp"
#include "reference/snap_kv.hpp"

namespace reference {

/// Highest attention that each token of one KV head receives from any of the last queries of any head of the group.
inline UnitScores window_peak(Inputs const& in, std::int64_t head_kv, std::int64_t window) {
  UnitScores peak(static_cast<std::size_t>(in.len_k));
  for (std::int64_t g = 0; g < in.group(); ++g)
    for (auto const& row : window_attention(in, head_kv * in.group() + g, window))
      for (std::size_t j = 0; j < peak.size(); ++j)
        if (std::isnan(row[j]) || row[j] > peak[j]) peak[j] = row[j];
  return peak;
}

/// Two stages. First every head keeps its best `floor` units; then the best of all other units, wherever they are, fill
/// the pool. Ties go to the lower head, then to the lower unit.
inline std::vector<Units> adaptive_units(std::vector<UnitScores> const& raw, std::vector<Units> const& forced,
                                         std::int64_t pool, std::int64_t floor) {
  std::vector<Units> kept;
  struct Other {
    double score;
    std::size_t head;
    std::int64_t unit;
  };
  std::vector<Other> others;
  for (std::size_t head = 0; head < raw.size(); ++head) {
    kept.push_back(top_units(raw[head], forced[head], floor));
    pool -= static_cast<std::int64_t>(kept[head].size());
    UnitScores const scores = ranked_scores(raw[head], forced[head]);
    for (std::int64_t unit = 0; unit < static_cast<std::int64_t>(scores.size()); ++unit)
      if (!std::binary_search(kept[head].begin(), kept[head].end(), unit))
        others.push_back({scores[static_cast<std::size_t>(unit)], head, unit});
  }
  std::stable_sort(others.begin(), others.end(), [](Other const& a, Other const& b) { return a.score > b.score; });
  for (std::size_t i = 0; i < others.size() && pool > 0; ++i, --pool) kept[others[i].head].push_back(others[i].unit);
  for (Units& units : kept) std::sort(units.begin(), units.end());
  return kept;
}

}  // namespace reference
