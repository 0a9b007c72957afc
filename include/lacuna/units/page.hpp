#pragma once

#include <algorithm>
#include <limits>
#include <numeric>

#include "lacuna/index/page_index.hpp"
#include "lacuna/kernels/pick_top.hpp"
#include "lacuna/units/unit.hpp"

#if LACUNA_CUDA
#include "lacuna/kernels/cuda/token_steps.cuh"
#endif

namespace lacuna {

/// A run of cached tokens. Candidates are the full pages before the current one; the current page, which holds the
/// newest token, is always kept, on top of the budget.
template <int Tokens = 16>
struct Page {
  static_assert(Tokens >= 1, "Page: a page must hold at least one token");
  using Index = PageIndex;
  static constexpr Moment moment = Moment::each_step;
  static constexpr int rows = 1;
  static constexpr bool anchors_must_fit = false;
  static constexpr bool picks_all_the_room = true;  // on the device, without counts: as many as the index has room for

  std::int64_t count(std::int64_t tokens) const { return (tokens + Tokens - 1) / Tokens; }
  std::int64_t tokens(std::int64_t units) const { return units * Tokens; }
  std::int64_t candidates(std::int64_t len) const { return len == 0 ? 0 : (len - 1) / Tokens; }

  Index make_index(Shape const& shape, std::int64_t heads, std::array<std::int64_t, 1> const& most,
                   Workspace& memory) const {
    std::int64_t const capacity = std::min(most[0], candidates(shape.len_k)) + 1;
    return {memory.take<std::int32_t, 2>({heads, capacity}), memory.take<std::int32_t, 1>({heads}),
            memory.take<std::int32_t, 1>({heads}), Tokens};
  }

  template <Storage T>
  void anchor(Problem<T> const& problem, std::int64_t sink_tokens, std::int64_t recent_tokens, Scores scores) const {
    constexpr float kAlways = std::numeric_limits<float>::infinity();
    for (std::int64_t head = 0; head < scores.extent(0); ++head) {
      float* const row = scores.slice(head);
      std::int64_t const len = problem.kv.length(head * problem.heads_kv() / scores.extent(0));
      std::int64_t const full = candidates(len), oldest = oldest_page(problem, len);
      std::fill(row + oldest, row + std::clamp(count(sink_tokens), oldest, full), kAlways);
      std::fill(row + std::clamp((len - recent_tokens) / Tokens, oldest, full), row + full, kAlways);
    }
  }

  /// -inf to the pages that the window leaves behind.
  template <Storage T>
  void hide(Problem<T> const& problem, Scores scores) const {
    for (std::int64_t head = 0; head < scores.extent(0); ++head)
      std::fill_n(scores.slice(head),
                  oldest_page(problem, problem.kv.length(head * problem.heads_kv() / scores.extent(0))),
                  -std::numeric_limits<float>::infinity());
  }

  void reserve_pick(Cpu exec, Shape const& shape, Workspace& memory) const {
    memory.take<std::int32_t>(shape.heads_q);
    reserve_pick_top(exec, candidates(shape.len_k), memory);
  }

  template <Storage T>
  Status pick(Cpu exec, Problem<T> const& problem, Scores scores, Counts counts, Workspace memory, Index& index) const {
    if (Status s = set_lens(problem, index); !s) return s;
    std::int64_t const choices = index.rows();
    auto const full_pages = memory.take<std::int32_t, 1>({choices});
    if (Status s = memory.check("page: the workspace is smaller than planned"); !s) return s;
    for (std::int64_t row = 0; row < choices; ++row)
      full_pages(row) = static_cast<std::int32_t>(candidates(index.lens(row)));
    TensorView<std::int32_t, 2> before_current = index.pages;  // the last place is the current page's
    before_current.extents[1] -= 1;
    Status const s = pick_top(exec, {row_of_heads(scores, 0),
                                     {counts.data, {counts.extent(0)}, {counts.stride(0)}},
                                     full_pages,
                                     before_current,
                                     index.counts,
                                     memory});
    if (!s) return s;
    for (std::int64_t row = 0; row < choices; ++row)
      if (index.lens(row) > 0) index.pages(row, index.counts(row)++) = full_pages(row);
    return {};
  }

  template <Storage T>
  Status keep_all(Problem<T> const& problem, Index& index) const {
    if (Status s = set_lens(problem, index); !s) return s;
    for (std::int64_t row = 0; row < index.rows(); ++row) {
      std::int64_t const held = count(index.lens(row));
      if (held > index.pages.extent(1))
        return Status::invalid("page: the index has no room for every page", held, index.pages.extent(1));
      std::iota(index.pages.slice(row), index.pages.slice(row) + held, 0);
      index.counts(row) = static_cast<std::int32_t>(held);
    }
    return {};
  }

#if LACUNA_CUDA
  Index make_index(BatchShape const& shape, std::int64_t heads, std::array<std::int64_t, 1> const& most,
                   Workspace& memory) const {
    Shape each = shape.each;
    each.heads_q = each.heads_kv = heads;
    return make_index(each, shape.batch * heads, most, memory);
  }
  template <Storage T>
  Status count_candidates(Cuda exec, BatchProblem<T> const& problem, Counts counts) const {
    return cuda::count_page_candidates(exec, problem, Tokens, counts);
  }
  template <Storage T>
  Status anchor(Cuda exec, BatchProblem<T> const& problem, std::int64_t sink_tokens, std::int64_t recent_tokens,
                Scores scores) const {
    return cuda::force_pages(exec, problem, Tokens, sink_tokens, recent_tokens, scores);
  }
  void reserve_pick(Cuda exec, BatchShape const& shape, std::int64_t heads, Workspace& memory) const {
    reserve_pick_top(exec, shape.batch * heads, candidates(shape.each.len_k), memory);
  }
  /// Counts may be null: see picks_all_the_room.
  template <Storage T>
  Status pick(Cuda exec, BatchProblem<T> const& problem, Scores scores, Counts counts, Workspace memory,
              Index& index) const {
    if (index.page_tokens != Tokens)
      return Status::invalid("page: the index has another page size", index.page_tokens, Tokens);
    return pick_pages(exec, {row_of_heads(scores, 0),
                             {counts.data, {counts.extent(0)}, {counts.stride(0)}},
                             problem.kv.lens,
                             index,
                             memory});
  }
#endif

 private:
  /// The first full page that the newest query sees, or the current one.
  template <Storage T>
  std::int64_t oldest_page(Problem<T> const& problem, std::int64_t len) const {
    return len == 0 ? 0 : std::min(problem.oldest_key(len - 1) / Tokens, candidates(len));
  }
  template <Storage T>
  Status set_lens(Problem<T> const& problem, Index& index) const {
    std::int64_t const heads = index.rows();
    if (index.page_tokens != Tokens)
      return Status::invalid("page: the index has another page size", index.page_tokens, Tokens);
    if (heads != problem.heads_kv() && heads != problem.heads_q())
      return Status::invalid("page: the index must have one row per KV head or per query head", heads,
                             problem.heads_kv());
    for (std::int64_t row = 0; row < heads; ++row)
      index.lens(row) = static_cast<std::int32_t>(problem.kv.length(row * problem.heads_kv() / heads));
    return {};
  }
};

}  // namespace lacuna
