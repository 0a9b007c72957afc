#pragma once

#include <cmath>
#include <cstdint>

#include "lacuna/kernels/cuda/block_rows.cuh"
#include "lacuna/kernels/cuda/candidates.cuh"
#include "lacuna/kernels/draw_scores.hpp"

namespace lacuna::cuda {

struct DrawForHeads {
  std::uint64_t seed;
  Entries<float, 3> scores;
  std::int64_t heads, kinds, units;

  __device__ void operator()(std::int64_t item) const {
    std::int64_t const unit = item % units, kind = item / units % kinds, choice = item / units / kinds;
    scores(choice, kind, unit) = drawn_score(seed, choice % heads, kind, unit);
  }
};

/// A score for every unit of every choice; each sequence's heads draw alike. // [batch * heads, kinds, units]
inline Status draw_for_heads(Cuda exec, std::uint64_t seed, std::int64_t batch, Scores scores) {
  if (scores.count() == 0) return {};
  return launch_each(
      exec, scores.count(),
      DrawForHeads{seed, Entries<float, 3>(scores), scores.extent(0) / batch, scores.extent(1), scores.extent(2)});
}

struct DrawForBlocks {
  std::uint64_t seed;
  BlockRows rows;
  std::int32_t first_row;
  Entries<float, 3> scores;
  std::int64_t slots, units;

  __device__ void operator()(std::int64_t item) const {
    std::int64_t const unit = item % units, slot = item / units % slots, head = item / units / slots;
    BlockRows::Row const row = rows.find(first_row + static_cast<std::int32_t>(slot));
    if (!row.there || unit >= row.candidates()) return;
    std::int64_t const of_sequence = first_row + slot - rows.first_row(row.sequence);
    scores(head, slot, unit) = unit < row.oldest ? -INFINITY : drawn_score(seed, head, of_sequence, unit);
  }
};

/// A score for every candidate of the rows from first_row on, which each sequence counts from 0; what the window hides
/// gets -inf. // [heads, rows of the chunk, units]
template <Storage T>
Status draw_for_blocks(Cuda exec, std::uint64_t seed, BatchProblem<T> const& problem, std::int64_t block_tokens,
                       std::int64_t first_row, Scores scores) {
  return launch_each(exec, scores.count(),
                     DrawForBlocks{seed, BlockRows(problem, block_tokens), static_cast<std::int32_t>(first_row),
                                   Entries<float, 3>(scores), scores.extent(1), scores.extent(2)});
}

}  // namespace lacuna::cuda
