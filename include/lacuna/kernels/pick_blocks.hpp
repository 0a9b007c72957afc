#pragma once

#include <cstdint>

#include "lacuna/core/batch_problem.hpp"
#include "lacuna/core/config.hpp"
#include "lacuna/index/block_index.hpp"
#include "lacuna/index/scores.hpp"

namespace lacuna {

/// The best key blocks of the rows [first_row, first_row + scores.extent(1)) of every head of a batch, on the device:
/// the counts(head, row) highest scores among a row's candidates, which are the blocks up to its own, ties to the lower
/// block, NaN last (as -inf). What pick_top picks row by row on the CPU.
template <Storage T>
struct PickBlocksBatchArgs {
  BatchProblem<T> problem;
  Scores scores;  // [heads, rows of the chunk, key blocks or more]; the last axis dense
  Counts counts;  // [heads, rows of the chunk], how many to keep
  std::int64_t first_row = 0;
  BlockIndex index;  // out; a row keeps at most index.room

  Status check() const {
    if (Status s = problem.check(); !s) return s;
    if (index.offsets.data != nullptr)
      return Status::invalid("pick_blocks: on the device the rows of an index have room each; offsets must be null");
    if (index.block_tokens < 1)
      return Status::invalid("pick_blocks: block_tokens must be at least 1", index.block_tokens, 1);
    if (scores.extent(0) != index.heads() || counts.extent(0) != index.heads() ||
        counts.extent(1) != scores.extent(1) || index.blocks.extent(0) != index.heads())
      return Status::invalid("pick_blocks: scores, counts and the index must have the same heads and rows",
                             scores.extent(0), index.heads());
    if (first_row < 0 || first_row + scores.extent(1) > index.counts.extent(1))
      return Status::invalid("pick_blocks: the index has no room for these rows", first_row + scores.extent(1),
                             index.counts.extent(1));
    if (index.counts.extent(1) * index.room > index.blocks.extent(1))
      return Status::invalid("pick_blocks: the index has no room for that many blocks", index.blocks.extent(1),
                             index.counts.extent(1) * index.room);
    if (index.blocks.stride(1) != 1 || index.counts.stride(1) != 1)
      return Status::invalid("pick_blocks: the rows of an index must be dense", index.blocks.stride(1), 1);
    if (scores.stride(2) != 1)
      return Status::invalid("pick_blocks: the last axis of scores must be dense", scores.stride(2), 1);
    return {};
  }
};

}  // namespace lacuna

#if LACUNA_CUDA
#include "lacuna/kernels/cuda/pick_blocks.cuh"
#endif
