#pragma once

#include <algorithm>
#include <limits>

#include "lacuna/kernels/group_mass.hpp"
#include "lacuna/selectors/selector.hpp"
#include "lacuna/units/block.hpp"

namespace lacuna {

/// The attention of a query block to each key block, estimated from every `stride`-th pair: the antidiagonals of
/// stride x stride cells (XAttention, arXiv 2503.16428). A stride of 1 is exact.
struct Antidiagonal {
  static constexpr bool measures_mass = true;

  std::int64_t stride = 8;  // tokens; the paper uses 4, 8 and 16

  template <int Tokens>
  Status check(Block<Tokens> const&, Shape const&, std::int64_t) const {
    if (stride < 1 || Tokens % stride != 0)
      return Status::invalid("antidiagonal: stride must divide the tokens of a block", stride, Tokens);
    return {};
  }
  template <int Tokens>
  std::int64_t heads(Block<Tokens> const&, Shape const& shape) const {
    return shape.heads_q;
  }
  template <int Tokens>
  void reserve(Cpu exec, Block<Tokens> const& unit, Shape const& shape, Workspace& memory) const {
    memory.take<float>(exec.workers * floats(unit, shape));
  }

  template <int Tokens, Storage T>
  Status score(Cpu exec, Block<Tokens> const& unit, Problem<T> const& problem, Workspace memory, RowChunk const& chunk,
               Scores scores) const {
    Shape const shape = shape_of(problem);
    float* const scratch = memory.take<float>(exec.workers * floats(unit, shape)) + chunk.worker * floats(unit, shape);
    std::int64_t const together = blocks_together<Tokens>();
    for (std::int64_t row = 0; row < chunk.rows; row += together) {
      std::int64_t const rows = std::min(together, chunk.rows - row);
      std::int64_t const m = unit.first_block(shape) + chunk.first_row + row;
      std::int64_t const first = std::max(m * Tokens, shape.len_k - shape.len_q) / stride;
      std::int64_t const end = (std::min((m + rows) * Tokens, shape.len_k) + stride - 1) / stride;
      TensorView<float, 2> const mass{&scores(0, row, 0), {rows, m + rows}, {scores.stride(1), 1}};
      Status const s = group_mass<T>(exec, {problem, chunk.head, stride, first, end - first, Tokens, mass, scratch});
      if (!s) return s;
      for (std::int64_t r = 0; r < rows; ++r)
        std::fill(mass.slice(r) + m + r + 1, mass.slice(r) + scores.extent(2), -std::numeric_limits<float>::infinity());
    }
    unit.hide(problem, chunk, scores);
    return {};
  }

#if LACUNA_CUDA
  template <int Tokens>
  void reserve(Cuda exec, Block<Tokens> const&, BatchShape const& shape, std::int64_t rows, Workspace& memory) const {
    reserve_group_mass(exec, shape, stride, Tokens, rows, memory);
  }
  template <int Tokens, Storage T>
  Status score(Cuda exec, Block<Tokens> const&, BatchProblem<T> const& problem, Workspace memory,
               BatchChunk const& chunk, Counts, Scores scores) const {
    return group_mass(exec, GroupMassBatchArgs<T>{problem, stride, Tokens, chunk.first_row, scores, memory});
  }
#endif

 private:
  template <int Tokens>
  std::int64_t floats(Block<Tokens> const& unit, Shape const& shape) const {
    return group_mass_floats(blocks_together<Tokens>() * Tokens / stride, stride, unit.count(shape.len_k), shape.dim);
  }

  /// About 128 query groups share what is packed of the keys.
  template <int Tokens>
  std::int64_t blocks_together() const {
    return std::clamp<std::int64_t>(128 * stride / Tokens, 1, Block<Tokens>::rows_at_once);
  }
};

}  // namespace lacuna
