#pragma once

#include "lacuna/core/batch_problem.hpp"
#include "lacuna/core/problem.hpp"
#include "lacuna/core/workspace.hpp"
#include "lacuna/index/vertical_slash_index.hpp"

namespace lacuna {

/// Causal attention of each query head over its columns and the tiles of its diagonals.
template <Storage T>
struct AttendVerticalSlashArgs {
  Problem<T> problem;  // every KV head holds index.len_k tokens
  VerticalSlashIndex index;
  AttentionOut<T> out;
  Workspace scratch;  // as reserve_attend_vertical_slash takes

  Status check() const {
    if (Status s = problem.check(); !s) return s;
    if (Status s = out.check(problem); !s) return s;
    if (index.tile < 1) return Status::invalid("attend_vertical_slash: tile must be at least 1", index.tile, 1);
    if (index.heads() != problem.heads_q() && index.heads() != problem.heads_kv())
      return Status::invalid("attend_vertical_slash: the index must have one row per query head or per KV head",
                             index.heads(), problem.heads_q());
    if (index.len_q != problem.len_q())
      return Status::invalid("attend_vertical_slash: the index was made for another len_q", index.len_q,
                             problem.len_q());
    for (std::int64_t head = 0; head < problem.heads_kv(); ++head)
      if (problem.kv.length(head) != index.len_k)
        return Status::invalid("attend_vertical_slash: the index was made for another len_k", problem.kv.length(head),
                               index.len_k);
    return {};
  }
};

/// The same for a batch, on the device: every pointer of the index is the device's, row b * heads + h of columns,
/// diagonals and counts is head h of sequence b, heads being heads_q or heads_kv.
template <Storage T>
struct AttendVerticalSlashBatchArgs {
  BatchProblem<T> problem;
  VerticalSlashIndex index;
  AttentionOut<T> out;
  Workspace scratch;  // device memory, as reserve_attend_vertical_slash takes

  std::int64_t heads() const { return problem.batch == 0 ? 0 : index.heads() / problem.batch; }

  Status check() const {
    if (Status s = problem.check(); !s) return s;
    if (Status s = check_out(out, problem); !s) return s;
    if (index.tile < 1) return Status::invalid("attend_vertical_slash: tile must be at least 1", index.tile, 1);
    if (index.heads() != problem.batch * problem.heads_q() && index.heads() != problem.batch * problem.heads_kv())
      return Status::invalid("attend_vertical_slash: the index must have a row per head of every sequence",
                             index.heads(), problem.batch * problem.heads_q());
    if (index.columns.extent(0) != index.heads() || index.diagonals.extent(0) != index.heads() ||
        index.counts.extent(1) != 2)
      return Status::invalid("attend_vertical_slash: columns, diagonals and counts must have the same rows",
                             index.columns.extent(0), index.heads());
    if (index.columns.stride(1) != 1 || index.diagonals.stride(1) != 1 || index.counts.stride(1) != 1)
      return Status::invalid("attend_vertical_slash: the last axes of the index must be dense");
    return {};
  }
};

}  // namespace lacuna

#include "lacuna/kernels/cpu/attend_vertical_slash.hpp"
#if LACUNA_CUDA
#include "lacuna/kernels/cuda/attend_vertical_slash.cuh"
#endif
