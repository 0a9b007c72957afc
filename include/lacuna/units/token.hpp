#pragma once

#include <algorithm>
#include <limits>
#include <numeric>

#include "lacuna/index/token_index.hpp"
#include "lacuna/kernels/pick_top.hpp"
#include "lacuna/units/unit.hpp"

#if LACUNA_CUDA
#include "lacuna/kernels/cuda/token_steps.cuh"
#endif

namespace lacuna {

/// One cached token of a KV head; the heads of its group share the choice.
struct Token {
  using Index = TokenIndex;
  static constexpr Moment moment = Moment::prompt_end;
  static constexpr int rows = 1;
  static constexpr bool anchors_must_fit = true;  // a cache of nothing but sinks and recent tokens chooses nothing

  std::int64_t count(std::int64_t tokens) const { return tokens; }
  std::int64_t tokens(std::int64_t units) const { return units; }
  std::int64_t candidates(std::int64_t len) const { return len; }

  Index make_index(Shape const& shape, std::int64_t heads, std::array<std::int64_t, 1> const& most,
                   Workspace& memory) const {
    return {memory.take<std::int32_t, 2>({heads, std::min(most[0], shape.len_k)}),
            memory.take<std::int32_t, 1>({heads}), memory.take<std::int32_t, 1>({heads})};
  }

  template <Storage T>
  void anchor(Problem<T> const& problem, std::int64_t sink_tokens, std::int64_t recent_tokens, Scores scores) const {
    constexpr float kAlways = std::numeric_limits<float>::infinity();
    for (std::int64_t head = 0; head < scores.extent(0); ++head) {
      float* const row = scores.slice(head);
      std::int64_t const len = problem.kv.length(head);
      std::fill_n(row, std::min(sink_tokens, len), kAlways);
      std::fill(row + std::max<std::int64_t>(len - recent_tokens, 0), row + len, kAlways);
    }
  }

  void reserve_pick(Cpu exec, Shape const& shape, Workspace& memory) const {
    reserve_pick_top(exec, shape.len_k, memory);
  }

  template <Storage T>
  Status pick(Cpu exec, Problem<T> const& problem, Scores scores, Counts counts, Workspace memory, Index& index) const {
    return pick(exec, problem, scores, counts, memory, index, false);
  }

  template <Storage T>
  Status keep_all(Problem<T> const& problem, Index& index) const {
    if (Status s = set_lens(problem, index); !s) return s;
    for (std::int64_t head = 0; head < index.heads(); ++head) {
      std::int32_t const len = index.lens(head);
      if (len > index.tokens.extent(1))
        return Status::invalid("token: the index has no room for every token", len, index.tokens.extent(1));
      std::iota(index.tokens.slice(head), index.tokens.slice(head) + len, 0);
      index.counts(head) = len;
    }
    return {};
  }

#if LACUNA_CUDA
  // A sequence without a query in the call has nothing to go by: its heads get a count of -1, which keeps everything.

  Index make_index(BatchShape const& shape, std::int64_t heads, std::array<std::int64_t, 1> const& most,
                   Workspace& memory) const {
    return make_index(shape.each, shape.batch * heads, most, memory);
  }
  template <Storage T>
  Status count_candidates(Cuda exec, BatchProblem<T> const& problem, Counts counts) const {
    return cuda::count_token_candidates(exec, problem, counts);
  }
  template <Storage T>
  Status anchor(Cuda exec, BatchProblem<T> const& problem, std::int64_t sink_tokens, std::int64_t recent_tokens,
                Scores scores) const {
    return cuda::force_tokens(exec, problem, sink_tokens, recent_tokens, scores);
  }
  void reserve_pick(Cuda exec, BatchShape const& shape, std::int64_t heads, Workspace& memory) const {
    reserve_pick_top(exec, shape.batch * heads, shape.each.len_k, memory);
  }
  template <Storage T>
  Status pick(Cuda exec, BatchProblem<T> const& problem, Scores scores, Counts counts, Workspace memory,
              Index& index) const {
    return pick(exec, problem, scores, counts, memory, index, false);
  }
#endif

 protected:
#if LACUNA_CUDA
  template <Storage T>
  Status pick(Cuda exec, BatchProblem<T> const& problem, Scores scores, Counts counts, Workspace memory, Index& index,
              bool ties_to_higher) const {
    if (index.heads() != problem.batch * problem.heads_kv())
      return Status::invalid("token: the index must have one row per KV head", index.heads(),
                             problem.batch * problem.heads_kv());
    Counts const lens{index.lens.data, {index.heads(), 1}, {index.lens.stride(0), 1}};
    if (Status s = count_candidates(exec, problem, lens); !s) return s;
    Status const s = pick_top(exec, {row_of_heads(scores, 0),
                                     {counts.data, {counts.extent(0)}, {counts.stride(0)}},
                                     index.lens,
                                     index.tokens,
                                     index.counts,
                                     memory,
                                     ties_to_higher});
    return s ? cuda::spare_unasked(exec, problem, index.counts) : s;
  }
#endif

  template <Storage T>
  Status pick(Cpu exec, Problem<T> const& problem, Scores scores, Counts counts, Workspace memory, Index& index,
              bool ties_to_higher) const {
    if (Status s = set_lens(problem, index); !s) return s;
    return pick_top(exec, {row_of_heads(scores, 0),
                           {counts.data, {counts.extent(0)}, {counts.stride(0)}},
                           index.lens,
                           index.tokens,
                           index.counts,
                           memory,
                           ties_to_higher});
  }

 private:
  template <Storage T>
  Status set_lens(Problem<T> const& problem, Index& index) const {
    if (index.heads() != problem.heads_kv())
      return Status::invalid("token: the index must have one row per KV head", index.heads(), problem.heads_kv());
    for (std::int64_t head = 0; head < index.heads(); ++head)
      index.lens(head) = static_cast<std::int32_t>(problem.kv.length(head));
    return {};
  }
};

/// A token again, but one that may leave after every step. Of tokens that tie the oldest leave.
struct StepToken : Token {
  static constexpr Moment moment = Moment::evict_each_step;

  template <Storage T>
  Status pick(Cpu exec, Problem<T> const& problem, Scores scores, Counts counts, Workspace memory, Index& index) const {
    return Token::pick(exec, problem, scores, counts, memory, index, true);
  }
#if LACUNA_CUDA
  template <Storage T>
  Status pick(Cuda exec, BatchProblem<T> const& problem, Scores scores, Counts counts, Workspace memory,
              Index& index) const {
    return Token::pick(exec, problem, scores, counts, memory, index, true);
  }
#endif
};

}  // namespace lacuna
