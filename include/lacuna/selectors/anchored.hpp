#pragma once

#include "lacuna/selectors/selector.hpp"

namespace lacuna {

/// Wraps a selector: the units of the first and of the last tokens always win, within the budget. What that means is
/// the unit's to say: the first columns and the nearest diagonals, or the first and last tokens.
template <class S, std::int64_t DefaultRecentTokens = 64, std::int64_t DefaultSinkTokens = 4>
struct Anchored {
  static constexpr bool measures_mass = kMeasuresMass<S>;
  static constexpr bool reads_bounds_alone = kReadsBoundsAlone<S>;

  S inner{};
  std::int64_t sink_tokens = DefaultSinkTokens;
  std::int64_t recent_tokens = DefaultRecentTokens;

  template <class U>
  Status check(U const& unit, Shape const& shape, std::int64_t kept) const {
    if (sink_tokens < 0) return Status::invalid("anchored: sink_tokens must not be negative", sink_tokens, 0);
    if (recent_tokens < 0) return Status::invalid("anchored: recent_tokens must not be negative", recent_tokens, 0);
    if (U::anchors_must_fit && kept <= sink_tokens + recent_tokens)
      return Status::invalid("anchored: the budget must exceed sink_tokens + recent_tokens", kept,
                             sink_tokens + recent_tokens);
    return check_selector(inner, unit, shape, kept);
  }

  template <class U, Storage T>
  Status score(Cpu exec, U const& unit, Problem<T> const& problem, Workspace memory,
               Scores scores) const requires WholeSelectorFor<S, U> {
    if (Status s = inner.score(exec, unit, problem, memory, scores); !s) return s;
    force(unit, problem, scores);
    return {};
  }
  template <class U, Storage T>
  Status score(Cpu exec, U const& unit, Problem<T> const& problem, Workspace memory, RowChunk const& chunk,
               Scores scores) const requires StreamedSelectorFor<S, U> {
    if (Status s = inner.score(exec, unit, problem, memory, chunk, scores); !s) return s;
    force(unit, problem, chunk, scores);
    return {};
  }

  template <class U, Storage T>
  void force(U const& unit, Problem<T> const& problem, Scores scores) const {
    unit.anchor(problem, sink_tokens, recent_tokens, scores);
  }
  template <class U, Storage T>
  void force(U const& unit, Problem<T> const& problem, RowChunk const& chunk, Scores scores) const {
    unit.anchor(problem, sink_tokens, recent_tokens, chunk, scores);
  }

#if LACUNA_CUDA
  template <class U, Storage T>
  Status score(Cuda exec, U const& unit, BatchProblem<T> const& problem, Workspace memory, Counts candidates,
               Scores scores) const requires WholeSelectorFor<S, U> {
    if (Status s = inner.score(exec, unit, problem, memory, candidates, scores); !s) return s;
    return force(exec, unit, problem, scores);
  }
  template <class U, Storage T>
  Status score(Cuda exec, U const& unit, BatchProblem<T> const& problem, Workspace memory, BatchChunk const& chunk,
               Counts candidates, Scores scores) const requires StreamedSelectorFor<S, U> {
    if (Status s = inner.score(exec, unit, problem, memory, chunk, candidates, scores); !s) return s;
    return force(exec, unit, problem, chunk, scores);
  }
  template <class U, Storage T>
  Status force(Cuda exec, U const& unit, BatchProblem<T> const& problem, Scores scores) const {
    return unit.anchor(exec, problem, sink_tokens, recent_tokens, scores);
  }
  template <class U, Storage T>
  Status force(Cuda exec, U const& unit, BatchProblem<T> const& problem, BatchChunk const& chunk, Scores scores) const {
    return unit.anchor(exec, problem, sink_tokens, recent_tokens, chunk, scores);
  }
#endif
};

}  // namespace lacuna
