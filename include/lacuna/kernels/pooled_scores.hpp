#pragma once

#include <cstdint>

#include "lacuna/core/batch_problem.hpp"
#include "lacuna/core/config.hpp"
#include "lacuna/core/exec.hpp"
#include "lacuna/core/status.hpp"
#include "lacuna/core/tensor_view.hpp"
#include "lacuna/index/scores.hpp"

namespace lacuna {

/// Dot products of some pooled queries with every pooled key before or at them; -inf behind them. One worker's share.
struct PooledScoresArgs {
  TensorView<float const, 2> queries;  // [rows, dim], row r is block first_block + r; the last axis dense, zero padded
  TensorView<float const, 2> keys;     // [blocks, dim], as queries; pooled_channels(dim) of them
  std::int64_t dim = 0;
  std::int64_t first_block = 0;
  TensorView<float, 2> scores;  // out [rows, first_block + rows], the last axis dense
  float* scratch = nullptr;     // pooled_scores_floats(dim)

  Status check() const {
    if (scores.extent(0) != queries.extent(0))
      return Status::invalid("pooled_scores: scores must have one row per query", scores.extent(0), queries.extent(0));
    if (scores.extent(1) != first_block + queries.extent(0) || scores.extent(1) > keys.extent(0))
      return Status::invalid("pooled_scores: scores must be as wide as the last row's blocks", scores.extent(1),
                             first_block + queries.extent(0));
    return {};
  }
};

/// The rows [first_row, first_row + scores.extent(1)) of every query head of a batch, from what pool_blocks made of it.
/// Only the candidates of a row are written: the key blocks up to its own. Blocks that a sliding window hides from all
/// of a row's queries get -inf.
template <Storage T>
struct PooledScoresBatchArgs {
  BatchProblem<T> problem;
  std::int64_t block_tokens = 16;
  TensorView<bfloat16 const, 4> queries;  // [heads_q, rows, 2, dim]
  TensorView<bfloat16 const, 4> keys;     // [batch * heads_kv, key blocks, 2, dim]
  std::int64_t first_row = 0;
  Scores scores;  // out [heads_q, rows of the chunk, key blocks or more]; the last axis dense, the others even

  Status check() const {
    if (Status s = problem.check(); !s) return s;
    if (block_tokens < 1) return Status::invalid("pooled_scores: block_tokens must be at least 1", block_tokens, 1);
    if (queries.extent(0) != problem.heads_q() || queries.extent(2) != 2 || queries.extent(3) != problem.dim())
      return Status::invalid("pooled_scores: queries must be [heads_q, rows, 2, dim]", queries.extent(3),
                             problem.dim());
    if (keys.extent(0) != problem.batch * problem.heads_kv() || keys.extent(1) * block_tokens < problem.max_len_k ||
        keys.extent(2) != 2 || keys.extent(3) != problem.dim())
      return Status::invalid("pooled_scores: keys must be [batch * heads_kv, key blocks, 2, dim]", keys.extent(1),
                             problem.max_len_k);
    if (queries.strides != dense_view<bfloat16 const, 4>(queries.data, queries.extents).strides ||
        keys.strides != dense_view<bfloat16 const, 4>(keys.data, keys.extents).strides)
      return Status::invalid("pooled_scores: queries and keys must have no gaps", queries.stride(1), keys.stride(1));
    if (first_row < 0 || first_row + scores.extent(1) > queries.extent(1))
      return Status::invalid("pooled_scores: there are not so many rows of queries", first_row + scores.extent(1),
                             queries.extent(1));
    if (scores.extent(0) != problem.heads_q() || scores.extent(2) < keys.extent(1))
      return Status::invalid("pooled_scores: scores must be [heads_q, rows, key blocks]", scores.extent(2),
                             keys.extent(1));
    if (scores.stride(0) % 2 != 0 || scores.stride(1) % 2 != 0 || scores.stride(2) != 1 ||
        reinterpret_cast<std::uintptr_t>(scores.data) % 8 != 0)
      return Status::invalid("pooled_scores: rows of scores must be dense and begin at even places", scores.stride(1),
                             2);
    return {};
  }
};

}  // namespace lacuna

#include "lacuna/kernels/cpu/pooled_scores.hpp"
#if LACUNA_CUDA
#include "lacuna/kernels/cuda/pooled_scores.cuh"
#endif
