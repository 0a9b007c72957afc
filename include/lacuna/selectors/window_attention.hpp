#pragma once

#include "lacuna/kernels/window_scores.hpp"
#include "lacuna/selectors/selector.hpp"
#include "lacuna/units/token.hpp"
#include "lacuna/units/vertical_slash.hpp"

namespace lacuna {

/// True attention of the last queries. Columns and diagonals: summed per query head, as in MInference (arXiv
/// 2407.02490). Tokens: the mean over the group, summed over the window, as in SnapKV (arXiv 2404.14469). A prompt
/// shorter than the window is its own window.
struct WindowAttention {
  static constexpr bool measures_mass = true;
  static constexpr bool judges_groups = true;

  std::int64_t window = 256;  // queries

  template <class U>
  Status check(U const&, Shape const&, std::int64_t) const {
    if (window < 1) return Status::invalid("window_attention: window must be at least 1", window, 1);
    return {};
  }

  template <int Tile>
  std::int64_t heads(VerticalSlashUnit<Tile> const&, Shape const& shape) const {
    return shape.heads_q;
  }
  std::int64_t heads(Token const&, Shape const& shape) const { return shape.heads_kv; }

  /// A window of one query tells nothing about diagonals.
  template <int Tile>
  bool can_judge(VerticalSlashUnit<Tile> const&, Shape const& shape) const {
    return window >= 2 && shape.len_k >= 2;
  }
  bool can_judge(Token const&, Shape const& shape) const { return shape.len_q >= 1; }

  template <class U>
  void reserve(Cpu exec, U const&, Shape const& shape, Workspace& memory) const {
    reserve_window_scores(exec, shape, window, memory);
  }

  template <int Tile, Storage T>
  Status score(Cpu exec, VerticalSlashUnit<Tile> const&, Problem<T> const& problem, Workspace memory,
               Scores scores) const {
    return window_scores<T>(exec, {problem, window, row_of_heads(scores, 0), row_of_heads(scores, 1), memory});
  }

  template <Storage T>
  Status score(Cpu exec, Token const&, Problem<T> const& problem, Workspace memory, Scores scores) const {
    return window_scores<T>(exec, {problem, window, row_of_heads(scores, 0), {}, memory});
  }

#if LACUNA_CUDA
  template <int Tile>
  void reserve(Cuda exec, VerticalSlashUnit<Tile> const&, BatchShape const& shape, std::int64_t,
               Workspace& memory) const {
    reserve_window_scores(exec, shape, window, shape.each.heads_q, true, memory);
  }
  template <int Tile, Storage T>
  Status score(Cuda exec, VerticalSlashUnit<Tile> const&, BatchProblem<T> const& problem, Workspace memory, Counts,
               Scores scores) const {
    return window_scores(
        exec, WindowScoresBatchArgs<T>{problem, window, row_of_heads(scores, 0), row_of_heads(scores, 1), memory});
  }
  void reserve(Cuda exec, Token const&, BatchShape const& shape, std::int64_t, Workspace& memory) const {
    reserve_window_scores(exec, shape, window, shape.each.heads_kv, false, memory);
  }
  template <Storage T>
  Status score(Cuda exec, Token const&, BatchProblem<T> const& problem, Workspace memory, Counts, Scores scores) const {
    return window_scores(exec, WindowScoresBatchArgs<T>{problem, window, row_of_heads(scores, 0), {}, memory});
  }
#endif
};

}  // namespace lacuna
