#pragma once

#include "lacuna/kernels/pool_blocks.hpp"
#include "lacuna/kernels/pooled_scores.hpp"
#include "lacuna/selectors/selector.hpp"
#include "lacuna/units/block.hpp"

namespace lacuna {

/// The mean query of a block against the mean key of another, without scale (Block-Sparse of MInference, arXiv
/// 2407.02490).
struct MeanPool {
  /// The mean is over the block's size, also where the prompt begins or ends inside it; true: over the rows it has
  /// there.
  bool true_counts = false;

  template <int Tokens>
  std::int64_t heads(Block<Tokens> const&, Shape const& shape) const {
    return shape.heads_q;
  }
  template <int Tokens>
  void reserve(Cpu exec, Block<Tokens> const& unit, Shape const& shape, Workspace& memory) const {
    // A shorter prompt may straddle one query block more.
    std::int64_t const blocks = unit.count(shape.len_k);
    take(exec, std::min((shape.len_q + Tokens - 2) / Tokens + 1, blocks), blocks, shape, memory);
  }

  template <int Tokens, Storage T>
  Status prepare(Cpu exec, Block<Tokens> const& unit, Problem<T> const& problem, Workspace memory) const {
    Pooled const pooled = take(exec, unit, shape_of(problem), memory);
    if (Status s = memory.check("mean_pool: the workspace is smaller than planned"); !s) return s;
    if (Status s = pool_blocks<T>(exec, {problem, Tokens, pooled.queries, pooled.keys}); !s || !true_counts) return s;
    Shape const shape = shape_of(problem);
    std::int64_t const first = shape.len_k - shape.len_q, last = unit.count(shape.len_k) - 1;
    if (shape.len_k > 0) rescale(pooled.keys, last, Tokens, shape.len_k - last * Tokens);
    for (std::int64_t const block : {unit.first_block(shape), last}) {  // they may be the same
      std::int64_t const rows = std::min((block + 1) * Tokens, shape.len_k) - std::max(block * Tokens, first);
      if (rows > 0) rescale(pooled.queries, block - unit.first_block(shape), Tokens, rows);
      if (block == last) break;
    }
    return {};
  }

  template <int Tokens, Storage T>
  Status score(Cpu exec, Block<Tokens> const& unit, Problem<T> const& problem, Workspace memory, RowChunk const& chunk,
               Scores scores) const {
    Pooled const pooled = take(exec, unit, shape_of(problem), memory);
    std::int64_t const channels = pooled.keys.extent(2), dim = problem.dim();
    Status const s = pooled_scores(
        exec, {{&pooled.queries(chunk.head, chunk.first_row, 0), {chunk.rows, channels}, {channels, 1}},
               {pooled.keys.slice(chunk.head / problem.group()), {pooled.keys.extent(1), channels}, {channels, 1}},
               dim,
               unit.first_block(shape_of(problem)) + chunk.first_row,
               {scores.data, {chunk.rows, scores.extent(2)}, {scores.stride(1), 1}},
               pooled.scratch + chunk.worker * pooled_scores_floats(dim)});
    if (s) unit.hide(problem, chunk, scores);
    return s;
  }

#if LACUNA_CUDA
  template <int Tokens>
  void reserve(Cuda, Block<Tokens> const& unit, BatchShape const& shape, std::int64_t, Workspace& memory) const {
    (void)take(unit, shape, memory);
  }
  template <int Tokens, Storage T>
  Status prepare(Cuda exec, Block<Tokens> const& unit, BatchProblem<T> const& problem, Workspace memory) const {
    SplitPooled const pooled = take(unit, shape_of(problem), memory);
    if (Status s = memory.check("mean_pool: the workspace is smaller than planned"); !s) return s;
    return pool_blocks(exec, PoolBlocksBatchArgs<T>{problem, Tokens, pooled.queries, pooled.keys, true_counts});
  }
  template <int Tokens, Storage T>
  Status score(Cuda exec, Block<Tokens> const& unit, BatchProblem<T> const& problem, Workspace memory,
               BatchChunk const& chunk, Counts, Scores scores) const {
    SplitPooled const pooled = take(unit, shape_of(problem), memory);
    return pooled_scores(
        exec, PooledScoresBatchArgs<T>{problem, Tokens, pooled.queries, pooled.keys, chunk.first_row, scores});
  }
#endif

 private:
#if LACUNA_CUDA
  struct SplitPooled {
    TensorView<bfloat16, 4> queries, keys;
  };
  template <int Tokens>
  static SplitPooled take(Block<Tokens> const& unit, BatchShape const& shape, Workspace& memory) {
    Shape const& each = shape.each;
    return {memory.take<bfloat16, 4>({each.heads_q, unit.choices(shape), 2, each.dim}),
            memory.take<bfloat16, 4>({shape.batch * each.heads_kv, unit.count(each.len_k), 2, each.dim})};
  }
#endif

  static void rescale(TensorView<float, 3> const& means, std::int64_t block, std::int64_t divisor, std::int64_t rows) {
    for (std::int64_t head = 0; head < means.extent(0); ++head)
      for (std::int64_t x = 0; x < means.extent(2); ++x)
        means(head, block, x) *= static_cast<float>(divisor) / static_cast<float>(rows);
  }

  struct Pooled {
    TensorView<float, 3> queries, keys;
    float* scratch;
  };

  template <int Tokens>
  static Pooled take(Cpu exec, Block<Tokens> const& unit, Shape const& shape, Workspace& memory) {
    return take(exec, unit.choices(shape), unit.count(shape.len_k), shape, memory);
  }
  static Pooled take(Cpu exec, std::int64_t query_blocks, std::int64_t key_blocks, Shape const& shape,
                     Workspace& memory) {
    std::int64_t const channels = pooled_channels(shape.dim);
    return {memory.take<float, 3>({shape.heads_q, query_blocks, channels}),
            memory.take<float, 3>({shape.heads_kv, key_blocks, channels}),
            memory.take<float>(exec.workers * pooled_scores_floats(shape.dim))};
  }
};

}  // namespace lacuna
