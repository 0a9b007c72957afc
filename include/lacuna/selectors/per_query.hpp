#pragma once

#include "lacuna/selectors/selector.hpp"
#include "lacuna/units/token.hpp"

#if LACUNA_CUDA
#include "lacuna/kernels/cuda/token_steps.cuh"
#endif

namespace lacuna {

/// Wraps a selector that adds up over queries, such as AccumulatedAttention: the sum of each token is divided by the
/// number of queries that came at or after it, so that early tokens have no advantage (H2O in the form of kvpress). The
/// store must keep the positions of what it holds.
template <class S>
struct PerQuery {
  S inner{};

  template <Storage T>
  Status score(Cpu exec, Token const& unit, Problem<T> const& problem, Workspace memory,
               Scores scores) const requires WholeSelectorFor<S, Token> {
    TensorView<std::int32_t const, 2> const& positions = problem.kv.positions;
    if (positions.data == nullptr || positions.extent(0) != scores.extent(0) || positions.extent(1) < scores.extent(2))
      return Status::invalid("per_query: the store must keep the position of every token it holds", positions.extent(1),
                             scores.extent(2));
    if (Status s = inner.score(exec, unit, problem, memory, scores); !s) return s;
    for (std::int64_t head = 0; head < scores.extent(0); ++head) {
      std::int64_t const len = problem.kv.length(head);
      for (std::int64_t token = 0; token < len; ++token)
        scores(head, 0, token) /= static_cast<float>(positions(head, len - 1) - positions(head, token) + 1);
    }
    return {};
  }

#if LACUNA_CUDA
  template <Storage T>
  Status score(Cuda exec, Token const& unit, BatchProblem<T> const& problem, Workspace memory, Counts candidates,
               Scores scores) const requires WholeSelectorFor<S, Token> {
    TensorView<std::int32_t const, 3> const& positions = problem.kv.positions;
    if (positions.data == nullptr || positions.extent(2) < problem.max_len_k)
      return Status::invalid("per_query: the store must keep the position of every token it holds", positions.extent(2),
                             problem.max_len_k);
    if (Status s = inner.score(exec, unit, problem, memory, candidates, scores); !s) return s;
    return cuda::divide_by_queries(exec, positions, candidates, scores);
  }
#endif
};

}  // namespace lacuna
