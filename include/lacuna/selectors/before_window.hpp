#pragma once

#include <algorithm>

#include "lacuna/selectors/selector.hpp"
#include "lacuna/units/token.hpp"

#if LACUNA_CUDA
#include "lacuna/kernels/cuda/token_steps.cuh"
#endif

namespace lacuna {

/// Wraps a selector that goes by a window of last queries: the window's own tokens get 0, so that they lend nothing to
/// their neighbours when scores are smoothed. For the originals of SnapKV and AdaKV, which score only what lies before
/// the window; there recent_tokens of Anchored is the window, which keeps it whole.
template <class S>
struct BeforeWindow {
  static constexpr bool measures_mass = kMeasuresMass<S>;

  S inner{};

  template <Storage T>
  Status score(Cpu exec, Token const& unit, Problem<T> const& problem, Workspace memory, Scores scores) const
      requires(WholeSelectorFor<S, Token>&& requires(S s) { s.window; }) {
    if (Status s = inner.score(exec, unit, problem, memory, scores); !s) return s;
    for (std::int64_t head = 0; head < scores.extent(0); ++head) {
      std::int64_t const len = problem.kv.length(head * problem.heads_kv() / scores.extent(0));
      std::int64_t const window = std::min(inner.window, problem.len_q());
      std::fill_n(scores.slice(head) + len - window, window, 0.0F);
    }
    return {};
  }

#if LACUNA_CUDA
  template <Storage T>
  Status score(Cuda exec, Token const& unit, BatchProblem<T> const& problem, Workspace memory, Counts candidates,
               Scores scores) const requires WholeSelectorFor<S, Token> {
    if (Status s = inner.score(exec, unit, problem, memory, candidates, scores); !s) return s;
    return cuda::clear_window(exec, problem, inner.window, scores);
  }
#endif
};

}  // namespace lacuna
