#pragma once

#include "lacuna/core/batch_problem.hpp"
#include "lacuna/core/problem.hpp"
#include "lacuna/core/workspace.hpp"
#include "lacuna/index/block_index.hpp"

namespace lacuna {

/// Causal attention of each block of queries over its key blocks.
template <Storage T>
struct AttendBlocksArgs {
  Problem<T> problem;  // every KV head holds index.len_k tokens
  BlockIndex index;
  AttentionOut<T> out;
  Workspace scratch;  // as reserve_attend_blocks takes

  Status check() const {
    if (Status s = problem.check(); !s) return s;
    if (Status s = out.check(problem); !s) return s;
    if (index.block_tokens < 1)
      return Status::invalid("attend_blocks: block_tokens must be at least 1", index.block_tokens, 1);
    if (index.heads() != problem.heads_q() && index.heads() != problem.heads_kv())
      return Status::invalid("attend_blocks: the index must have one row per query head or per KV head", index.heads(),
                             problem.heads_q());
    if (index.len_q != problem.len_q())
      return Status::invalid("attend_blocks: the index was made for another len_q", index.len_q, problem.len_q());
    for (std::int64_t head = 0; head < problem.heads_kv(); ++head)
      if (problem.kv.length(head) != index.len_k)
        return Status::invalid("attend_blocks: the index was made for another len_k", problem.kv.length(head),
                               index.len_k);
    return {};
  }
};

/// The same for a batch, on the device: every pointer of the index is the device's, rows lie as BlockIndex says.
template <Storage T>
struct AttendBlocksBatchArgs {
  BatchProblem<T> problem;
  BlockIndex index;
  AttentionOut<T> out;
  Workspace scratch;  // device memory, as reserve_attend_blocks takes

  Status check() const {
    if (Status s = problem.check(); !s) return s;
    if (Status s = check_out(out, problem); !s) return s;
    if (index.block_tokens < 1)
      return Status::invalid("attend_blocks: block_tokens must be at least 1", index.block_tokens, 1);
    if (index.heads() != problem.heads_q() && index.heads() != problem.heads_kv())
      return Status::invalid("attend_blocks: the index must have one row per query head or per KV head", index.heads(),
                             problem.heads_q());
    if (problem.tokens_q() == 0) return {};
    if (index.counts.data == nullptr || (index.blocks.data == nullptr && index.room > 0))
      return Status::invalid("attend_blocks: the index must not be null");
    std::int64_t const rows = BlockIndex::first_row(problem.batch, problem.tokens_q(), index.block_tokens);
    if (index.counts.extent(1) < rows || index.counts.stride(1) != 1)
      return Status::invalid("attend_blocks: the index must have a dense count for every row of the batch",
                             index.counts.extent(1), rows);
    if (index.room < 0 || index.blocks.extent(1) < rows * index.room || index.blocks.stride(1) != 1)
      return Status::invalid("attend_blocks: the index must have room for every row of the batch",
                             index.blocks.extent(1), rows * index.room);
    return {};
  }
};

}  // namespace lacuna

#include "lacuna/kernels/cpu/attend_blocks.hpp"
#if LACUNA_CUDA
#include "lacuna/kernels/cuda/attend_blocks.cuh"
#endif
