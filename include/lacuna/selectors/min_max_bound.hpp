#pragma once

#include "lacuna/kernels/bound_scores.hpp"
#include "lacuna/selectors/selector.hpp"
#include "lacuna/units/page.hpp"

namespace lacuna {

/// The highest logit that a page could hold, from the channel bounds which the store keeps (Quest, arXiv 2406.10774).
struct MinMaxBound {
  static constexpr bool reads_bounds_alone = true;
  static constexpr bool ignores_candidates = true;  // on the device

  bool share_group = true;  // one choice per KV head, by the sum over its group; else one per query head

  template <int Tokens>
  std::int64_t heads(Page<Tokens> const&, Shape const& shape) const {
    return share_group ? shape.heads_kv : shape.heads_q;
  }

  template <int Tokens>
  void reserve(Cpu exec, Page<Tokens> const&, Shape const& shape, Workspace& memory) const {
    reserve_bound_scores(exec, shape, memory);
  }

  template <int Tokens, Storage T>
  Status score(Cpu exec, Page<Tokens> const&, Problem<T> const& problem, Workspace memory, Scores scores) const {
    if (problem.kv.bounds_page_tokens != Tokens)
      return Status::invalid("min_max_bound: the store must keep bounds of pages as large as the unit's",
                             problem.kv.bounds_page_tokens, Tokens);
    return bound_scores<T>(exec, {problem, row_of_heads(scores, 0), memory});
  }

#if LACUNA_CUDA
  template <int Tokens, Storage T>
  Status score(Cuda exec, Page<Tokens> const&, BatchProblem<T> const& problem, Workspace, Counts, Scores scores) const {
    if (problem.kv.bounds_page_tokens != Tokens)
      return Status::invalid("min_max_bound: the store must keep bounds of pages as large as the unit's",
                             problem.kv.bounds_page_tokens, Tokens);
    return bound_scores(exec, BoundScoresBatchArgs<T>{problem, problem.kv.bounds, Tokens, row_of_heads(scores, 0)});
  }
#endif
};

}  // namespace lacuna
