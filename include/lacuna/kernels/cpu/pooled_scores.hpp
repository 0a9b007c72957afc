#pragma once

#include <algorithm>
#include <limits>

#include "lacuna/kernels/cpu/flash_kernels.hpp"
#include "lacuna/kernels/pooled_scores.hpp"

namespace lacuna {

/// Channels of a pooled row.
constexpr std::int64_t pooled_channels(std::int64_t dim) { return cpu::row_floats(dim); }

/// A tile of scores, and what it is made from.
constexpr std::int64_t pooled_scores_floats(std::int64_t dim) {
  return cpu::dot_tile_floats(dim) + cpu::kStrip * cpu::kPanelKeys;
}

inline Status pooled_scores(Cpu, PooledScoresArgs const& args) {
  if (Status s = args.check(); !s) return s;
  std::int64_t const rows = args.scores.extent(0), blocks = args.scores.extent(1);
  float* const tile = args.scratch;
  float const* queries[cpu::kStrip];
  float const* keys[cpu::kPanelKeys];
  for (std::int64_t r = 0; r < rows; r += cpu::kStrip) {
    std::int64_t const query_count = std::min(cpu::kStrip, rows - r);
    for (std::int64_t i = 0; i < query_count; ++i) queries[i] = args.queries.slice(r + i);
    for (std::int64_t first = 0; first < blocks; first += cpu::kPanelKeys) {
      std::int64_t const count = std::min(cpu::kPanelKeys, blocks - first);
      for (std::int64_t j = 0; j < count; ++j) keys[j] = args.keys.slice(first + j);
      // Blocks that no row of the tile sees need no score.
      if (first <= args.first_block + r + query_count - 1) LACUNA_FOR_TARGET(dot_tile<float>)
      ({queries, query_count, keys, count, args.dim, tile + cpu::kStrip * cpu::kPanelKeys}, false, tile);
      for (std::int64_t i = 0; i < query_count; ++i) {
        float* const row = args.scores.slice(r + i) + first;
        std::int64_t const causal = std::clamp<std::int64_t>(args.first_block + r + i + 1 - first, 0, count);
        std::copy_n(tile + i * cpu::kPanelKeys, causal, row);
        std::fill(row + causal, row + count, -std::numeric_limits<float>::infinity());
      }
    }
  }
  return {};
}

}  // namespace lacuna
