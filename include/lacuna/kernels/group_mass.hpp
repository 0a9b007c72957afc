#pragma once

#include "lacuna/core/batch_problem.hpp"
#include "lacuna/core/config.hpp"
#include "lacuna/core/exec.hpp"
#include "lacuna/core/problem.hpp"
#include "lacuna/core/shape.hpp"
#include "lacuna/core/workspace.hpp"
#include "lacuna/index/scores.hpp"

namespace lacuna {

/// How much of its attention each block of queries of one head gives to each block of keys, where `stride` neighbouring
/// queries and keys count as one (XAttention, arXiv 2503.16428): the logit of query group r and key group c <= r is the
/// mean over the antidiagonal of their stride x stride cell. Tokens that are not there count as zeros. A stride of 1 is
/// the attention itself. A sliding window hides whole groups of keys, a cap bounds the mean, and sinks, which weaken a
/// row evenly, take no part. One worker's share; more groups at once read the keys less often.
template <Storage T>
struct GroupMassArgs {
  Problem<T> problem;
  std::int64_t head = 0;
  std::int64_t stride = 8;
  std::int64_t first_group = 0;  // of queries: positions [first_group * stride, (first_group + groups) * stride)
  std::int64_t groups = 0;
  std::int64_t block_tokens = 128;  // of queries and keys, a multiple of stride
  TensorView<float, 2> mass;  // out [query blocks, key blocks up to the last one], the last axis dense; rows sum to 1
  float* scratch = nullptr;   // group_mass_floats(...)

  Status check() const {
    if (Status s = problem.check(); !s) return s;
    if (stride < 1 || block_tokens < 1 || block_tokens % stride != 0)
      return Status::invalid("group_mass: stride must divide block_tokens", stride, block_tokens);
    if (head < 0 || head >= problem.heads_q())
      return Status::invalid("group_mass: head must be a query head", head, problem.heads_q());
    std::int64_t const len = problem.kv.length(head / problem.group());
    if (groups < 1 || (first_group + 1) * stride <= len - problem.len_q() || (first_group + groups - 1) * stride >= len)
      return Status::invalid("group_mass: every group must hold a query", first_group, groups);
    std::int64_t const blocks = ((first_group + groups) * stride + block_tokens - 1) / block_tokens;
    if (mass.extent(1) != blocks || mass.extent(0) != blocks - first_group * stride / block_tokens)
      return Status::invalid("group_mass: mass must have a row per query block and the blocks up to the last",
                             mass.extent(1), blocks);
    return {};
  }
};

/// The rows [first_row, first_row + scores.extent(1)) of blocks of every query head of a batch, on the device. Only the
/// candidates of a row are written, the key blocks up to its own; what a sliding window hides wholly gets -inf.
template <Storage T>
struct GroupMassBatchArgs {
  BatchProblem<T> problem;
  std::int64_t stride = 8;
  std::int64_t block_tokens = 128;  // of queries and keys, a multiple of stride, at most 128
  std::int64_t first_row = 0;
  Scores scores;      // out [heads_q, rows of the chunk, key blocks or more]; the last axis dense
  Workspace scratch;  // device memory, as reserve_group_mass takes

  Status check() const {
    if (Status s = problem.check(); !s) return s;
    if (stride < 1 || block_tokens < 1 || block_tokens % stride != 0 || block_tokens > 128)
      return Status::invalid("group_mass: stride must divide block_tokens, which is at most 128", stride, block_tokens);
    if (scores.extent(0) != problem.heads_q() || scores.extent(2) * block_tokens < problem.max_len_k)
      return Status::invalid("group_mass: scores must be [heads_q, rows, key blocks]", scores.extent(2),
                             problem.max_len_k);
    if (scores.stride(2) != 1)
      return Status::invalid("group_mass: the last axis of scores must be dense", scores.stride(2), 1);
    if (first_row < 0) return Status::invalid("group_mass: first_row must not be negative", first_row, 0);
    return {};
  }
};

}  // namespace lacuna

#include "lacuna/kernels/cpu/group_mass.hpp"
#if LACUNA_CUDA
#include "lacuna/kernels/cuda/group_mass.cuh"
#endif
