#pragma once

#include "lacuna/kernels/window_scores.hpp"
#include "lacuna/selectors/selector.hpp"
#include "lacuna/units/token.hpp"

namespace lacuna {

/// True attention of the newest query alone: the softmax weight of each token, the mean over the group (TOVA, arXiv
/// 2401.06104).
struct LastAttention {
  std::int64_t heads(Token const&, Shape const& shape) const { return shape.heads_kv; }
  bool can_judge(Token const&, Shape const& shape) const { return shape.len_q >= 1; }

  void reserve(Cpu exec, Token const&, Shape const& shape, Workspace& memory) const {
    reserve_window_scores(exec, shape, 1, memory);
  }

  template <Storage T>
  Status score(Cpu exec, Token const&, Problem<T> const& problem, Workspace memory, Scores scores) const {
    return window_scores<T>(exec, {problem, 1, row_of_heads(scores, 0), {}, memory});
  }

#if LACUNA_CUDA
  void reserve(Cuda exec, Token const&, BatchShape const& shape, std::int64_t, Workspace& memory) const {
    reserve_window_scores(exec, shape, 1, shape.each.heads_kv, false, memory);
  }
  template <Storage T>
  Status score(Cuda exec, Token const&, BatchProblem<T> const& problem, Workspace memory, Counts, Scores scores) const {
    return window_scores(exec, WindowScoresBatchArgs<T>{problem, 1, row_of_heads(scores, 0), {}, memory});
  }
#endif
};

}  // namespace lacuna
