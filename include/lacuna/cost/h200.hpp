#pragma once

#include "lacuna/cost/prefill_methods.hpp"
#include "lacuna/cost/time_model.hpp"

namespace lacuna {

// Prefill of one layer on an NVIDIA H200 in bfloat16: constants that bench/fit_time_model.cpp found for the rows of
// whole methods in bench/results/h200.csv (commit 08198e5: 32 query heads, 8 KV heads of 128 channels, one prompt of
// 16K, 32K or 64K tokens, densities of .05 to .2). Selection is met within 14 %, attention within 16 %, that of
// FlexPrefill within 29 %; other heads, channels and lengths are extrapolation. What a kernel reaches depends on its
// blocks, hence a model for each method. OrDense{method, cost, h200_prefill(cost)} attends to everything where that is
// as fast.

namespace h200 {

inline constexpr StageRate kDense{0.031, 741.0};

constexpr TimeModel prefill(StageRate sparse, StageRate select) {
  return {.prefill = {.dense = kDense, .sparse = sparse, .select = select}};
}

}  // namespace h200

/// Blocks of 128, of 64, and finer, chosen by pooled queries and keys. `shared`: the heads of a group have one choice.
constexpr TimeModel h200_prefill(BlockSparseCost const& cost, bool shared = false) {
  if (cost.block >= 128) return h200::prefill({0.135, 697.0}, {0.087, 9.35});
  if (cost.block >= 64) return h200::prefill({0.098, 587.0}, {0.123, 19.3});
  return shared ? h200::prefill({0.126, 538.0}, {0.128, 55.5}) : h200::prefill({0.134, 339.0}, {0.240, 39.5});
}

/// Columns and diagonals of each query head, from a window of 256 queries; cost.estimate.passes is 2 on this machine.
constexpr TimeModel h200_prefill(VerticalSlashCost const&) { return h200::prefill({0.199, 542.0}, {0.088, 173.0}); }

/// The same from a window of 512, with the counts of what holds the share.
constexpr TimeModel h200_prefill(FlexPrefillCost const&) { return h200::prefill({0.210, 552.0}, {0.114, 170.0}); }

/// Blocks of 128 by antidiagonals of cells of 8.
constexpr TimeModel h200_prefill(XAttentionCost const&) { return h200::prefill({0.142, 684.0}, {0.225, 111.0}); }

/// First and recent tokens.
constexpr TimeModel h200_prefill(StreamingCost const&) { return h200::prefill({0.398, 271.0}, {}); }

}  // namespace lacuna
