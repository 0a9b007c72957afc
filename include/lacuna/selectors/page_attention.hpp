#pragma once

#include <algorithm>

#include "lacuna/kernels/page_mass.hpp"
#include "lacuna/kernels/pick_top.hpp"
#include "lacuna/selectors/selector.hpp"
#include "lacuna/units/page.hpp"

namespace lacuna {

/// Wraps a selector of pages, which names candidates generously; each of them gets the share of attention that its
/// tokens hold among the candidates, the mean over the group where the group shares its choice (Twilight, arXiv
/// 2502.02770, by pages). Other pages get -inf. The keys are the true ones or, Estimated, the store's copy in 8 bits. A
/// bound such as Quest's ranks pages well, but says nothing of their mass: it is highest where keys differ most.
template <class S, bool Estimated = false>
struct PageAttention {
  static constexpr bool measures_mass = true;

  S inner{};
  std::int64_t candidate_tokens = 4096;

  template <int Tokens>
  Status check(Page<Tokens> const& unit, Shape const& shape, std::int64_t kept) const {
    if (candidate_tokens < 1 || candidate_tokens % Tokens != 0)
      return Status::invalid("page_attention: candidate_tokens must be a positive multiple of the tokens of a page",
                             candidate_tokens, Tokens);
    return check_selector(inner, unit, shape, kept);
  }

  template <int Tokens>
  void reserve(Cpu exec, Page<Tokens> const& unit, Shape const& shape, Workspace& memory) const {
    (void)take_candidates(unit, shape, memory);
    Workspace weighing = memory, picking = memory;  // after naming, in the same memory
    reserve_scoring(exec, inner, unit, shape, memory);
    reserve_pick_top(exec, unit.candidates(shape.len_k), picking);
    reserve_page_mass(exec, shape, most_candidates(unit, shape), weighing);
    for (Workspace const& other : {picking, weighing})
      if (other.used_bytes() > memory.used_bytes()) memory = other;
  }

  template <int Tokens, Storage T>
  Status score(Cpu exec, Page<Tokens> const& unit, Problem<T> const& problem, Workspace memory,
               Scores scores) const requires WholeSelectorFor<S, Page<Tokens>> {
    if (Estimated && problem.kv.key_codes.data == nullptr)
      return Status::invalid("page_attention: the store must keep codes of its keys");
    Candidates const named = take_candidates(unit, shape_of(problem), memory);
    if (Status s = memory.check("page_attention: the workspace is smaller than planned"); !s) return s;
    if (Status s = inner.score(exec, unit, problem, memory, scores); !s) return s;
    std::int64_t const rows = scores.extent(0);
    for (std::int64_t row = 0; row < rows; ++row) {
      std::int64_t const len = problem.kv.length(row * problem.heads_kv() / rows);
      named.full(row) = static_cast<std::int32_t>(unit.candidates(len));
      named.wanted(row) = static_cast<std::int32_t>(std::min(candidate_tokens / Tokens, named.pages.extent(1)));
    }
    Status const s =
        pick_top(exec, {row_of_heads(scores, 0), named.wanted, named.full, named.pages, named.counts, memory});
    if (!s) return s;
    return page_mass<T>(exec, {problem, named.pages, named.counts, Tokens, row_of_heads(scores, 0), memory, Estimated});
  }

#if LACUNA_CUDA
  template <int Tokens>
  void reserve(Cuda exec, Page<Tokens> const& unit, BatchShape const& shape, std::int64_t rows,
               Workspace& memory) const {
    Candidates const named = take_candidates(exec, unit, shape, memory);
    Workspace weighing = memory, picking = memory;  // after naming, in the same memory
    reserve_scoring(exec, inner, unit, shape, rows, memory);
    reserve_pick_top(exec, named.pages.extent(0), unit.candidates(shape.each.len_k), picking);
    reserve_page_mass(exec, shape, named.pages.extent(1), weighing);
    for (Workspace const& other : {picking, weighing})
      if (other.used_bytes() > memory.used_bytes()) memory = other;
  }
  template <int Tokens, Storage T>
  Status score(Cuda exec, Page<Tokens> const& unit, BatchProblem<T> const& problem, Workspace memory, Counts candidates,
               Scores scores) const requires(WholeSelectorFor<S, Page<Tokens>> && !Estimated) {
    Candidates const named = take_candidates(exec, unit, shape_of(problem), memory);
    if (Status s = memory.check("page_attention: the workspace is smaller than planned"); !s) return s;
    if (Status s = inner.score(exec, unit, problem, memory, candidates, scores); !s) return s;
    // As many as there is room for, which is what was asked for.
    TensorView<std::int32_t const, 1> const full{candidates.data, {candidates.extent(0)}, {candidates.stride(0)}};
    Status const s = pick_top(exec, {row_of_heads(scores, 0), full, full, named.pages, named.counts, memory});
    if (!s) return s;
    return page_mass(exec,
                     PageMassBatchArgs<T>{problem, named.pages, named.counts, Tokens, row_of_heads(scores, 0), memory});
  }
#endif

 private:
  struct Candidates {
    TensorView<std::int32_t, 2> pages;                 // [rows, most_candidates]
    TensorView<std::int32_t, 1> counts, wanted, full;  // [rows]
  };

#if LACUNA_CUDA
  template <class U>
  Candidates take_candidates(Cuda, U const& unit, BatchShape const& shape, Workspace& memory) const {
    std::int64_t const rows = shape.batch * heads_of(inner, unit, shape.each);
    return {memory.take<std::int32_t, 2>({rows, most_candidates(unit, shape.each)}),
            memory.take<std::int32_t, 1>({rows}),
            {},
            {}};
  }
#endif

  template <class U>
  std::int64_t most_candidates(U const& unit, Shape const& shape) const {
    return std::min(unit.count(candidate_tokens), unit.candidates(shape.len_k));
  }

  template <class U>
  Candidates take_candidates(U const& unit, Shape const& shape, Workspace& memory) const {
    std::int64_t const rows = heads_of(inner, unit, shape);
    return {memory.take<std::int32_t, 2>({rows, most_candidates(unit, shape)}), memory.take<std::int32_t, 1>({rows}),
            memory.take<std::int32_t, 1>({rows}), memory.take<std::int32_t, 1>({rows})};
  }
};

}  // namespace lacuna
