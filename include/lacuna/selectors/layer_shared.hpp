#pragma once

#include <algorithm>

#include "lacuna/selectors/selector.hpp"
#include "lacuna/units/token.hpp"

#if LACUNA_CUDA
#include "lacuna/kernels/cuda/token_steps.cuh"
#endif

namespace lacuna {

/// Wraps a selector of tokens: every KV head goes by the mean of all heads' scores, so that the whole layer keeps the
/// same tokens. All heads must hold as many.
template <class S>
struct LayerShared {
  static constexpr bool measures_mass = kMeasuresMass<S>;

  S inner{};

  template <Storage T>
  Status score(Cpu exec, Token const& unit, Problem<T> const& problem, Workspace memory,
               Scores scores) const requires WholeSelectorFor<S, Token> {
    for (std::int64_t head = 0; head < problem.heads_kv(); ++head)
      if (problem.kv.length(head) != scores.extent(2))
        return Status::invalid("layer_shared: every KV head must hold the same tokens", problem.kv.length(head),
                               scores.extent(2));
    if (Status s = inner.score(exec, unit, problem, memory, scores); !s) return s;
    std::int64_t const heads = scores.extent(0);
    for (std::int64_t token = 0; token < scores.extent(2); ++token) {
      float sum = 0.0F;
      for (std::int64_t head = 0; head < heads; ++head) sum += scores(head, 0, token);
      for (std::int64_t head = 0; head < heads; ++head) scores(head, 0, token) = sum / static_cast<float>(heads);
    }
    return {};
  }

#if LACUNA_CUDA
  /// That all heads of a sequence hold as many is the caller's promise.
  template <Storage T>
  Status score(Cuda exec, Token const& unit, BatchProblem<T> const& problem, Workspace memory, Counts candidates,
               Scores scores) const requires WholeSelectorFor<S, Token> {
    if (Status s = inner.score(exec, unit, problem, memory, candidates, scores); !s) return s;
    return cuda::mean_of_layer(exec, problem.batch, candidates, scores);
  }
#endif
};

}  // namespace lacuna
