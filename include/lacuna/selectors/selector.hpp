#pragma once

#include <concepts>
#include <cstdint>

#include "lacuna/core/batch_problem.hpp"
#include "lacuna/core/exec.hpp"
#include "lacuna/core/problem.hpp"
#include "lacuna/core/shape.hpp"
#include "lacuna/core/status.hpp"
#include "lacuna/core/workspace.hpp"
#include "lacuna/index/scores.hpp"
#include "lacuna/units/unit.hpp"

namespace lacuna {

// How promising each unit is. A selector says how many choices it makes and scores them; the other members are for
// those that have something to say. What a wrapper, a selector with a member `inner`, does not say is said by what it
// wraps.
// - heads(unit, shape): choices per call: heads_q, or heads_kv when a group shares its choice.
// - check(unit, shape, kept): are the parameters sound for this shape, when `kept` units may stay? Else they are.
// - can_judge(unit, shape): false where there is too little to go by; then everything is kept. Else true.
// - reserve(exec, unit, shape, memory) takes from memory what scoring will take. Else nothing.
// - prepare(exec, unit, problem, memory): once per call, before the first chunk of a streamed unit. Else nothing.

template <class S>
concept WrapsSelector = requires(S const selector) {
  selector.inner;
};

template <class S, class U>
std::int64_t heads_of(S const& selector, U const& unit, Shape const& shape) {
  if constexpr (requires { selector.heads(unit, shape); })
    return selector.heads(unit, shape);
  else
    return heads_of(selector.inner, unit, shape);
}

template <class S, class U>
Status check_selector(S const& selector, U const& unit, Shape const& shape, std::int64_t kept) {
  if constexpr (requires { selector.check(unit, shape, kept); })
    return selector.check(unit, shape, kept);
  else if constexpr (WrapsSelector<S>)
    return check_selector(selector.inner, unit, shape, kept);
  else
    return {};
}

template <class S, class U>
bool can_judge(S const& selector, U const& unit, Shape const& shape) {
  if constexpr (requires { selector.can_judge(unit, shape); })
    return selector.can_judge(unit, shape);
  else if constexpr (WrapsSelector<S>)
    return can_judge(selector.inner, unit, shape);
  else
    return true;
}

template <class S, class U>
void reserve_scoring(Cpu exec, S const& selector, U const& unit, Shape const& shape, Workspace& memory) {
  if constexpr (requires { selector.reserve(exec, unit, shape, memory); })
    selector.reserve(exec, unit, shape, memory);
  else if constexpr (WrapsSelector<S>)
    reserve_scoring(exec, selector.inner, unit, shape, memory);
}

template <class S, class U, Storage T>
Status prepare_scoring(Cpu exec, S const& selector, U const& unit, Problem<T> const& problem, Workspace memory) {
  if constexpr (requires { selector.prepare(exec, unit, problem, memory); })
    return selector.prepare(exec, unit, problem, memory);
  else if constexpr (WrapsSelector<S>)
    return prepare_scoring(exec, selector.inner, unit, problem, memory);
  else
    return {};
}

namespace detail {

template <class S, class U>
inline constexpr bool kSaysHeads = requires(S const selector, U const unit, Shape shape) {
  { selector.heads(unit, shape) } -> std::same_as<std::int64_t>;
};
template <WrapsSelector S, class U>
inline constexpr bool kSaysHeads<S, U> = kSaysHeads<decltype(S::inner), U>;

}  // namespace detail

/// - score(exec, unit, problem, memory, scores): a number for every candidate.
template <class S, class U>
concept WholeSelectorFor = detail::kSaysHeads<S, U> &&
    requires(S const selector, U const unit, Problem<float> const& problem, Workspace& memory, Scores out) {
  { selector.score(Cpu{}, unit, problem, memory, out) } -> std::same_as<Status>;
};

/// - score(exec, unit, problem, memory, chunk, scores): a number for every candidate of the chunk's rows, by one
///   worker; what a row cannot see gets -inf. `exec` says how `memory` was carved, and is not for use.
template <class S, class U>
concept StreamedSelectorFor = detail::kSaysHeads<S, U> &&
    requires(S const selector, U const unit, Problem<float> const& problem, Workspace& memory, RowChunk chunk,
             Scores out) {
  { selector.score(Cpu{}, unit, problem, memory, chunk, out) } -> std::same_as<Status>;
};

template <class S, class U>
concept SelectorFor = (WholeUnit<U> && WholeSelectorFor<S, U>) || (StreamedUnit<U> && StreamedSelectorFor<S, U>);

#if LACUNA_CUDA
// On the device the same members serve a batch: `candidates` beside the scores says how many of each row's are meant, a
// chunk is the rows of all heads, and reserve takes the most rows that a chunk will have.

template <class S, class U>
void reserve_scoring(Cuda exec, S const& selector, U const& unit, BatchShape const& shape, std::int64_t rows,
                     Workspace& memory) {
  if constexpr (requires { selector.reserve(exec, unit, shape, rows, memory); })
    selector.reserve(exec, unit, shape, rows, memory);
  else if constexpr (WrapsSelector<S>)
    reserve_scoring(exec, selector.inner, unit, shape, rows, memory);
}

template <class S, class U, Storage T>
Status prepare_scoring(Cuda exec, S const& selector, U const& unit, BatchProblem<T> const& problem, Workspace memory) {
  if constexpr (requires { selector.prepare(exec, unit, problem, memory); })
    return selector.prepare(exec, unit, problem, memory);
  else if constexpr (WrapsSelector<S>)
    return prepare_scoring(exec, selector.inner, unit, problem, memory);
  else
    return {};
}
#endif

/// Scores that are shares of attention: not negative, and their sum is the mass of the row. What a selector does not
/// say of itself is taken to be no.
template <class S>
inline constexpr bool kMeasuresMass = requires {
  requires S::measures_mass;
};

/// Scores of as many rows as there are: with one per KV head they are those of its whole group.
template <class S>
inline constexpr bool kJudgesGroups = requires {
  requires S::judges_groups;
};

namespace detail {

/// On the device: scoring takes each choice's length from the problem, and does not look at `candidates`.
template <class S>
inline constexpr bool kIgnoresCandidates = requires {
  requires S::ignores_candidates;
};

}  // namespace detail

/// Scores that come from the page bounds of a store and from nothing else that it holds.
template <class S>
inline constexpr bool kReadsBoundsAlone = requires {
  requires S::reads_bounds_alone;
};

}  // namespace lacuna
