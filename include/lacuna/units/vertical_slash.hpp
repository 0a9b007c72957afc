#pragma once

#include <algorithm>
#include <limits>
#include <numeric>

#include "lacuna/index/vertical_slash_index.hpp"
#include "lacuna/kernels/pick_top.hpp"
#include "lacuna/units/unit.hpp"

#if LACUNA_CUDA
#include "lacuna/kernels/cuda/candidates.cuh"
#endif

namespace lacuna {

/// Columns (row 0) and diagonals (row 1) of a query head, or of a KV head whose group shares them; diagonals are
/// executed as Tile x Tile tiles.
template <int Tile = 64>
struct VerticalSlashUnit {
  static_assert(Tile >= 1, "VerticalSlashUnit: a tile must hold at least one key");
  using Index = VerticalSlashIndex;
  static constexpr Moment moment = Moment::prefill;
  static constexpr int rows = 2;
  static constexpr bool anchors_must_fit = false;

  std::int64_t count(std::int64_t tokens) const { return tokens; }
  std::int64_t tokens(std::int64_t units) const { return units; }
  std::int64_t candidates(std::int64_t len) const { return len; }

  /// Short prompts and budgets that cover the prompt keep every column, so there must be room for that many.
  Index make_index(Shape const& shape, std::int64_t heads, std::array<std::int64_t, 2> const& most,
                   Workspace& memory) const {
    std::int64_t const columns = std::min(std::max({most[0], most[1], std::int64_t{Tile}}), shape.len_k);
    return {memory.take<std::int32_t, 2>({heads, columns}),
            memory.take<std::int32_t, 2>({heads, std::min(most[1], shape.len_k)}),
            memory.take<std::int32_t, 2>({heads, 2}),
            shape.len_q,
            shape.len_k,
            Tile};
  }

  template <Storage T>
  void anchor(Problem<T> const&, std::int64_t sink_tokens, std::int64_t recent_tokens, Scores scores) const {
    constexpr float kAlways = std::numeric_limits<float>::infinity();
    for (std::int64_t head = 0; head < scores.extent(0); ++head) {
      std::fill_n(&scores(head, 0, 0), std::min(sink_tokens, scores.extent(2)), kAlways);
      std::fill_n(&scores(head, 1, 0), std::min(recent_tokens, scores.extent(2)), kAlways);
    }
  }

  void reserve_pick(Cpu exec, Shape const& shape, Workspace& memory) const {
    reserve_pick_top(exec, shape.len_k, memory);
  }

  /// A prompt shorter than a tile, or a budget that covers it, is left dense. Offset 0 always stays: without it the
  /// first rows would see nothing.
  template <Storage T>
  Status pick(Cpu exec, Problem<T> const& problem, Scores scores, Counts counts, Workspace memory, Index& index) const {
    if (Status s = set_lens(problem, index); !s) return s;
    for (std::int64_t head = 0; head < scores.extent(0) && scores.extent(2) > 0; ++head)
      scores(head, 1, 0) = std::numeric_limits<float>::infinity();
    for (std::int64_t row : {0, 1}) {
      TensorView<std::int32_t, 1> const wanted{
          counts.data + row * counts.stride(1), {counts.extent(0)}, {counts.stride(0)}};
      TensorView<std::int32_t, 1> const kept{index.counts.data + row, {index.heads()}, {index.counts.stride(0)}};
      Status const s = pick_top(
          exec, {row_of_heads(scores, row), wanted, {}, row == 0 ? index.columns : index.diagonals, kept, memory});
      if (!s) return s;
    }
    for (std::int64_t head = 0; head < index.heads(); ++head)
      if (index.len_k < Tile || counts(head, 0) >= index.len_k || counts(head, 1) >= index.len_k)
        if (Status s = keep_head(head, index); !s) return s;
    return {};
  }

  /// Every column, and the main diagonal whose tiles cover what lies inside a row block.
  template <Storage T>
  Status keep_all(Problem<T> const& problem, Index& index) const {
    if (Status s = set_lens(problem, index); !s) return s;
    for (std::int64_t head = 0; head < index.heads(); ++head)
      if (Status s = keep_head(head, index); !s) return s;
    return {};
  }

#if LACUNA_CUDA
  /// A choice for each head of each sequence: `heads` of them in all.
  Index make_index(BatchShape const& shape, std::int64_t heads, std::array<std::int64_t, 2> const& most,
                   Workspace& memory) const {
    return make_index(shape.each, shape.batch * heads, most, memory);
  }
  template <Storage T>
  Status count_candidates(Cuda exec, BatchProblem<T> const& problem, Counts counts) const {
    return cuda::count_token_candidates(exec, problem, counts);
  }
  template <Storage T>
  Status anchor(Cuda exec, BatchProblem<T> const&, std::int64_t sink_tokens, std::int64_t recent_tokens,
                Scores scores) const {
    return cuda::force_first(exec, sink_tokens, recent_tokens, scores);
  }
  void reserve_pick(Cuda exec, BatchShape const& shape, std::int64_t heads, Workspace& memory) const {
    memory.take<std::int32_t>(2 * shape.batch * heads);
    reserve_pick_top(exec, shape.batch * heads, shape.each.len_k, memory);
  }
  template <Storage T>
  Status pick(Cuda exec, BatchProblem<T> const& problem, Scores scores, Counts counts, Workspace memory,
              Index& index) const {
    if (index.tile != Tile) return Status::invalid("vertical_slash: the index has another tile", index.tile, Tile);
    auto const lens = memory.take<std::int32_t, 2>({counts.extent(0), 2});
    if (Status s = memory.check("vertical_slash: the workspace is smaller than planned"); !s) return s;
    if (Status s = cuda::count_token_candidates(exec, problem, lens); !s) return s;
    if (Status s = cuda::force_first(exec, 0, 1, scores); !s) return s;
    for (std::int64_t row : {0, 1}) {
      auto const of_row = [&](Counts const& all) {
        return TensorView<std::int32_t, 1>{all.data + row * all.stride(1), {all.extent(0)}, {all.stride(0)}};
      };
      Status const s = pick_top(exec, {row_of_heads(scores, row), of_row(counts), of_row(lens),
                                       row == 0 ? index.columns : index.diagonals, of_row(index.counts), memory});
      if (!s) return s;
    }
    return cuda::cover_short(exec, problem, counts, index);
  }
#endif

 private:
  Status keep_head(std::int64_t head, Index& index) const {
    if (index.columns.extent(1) < index.len_k || (index.len_k > 0 && index.diagonals.extent(1) < 1))
      return Status::invalid("vertical_slash: the index has no room for every column; plan for this shape",
                             index.columns.extent(1), index.len_k);
    std::iota(index.columns.slice(head), index.columns.slice(head) + index.len_k, 0);
    index.counts(head, 0) = static_cast<std::int32_t>(index.len_k);
    index.counts(head, 1) = index.len_k > 0 ? 1 : 0;
    if (index.len_k > 0) index.diagonals(head, 0) = 0;
    return {};
  }
  template <Storage T>
  Status set_lens(Problem<T> const& problem, Index& index) const {
    if (index.heads() != problem.heads_q() && index.heads() != problem.heads_kv())
      return Status::invalid("vertical_slash: the index must have one row per query head or per KV head", index.heads(),
                             problem.heads_q());
    if (index.tile != Tile) return Status::invalid("vertical_slash: the index has another tile", index.tile, Tile);
    index.len_q = problem.len_q();
    index.len_k = longest_head(problem.kv);
    for (std::int64_t head = 0; head < problem.heads_kv(); ++head)
      if (problem.kv.length(head) != index.len_k)
        return Status::invalid("vertical_slash: every KV head must hold the same tokens", problem.kv.length(head),
                               index.len_k);
    return {};
  }
};

}  // namespace lacuna
