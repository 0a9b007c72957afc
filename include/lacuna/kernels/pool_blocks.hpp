#pragma once

#include "lacuna/core/batch_problem.hpp"
#include "lacuna/core/config.hpp"
#include "lacuna/core/problem.hpp"
#include "lacuna/core/shape.hpp"
#include "lacuna/index/block_index.hpp"

namespace lacuna {

/// The mean query and the mean key of each block of `block_tokens` positions, in float. The divisor is block_tokens
/// also where the problem has fewer of the block's rows, as if zeros followed.
template <Storage T>
struct PoolBlocksArgs {
  Problem<T> problem;  // every KV head holds as many tokens
  std::int64_t block_tokens = 16;
  TensorView<float, 3> queries;  // out [heads_q, query blocks, dim or more]; block 0 holds the first query
  TensorView<float, 3> keys;     // out [heads_kv, key blocks, dim or more]; channels beyond dim become 0

  Status check() const {
    if (Status s = problem.check(); !s) return s;
    if (block_tokens < 1) return Status::invalid("pool_blocks: block_tokens must be at least 1", block_tokens, 1);
    std::int64_t const len = longest_head(problem.kv);
    for (std::int64_t head = 0; head < problem.heads_kv(); ++head)
      if (problem.kv.length(head) != len)
        return Status::invalid("pool_blocks: every KV head must hold the same tokens", problem.kv.length(head), len);
    std::int64_t const blocks = (len + block_tokens - 1) / block_tokens;
    std::int64_t const rows = problem.len_q() == 0 ? 0 : blocks - (len - problem.len_q()) / block_tokens;
    if (queries.extent(0) != problem.heads_q() || queries.extent(1) < rows || queries.extent(2) < problem.dim())
      return Status::invalid("pool_blocks: queries must be [heads_q, query blocks, dim]", queries.extent(1), rows);
    if (keys.extent(0) != problem.heads_kv() || keys.extent(1) < blocks || keys.extent(2) < problem.dim())
      return Status::invalid("pool_blocks: keys must be [heads_kv, key blocks, dim]", keys.extent(1), blocks);
    return {};
  }
};

/// The same of a batch on the device, ready for tensor cores: each mean is the bfloat16 nearest to it, and behind it
/// the bfloat16 nearest to what that leaves out; together they are good to 2^-17.
template <Storage T>
struct PoolBlocksBatchArgs {
  BatchProblem<T> problem;
  std::int64_t block_tokens = 16;
  TensorView<bfloat16, 4> queries;  // out [heads_q, rows, 2, dim], the rows of a BlockIndex; no axis padded
  TensorView<bfloat16, 4> keys;     // out [batch * heads_kv, key blocks, 2, dim]; no axis padded
  bool true_counts = false;         // the divisor is the rows that the block has

  Status check() const {
    if (Status s = problem.check(); !s) return s;
    if (block_tokens < 1) return Status::invalid("pool_blocks: block_tokens must be at least 1", block_tokens, 1);
    std::int64_t const rows = BlockIndex::first_row(problem.batch, problem.tokens_q(), block_tokens);
    std::int64_t const blocks = (problem.max_len_k + block_tokens - 1) / block_tokens;
    if (queries.extent(0) != problem.heads_q() || queries.extent(1) < rows || queries.extent(2) != 2 ||
        queries.extent(3) != problem.dim())
      return Status::invalid("pool_blocks: queries must be [heads_q, rows, 2, dim]", queries.extent(1), rows);
    if (keys.extent(0) != problem.batch * problem.heads_kv() || keys.extent(1) < blocks || keys.extent(2) != 2 ||
        keys.extent(3) != problem.dim())
      return Status::invalid("pool_blocks: keys must be [batch * heads_kv, key blocks, 2, dim]", keys.extent(1),
                             blocks);
    if (queries.strides != dense_view<bfloat16, 4>(queries.data, queries.extents).strides ||
        keys.strides != dense_view<bfloat16, 4>(keys.data, keys.extents).strides)
      return Status::invalid("pool_blocks: queries and keys must have no gaps", queries.stride(1), keys.stride(1));
    return {};
  }
};

}  // namespace lacuna

#include "lacuna/kernels/cpu/pool_blocks.hpp"
#if LACUNA_CUDA
#include "lacuna/kernels/cuda/pool_blocks.cuh"
#endif
