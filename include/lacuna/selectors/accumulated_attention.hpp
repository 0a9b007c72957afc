#pragma once

#include <algorithm>

#include "lacuna/kernels/window_scores.hpp"
#include "lacuna/selectors/selector.hpp"
#include "lacuna/units/token.hpp"

#if LACUNA_CUDA
#include "lacuna/kernels/cuda/token_steps.cuh"
#endif

namespace lacuna {

/// The softmax weights that a token has received from every query so far, the mean over the group (H2O, arXiv
/// 2306.14048). The sum lives in the store, in KvView::mass; scoring adds this problem's queries to it, so each query
/// is scored exactly once: the whole prompt in one or several calls, then one query per step. The prompt costs a second
/// pass over its attention.
struct AccumulatedAttention {
  std::int64_t heads(Token const&, Shape const& shape) const { return shape.heads_kv; }
  bool can_judge(Token const&, Shape const& shape) const { return shape.len_q >= 1; }

  void reserve(Cpu exec, Token const&, Shape const& shape, Workspace& memory) const {
    reserve_window_scores(exec, shape, kQueries, memory);
  }

  template <Storage T>
  Status score(Cpu exec, Token const&, Problem<T> const& problem, Workspace memory, Scores scores) const {
    TensorView<float, 2> const& mass = problem.kv.mass;
    if (mass.data == nullptr || mass.extent(0) != scores.extent(0) || mass.extent(1) < scores.extent(2))
      return Status::invalid("accumulated_attention: the store must keep the mass of every token it holds",
                             mass.extent(1), scores.extent(2));
    TensorView<float, 2> const held{mass.data, {scores.extent(0), scores.extent(2)}, mass.strides};
    for (std::int64_t first = 0; first < problem.len_q(); first += kQueries) {
      std::int64_t const window = std::min(kQueries, problem.len_q() - first);
      Status const s = window_scores<T>(
          exec, {problem, window, held, {}, memory, WindowReduction::sum, problem.len_q() - first - window, true});
      if (!s) return s;
    }
    for (std::int64_t head = 0; head < scores.extent(0); ++head)
      std::copy_n(held.slice(head), scores.extent(2), scores.slice(head));
    return {};
  }

#if LACUNA_CUDA
  void reserve(Cuda exec, Token const&, BatchShape const& shape, std::int64_t, Workspace& memory) const {
    reserve_window_scores(exec, shape, shape.each.len_q, shape.each.heads_kv, false, memory);
  }
  template <Storage T>
  Status score(Cuda exec, Token const&, BatchProblem<T> const& problem, Workspace memory, Counts candidates,
               Scores scores) const {
    TensorView<float, 3> const& mass = problem.kv.mass;
    if (mass.data == nullptr || mass.extent(2) < problem.max_len_k)
      return Status::invalid("accumulated_attention: the store must keep the mass of every token it holds",
                             mass.extent(2), problem.max_len_k);
    Status const s =
        window_scores(exec, WindowScoresBatchArgs<T>{problem, problem.max_len_q, row_of_heads(scores, 0), {}, memory});
    return s ? cuda::add_mass(exec, mass, candidates, scores) : s;
  }
#endif

 private:
  static constexpr std::int64_t kQueries = 256;  // scored at once: each pass reads all keys twice
};

}  // namespace lacuna
