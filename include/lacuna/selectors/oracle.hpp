#pragma once

#include <algorithm>
#include <limits>

#include "lacuna/kernels/group_mass.hpp"
#include "lacuna/kernels/window_scores.hpp"
#include "lacuna/selectors/antidiagonal.hpp"
#include "lacuna/selectors/selector.hpp"
#include "lacuna/selectors/window_attention.hpp"
#include "lacuna/units/block.hpp"
#include "lacuna/units/page.hpp"
#include "lacuna/units/token.hpp"
#include "lacuna/units/vertical_slash.hpp"

namespace lacuna {

/// A control: the attention that each unit really receives, at the price of computing it. The ceiling for every
/// selector that goes by mass. Columns, diagonals and tokens: from all queries of the call. Blocks: from their own
/// query block. Pages: from the one query, the mean over the group.
struct OracleSelector {
  static constexpr bool measures_mass = true;
  static constexpr bool judges_groups = true;

  template <class U>
  std::int64_t heads(U const&, Shape const& shape) const {
    return U::moment == Moment::prefill ? shape.heads_q : shape.heads_kv;
  }
  template <class U>
  bool can_judge(U const&, Shape const& shape) const {
    return shape.len_q >= 1;
  }

  template <class U>
  void reserve(Cpu exec, U const&, Shape const& shape, Workspace& memory) const {
    reserve_window_scores(exec, shape, std::max<std::int64_t>(shape.len_q, 1), memory);
  }
  template <int Tile, Storage T>
  Status score(Cpu exec, VerticalSlashUnit<Tile> const&, Problem<T> const& problem, Workspace memory,
               Scores scores) const {
    return window_scores<T>(exec, {problem, problem.len_q(), row_of_heads(scores, 0), row_of_heads(scores, 1), memory});
  }
  template <Storage T>
  Status score(Cpu exec, Token const&, Problem<T> const& problem, Workspace memory, Scores scores) const {
    return window_scores<T>(exec, {problem, problem.len_q(), row_of_heads(scores, 0), {}, memory});
  }

  template <int Tokens>
  void reserve(Cpu exec, Block<Tokens> const& unit, Shape const& shape, Workspace& memory) const {
    Antidiagonal{1}.reserve(exec, unit, shape, memory);
  }
  template <int Tokens, Storage T>
  Status score(Cpu exec, Block<Tokens> const& unit, Problem<T> const& problem, Workspace memory, RowChunk const& chunk,
               Scores scores) const {
    return Antidiagonal{1}.score(exec, unit, problem, memory, chunk, scores);
  }

  template <int Tokens>
  void reserve(Cpu exec, Page<Tokens> const& unit, Shape const& shape, Workspace& memory) const {
    memory.take<float>(exec.workers * (unit.count(shape.len_k) + floats(unit, shape)));
  }
  template <int Tokens, Storage T>
  Status score(Cpu exec, Page<Tokens> const& unit, Problem<T> const& problem, Workspace memory, Scores scores) const {
    Shape const shape = shape_of(problem);
    std::int64_t const pages = unit.count(shape.len_k), each = pages + floats(unit, shape);
    float* const scratch = memory.take<float>(exec.workers * each);
    if (Status s = memory.check("oracle: the workspace is smaller than planned"); !s) return s;
    if (shape.len_q != 1) return Status::invalid("oracle: pages are for one query", shape.len_q, 1);
    exec.for_work(shape.heads_q * shape.len_k * shape.dim).each(shape.heads_kv, [&](std::int64_t row, int worker) {
      std::int64_t const len = problem.kv.length(row), full = unit.candidates(len);
      float* const mass = scratch + worker * each;
      std::fill_n(&scores(row, 0, 0), full, 0.0F);
      for (std::int64_t head = row * shape.group(); len > 0 && head < (row + 1) * shape.group(); ++head) {
        TensorView<float, 2> const of_pages{mass, {1, unit.count(len)}, {0, 1}};
        (void)group_mass<T>({}, {problem, head, 1, len - 1, 1, Tokens, of_pages, mass + pages});
        for (std::int64_t page = 0; page < full; ++page)
          scores(row, 0, page) += mass[page] / static_cast<float>(shape.group());
      }
    });
    unit.hide(problem, scores);
    return {};
  }

#if LACUNA_CUDA
  template <int Tile>
  void reserve(Cuda exec, VerticalSlashUnit<Tile> const& unit, BatchShape const& shape, std::int64_t rows,
               Workspace& memory) const {
    all_queries(shape.each.len_q).reserve(exec, unit, shape, rows, memory);
  }
  template <int Tile, Storage T>
  Status score(Cuda exec, VerticalSlashUnit<Tile> const& unit, BatchProblem<T> const& problem, Workspace memory,
               Counts candidates, Scores scores) const {
    return all_queries(problem.max_len_q).score(exec, unit, problem, memory, candidates, scores);
  }
  template <int Tokens>
  void reserve(Cuda exec, Block<Tokens> const& unit, BatchShape const& shape, std::int64_t rows,
               Workspace& memory) const {
    Antidiagonal{1}.reserve(exec, unit, shape, rows, memory);
  }
  template <int Tokens, Storage T>
  Status score(Cuda exec, Block<Tokens> const& unit, BatchProblem<T> const& problem, Workspace memory,
               BatchChunk const& chunk, Counts candidates, Scores scores) const {
    return Antidiagonal{1}.score(exec, unit, problem, memory, chunk, candidates, scores);
  }
#endif

 private:
#if LACUNA_CUDA
  /// Up to 4096 of them, window_scores's most.
  static WindowAttention all_queries(std::int64_t len_q) { return {std::max<std::int64_t>(len_q, 1)}; }
#endif

  template <int Tokens>
  std::int64_t floats(Page<Tokens> const& unit, Shape const& shape) const {
    return group_mass_floats(1, 1, unit.count(shape.len_k), shape.dim);
  }
};

}  // namespace lacuna
