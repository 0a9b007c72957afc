#pragma once

#include <cstdint>

#include "lacuna/core/batch_problem.hpp"
#include "lacuna/core/config.hpp"
#include "lacuna/core/exec.hpp"
#include "lacuna/core/problem.hpp"
#include "lacuna/core/shape.hpp"
#include "lacuna/core/workspace.hpp"

namespace lacuna {

/// What becomes of the weights that one key receives from the queries of the window.
enum class WindowReduction : std::uint8_t {
  sum,      // over the window; where a row is a KV head, the mean over its group
  highest,  // of any query of the window and of any head of the group; a NaN wins
};

/// What the last min(window, len_q) queries attend to: for each key the sum of their softmax weights (columns), and for
/// each distance query - key the same (diagonals). A row is a query head, or a KV head and then the mean over its
/// group. Two passes over the keys: log-sum-exp of each query, then the sums; never a window x len_k matrix.
template <Storage T>
struct WindowScoresArgs {
  Problem<T> problem;
  std::int64_t window = 256;
  TensorView<float, 2> columns;    // out [rows, len_k], the last axis dense; a shorter head's row ends in zeros
  TensorView<float, 2> diagonals;  // out [rows, len_k], the last axis dense; data may be null
  Workspace scratch;               // as reserve_window_scores takes
  WindowReduction reduction = WindowReduction::sum;
  std::int64_t behind = 0;  // queries after the window, which are left out
  bool onto = false;        // columns go on from what they hold, instead of from 0

  Status check() const {
    if (Status s = problem.check(); !s) return s;
    if (behind < 0 || (behind > 0 && behind >= problem.len_q()))
      return Status::invalid("window_scores: behind must leave a query", behind, problem.len_q());
    if (window < 1) return Status::invalid("window_scores: window must be at least 1", window, 1);
    if (columns.extent(0) != problem.heads_kv() && columns.extent(0) != problem.heads_q())
      return Status::invalid("window_scores: columns must have one row per KV head or per query head",
                             columns.extent(0), problem.heads_kv());
    if (columns.extent(1) != longest_head(problem.kv))
      return Status::invalid("window_scores: columns must be as wide as len_k", columns.extent(1),
                             longest_head(problem.kv));
    if (diagonals.data != nullptr && (reduction != WindowReduction::sum || behind != 0 || onto))
      return Status::invalid(
          "window_scores: diagonals are plain sums over the last queries; otherwise their data must be null");
    if (diagonals.data != nullptr && diagonals.extents != columns.extents)
      return Status::invalid("window_scores: columns and diagonals must have the same extents", diagonals.extent(1),
                             columns.extent(1));
    return {};
  }
};

/// The same of a batch, on the device: the last min(window, queries) queries of each sequence. A row is (sequence,
/// query head), or (sequence, KV head) and then the mean over its group.
template <Storage T>
struct WindowScoresBatchArgs {
  BatchProblem<T> problem;
  std::int64_t window = 256;
  TensorView<float, 2> columns;    // out [batch * heads, max_len_k or more]; only what the sequence holds is written
  TensorView<float, 2> diagonals;  // out, as columns; data may be null
  Workspace scratch;               // device memory, as reserve_window_scores takes
  WindowReduction reduction = WindowReduction::sum;

  static constexpr std::int64_t kMostQueries = 4096;

  Status check() const {
    if (Status s = problem.check(); !s) return s;
    if (window < 1 || window > kMostQueries)
      return Status::invalid("window_scores: window must be in 1..4096", window, kMostQueries);
    std::int64_t const rows = columns.extent(0);
    if (rows != problem.batch * problem.heads_q() && rows != problem.batch * problem.heads_kv())
      return Status::invalid("window_scores: columns must have one row per sequence and KV head or query head", rows,
                             problem.batch * problem.heads_kv());
    if (columns.extent(1) < problem.max_len_k)
      return Status::invalid("window_scores: columns must be as wide as max_len_k", columns.extent(1),
                             problem.max_len_k);
    if (diagonals.data != nullptr && (diagonals.extent(0) != rows || diagonals.extent(1) < problem.max_len_k))
      return Status::invalid("window_scores: columns and diagonals must have the same extents", diagonals.extent(1),
                             problem.max_len_k);
    if (columns.stride(1) != 1 || (diagonals.data != nullptr && diagonals.stride(1) != 1))
      return Status::invalid("window_scores: rows of columns and diagonals must be dense", columns.stride(1), 1);
    if (diagonals.data != nullptr && reduction != WindowReduction::sum)
      return Status::invalid("window_scores: diagonals are plain sums; otherwise their data must be null");
    return {};
  }
};

}  // namespace lacuna

#include "lacuna/kernels/cpu/window_scores.hpp"
#if LACUNA_CUDA
#include "lacuna/kernels/cuda/window_scores.cuh"
#endif
