#pragma once

#include "lacuna/kernels/window_scores.hpp"
#include "lacuna/selectors/selector.hpp"
#include "lacuna/units/token.hpp"

namespace lacuna {

/// The highest softmax weight that any of the last queries of any head of the group gives a token: what heads compete
/// with in Ada-SnapKV, where a sum would favour heads that spread their attention. A prompt shorter than the window is
/// its own window.
struct WindowPeak {
  std::int64_t window = 256;  // queries

  Status check(Token const&, Shape const&, std::int64_t) const {
    if (window < 1) return Status::invalid("window_peak: window must be at least 1", window, 1);
    return {};
  }

  std::int64_t heads(Token const&, Shape const& shape) const { return shape.heads_kv; }
  bool can_judge(Token const&, Shape const& shape) const { return shape.len_q >= 1; }

  void reserve(Cpu exec, Token const&, Shape const& shape, Workspace& memory) const {
    reserve_window_scores(exec, shape, window, memory);
  }

  template <Storage T>
  Status score(Cpu exec, Token const&, Problem<T> const& problem, Workspace memory, Scores scores) const {
    return window_scores<T>(exec, {problem, window, row_of_heads(scores, 0), {}, memory, WindowReduction::highest});
  }

#if LACUNA_CUDA
  void reserve(Cuda exec, Token const&, BatchShape const& shape, std::int64_t, Workspace& memory) const {
    reserve_window_scores(exec, shape, window, shape.each.heads_kv, false, memory);
  }
  template <Storage T>
  Status score(Cuda exec, Token const&, BatchProblem<T> const& problem, Workspace memory, Counts, Scores scores) const {
    return window_scores(
        exec, WindowScoresBatchArgs<T>{problem, window, row_of_heads(scores, 0), {}, memory, WindowReduction::highest});
  }
#endif
};

}  // namespace lacuna
