#pragma once

#include <cstdint>

#include "lacuna/kernels/draw_scores.hpp"
#include "lacuna/selectors/selector.hpp"
#include "lacuna/units/block.hpp"

namespace lacuna {

/// A control: every unit is as promising as any other. Same seed, same choice, whoever scores; every head and row draws
/// its own.
struct RandomSelector {
  static constexpr bool judges_groups = true;

  std::uint64_t seed = 0;

  /// As the attention selectors choose: per KV head in the cache, per query head in the prompt.
  template <class U>
  std::int64_t heads(U const&, Shape const& shape) const {
    return U::moment == Moment::prefill ? shape.heads_q : shape.heads_kv;
  }
  template <class U, Storage T>
  Status score(Cpu exec, U const& unit, Problem<T> const& problem, Workspace, Scores scores) const {
    exec.for_work(scores.count() * 8).each(scores.extent(0), [&](std::int64_t head, int) {
      for (std::int64_t row = 0; row < scores.extent(1); ++row)
        for (std::int64_t id = 0; id < scores.extent(2); ++id) scores(head, row, id) = drawn_score(seed, head, row, id);
    });
    if constexpr (requires { unit.hide(problem, scores); }) unit.hide(problem, scores);
    return {};
  }

  template <class U, Storage T>
  Status score(Cpu, U const& unit, Problem<T> const& problem, Workspace, RowChunk const& chunk, Scores scores) const {
    for (std::int64_t row = 0; row < chunk.rows; ++row)
      for (std::int64_t id = 0; id < scores.extent(2); ++id)
        scores(0, row, id) = drawn_score(seed, chunk.head, chunk.first_row + row, id);
    unit.hide(problem, chunk, scores);
    return {};
  }

#if LACUNA_CUDA
  template <class U, Storage T>
  Status score(Cuda exec, U const&, BatchProblem<T> const& problem, Workspace, Counts, Scores scores) const
      requires(U::moment == Moment::prefill) {
    return cuda::draw_for_heads(exec, seed, problem.batch, scores);
  }
  template <int Tokens, Storage T>
  Status score(Cuda exec, Block<Tokens> const&, BatchProblem<T> const& problem, Workspace, BatchChunk const& chunk,
               Counts, Scores scores) const {
    return cuda::draw_for_blocks(exec, seed, problem, Tokens, chunk.first_row, scores);
  }
#endif
};

}  // namespace lacuna
