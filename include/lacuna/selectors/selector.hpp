#pragma once

#include <concepts>
#include <cstdint>

#include "lacuna/core/exec.hpp"
#include "lacuna/core/problem.hpp"
#include "lacuna/core/shape.hpp"
#include "lacuna/core/status.hpp"
#include "lacuna/core/workspace.hpp"
#include "lacuna/index/scores.hpp"
#include "lacuna/units/unit.hpp"

namespace lacuna {

/// How promising each unit is.
/// - check(unit, shape, kept): are the parameters sound for this shape, when `kept` units may stay?
/// - heads(unit, shape): choices per call: heads_q, or heads_kv when a group shares its choice.
/// - can_judge(unit, shape): false where there is too little to go by; then everything is kept.
/// - reserve takes from memory what scoring will take.
template <class S, class U>
concept SelectorOfAnyKind = requires(S const selector, U const unit, Shape shape, Workspace& memory,
                                     std::int64_t kept) {
  { selector.check(unit, shape, kept) } -> std::same_as<Status>;
  { selector.heads(unit, shape) } -> std::same_as<std::int64_t>;
  { selector.can_judge(unit, shape) } -> std::same_as<bool>;
  { selector.reserve(Cpu{}, unit, shape, memory) } -> std::same_as<void>;
};

/// - score(exec, unit, problem, memory, scores): a number for every candidate.
template <class S, class U>
concept WholeSelectorFor = SelectorOfAnyKind<S, U> &&
    requires(S const selector, U const unit, Problem<float> const& problem, Workspace& memory, Scores out) {
  { selector.score(Cpu{}, unit, problem, memory, out) } -> std::same_as<Status>;
};

/// - prepare(exec, unit, problem, memory): once per call, before the first chunk.
/// - score(exec, unit, problem, memory, chunk, scores): a number for every candidate of the chunk's rows, by one
/// worker;
///   what a row cannot see gets -inf. `exec` says how `memory` was carved, and is not for use.
template <class S, class U>
concept StreamedSelectorFor = SelectorOfAnyKind<S, U> &&
    requires(S const selector, U const unit, Problem<float> const& problem, Workspace& memory, RowChunk chunk,
             Scores out) {
  { selector.prepare(Cpu{}, unit, problem, memory) } -> std::same_as<Status>;
  { selector.score(Cpu{}, unit, problem, memory, chunk, out) } -> std::same_as<Status>;
};

template <class S, class U>
concept SelectorFor = (WholeUnit<U> && WholeSelectorFor<S, U>) || (StreamedUnit<U> && StreamedSelectorFor<S, U>);

/// Scores that are shares of attention: not negative, and their sum is the mass of the row. What a selector does not
/// say of itself is taken to be no.
template <class S>
inline constexpr bool kMeasuresMass = requires {
  requires S::measures_mass;
};

/// Scores that come from the page bounds of a store and from nothing else that it holds.
template <class S>
inline constexpr bool kReadsBoundsAlone = requires {
  requires S::reads_bounds_alone;
};

}  // namespace lacuna
