#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "reference/inputs.hpp"
#include "reference/ranking.hpp"
#include "reference/window.hpp"

namespace reference {

struct VerticalSlashScores {
  UnitScores columns;  // a[j], j = key position
  UnitScores slashes;  // c[o], o = query position - key position
};

/// Column and diagonal sums of the last queries' attention, before anything is forced.
inline VerticalSlashScores vertical_slash_scores(Inputs const& in, std::int64_t head, std::int64_t window) {
  auto const attention = window_attention(in, head, window);
  std::size_t const n = static_cast<std::size_t>(in.len_k);
  std::size_t const w = attention.size();
  VerticalSlashScores scores{UnitScores(n), UnitScores(n)};
  for (std::size_t t = 0; t < w; ++t) {
    std::size_t const position = n - w + t;
    for (std::size_t j = 0; j < n; ++j) scores.columns[j] += attention[t][j];
    for (std::size_t o = 0; o <= position; ++o) scores.slashes[o] += attention[t][position - o];
  }
  return scores;
}

/// What one block of `tile` query rows reads: the first key of each tile of `tile` keys, and single columns.
struct VerticalSlashRow {
  Units tiles;
  Units columns;
  bool operator==(VerticalSlashRow const&) const = default;
};

/// Tile conversion of query block m (the paper's kernel has tile = 64). Only offsets below the block's end count; the
/// farthest comes first. An interval grows by one whole tile at a time and is never stretched to where the next
/// diagonal asks.
inline VerticalSlashRow convert_row(Units const& vertical, Units const& slash, std::int64_t m, std::int64_t tile) {
  std::int64_t const end = tile * (m + 1);
  std::vector<std::int64_t> interval_ends;
  for (std::int64_t o : slash)
    if (o < end) interval_ends.push_back(std::max(end - o, tile));
  std::sort(interval_ends.begin(), interval_ends.end());

  std::vector<std::pair<std::int64_t, std::int64_t>> intervals;
  for (std::int64_t e : interval_ends) {
    if (intervals.empty() || e > intervals.back().second + tile)
      intervals.push_back({e - tile, e});
    else if (e > intervals.back().second)
      intervals.back().second += tile;
  }

  VerticalSlashRow row;
  for (auto const& [first, last] : intervals)
    for (std::int64_t start = first; start < last; start += tile) row.tiles.push_back(start);
  for (std::int64_t v : vertical) {
    bool inside = intervals.empty() || v >= intervals.back().second;
    for (auto const& [first, last] : intervals) inside = inside || (v >= first && v < last);
    if (!inside) row.columns.push_back(v);
  }
  return row;
}

/// E(i) of the query at position i.
inline Keys vertical_slash_keys(Units const& vertical, Units const& slash, std::int64_t i, std::int64_t tile) {
  VerticalSlashRow const row = convert_row(vertical, slash, i / tile, tile);
  Keys keys;
  for (std::int64_t start : row.tiles)
    for (std::int64_t j = start; j < start + tile && j <= i; ++j) keys.push_back(j);
  for (std::int64_t v : row.columns)
    if (v <= i) keys.push_back(v);
  std::sort(keys.begin(), keys.end());
  return keys;
}

/// Where the method has nothing to say and dense attention runs instead.
inline bool vertical_slash_is_dense(std::int64_t len, std::int64_t window, std::int64_t slashes, std::int64_t tile) {
  return len < tile || std::min(window, len) < 2 || slashes >= len;
}

/// The paper's own measure: whole tiles and whole columns, also where they reach over the diagonal. May be negative.
inline double vertical_slash_paper_sparsity(Units const& vertical, Units const& slash, std::int64_t len,
                                            std::int64_t tile) {
  double cells = 0.0;
  for (std::int64_t m = 0; m * tile < len; ++m) {
    VerticalSlashRow const row = convert_row(vertical, slash, m, tile);
    cells += static_cast<double>(tile * tile) * static_cast<double>(row.tiles.size());
    cells += static_cast<double>(tile) * static_cast<double>(row.columns.size());
  }
  return 1.0 - cells / (0.5 * static_cast<double>(len) * static_cast<double>(len + 1));
}

}  // namespace reference
