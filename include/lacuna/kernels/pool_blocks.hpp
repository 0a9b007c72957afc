#pragma once

#include "lacuna/core/problem.hpp"
#include "lacuna/core/shape.hpp"

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

}  // namespace lacuna

#include "lacuna/kernels/cpu/pool_blocks.hpp"
