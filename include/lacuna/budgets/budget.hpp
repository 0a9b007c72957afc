#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <limits>

#include "lacuna/core/exec.hpp"
#include "lacuna/core/status.hpp"
#include "lacuna/index/scores.hpp"

namespace lacuna {

/// How many units may stay. `row` is the kind of choice that the unit numbers (columns 0 and diagonals 1, for example).
/// - check(unit): are the parameters sound?
/// - limit(unit, row, len): the most units that a choice over a head of `len` tokens may be given.
/// - allot(exec, unit, scores, counts): the number for each choice, given its scores. On entry counts has each choice's
///   candidates: only so many of its scores are meant.
/// - mean(unit, row, len): only where choices share a pool: what one gets on average. The limit is then what one could
///   get if it took everything.
template <class B, class U>
concept BudgetFor = requires(B const budget, U const unit, int row, std::int64_t len, Scores scores, Counts counts) {
  { budget.check(unit) } -> std::same_as<Status>;
  { budget.limit(unit, row, len) } -> std::same_as<std::int64_t>;
  { budget.allot(Cpu{}, unit, scores, counts) } -> std::same_as<Status>;
};

namespace detail {

// What a budget may say of itself; silence means no. needs_mass: the scores must be shares of attention.
// before_anchors: it goes by what was measured, so it is asked before anchored units are raised above all others.
template <class B>
inline constexpr bool kNeedsMass = requires {
  requires B::needs_mass;
};
template <class B>
inline constexpr bool kBeforeAnchors = requires {
  requires B::before_anchors;
};

/// What a choice is sure of, or gets on average: the number that parameters of selectors are held against.
template <class B, class U>
std::int64_t mean_units(B const& budget, U const& unit, int row, std::int64_t len) {
  if constexpr (requires { budget.mean(unit, row, len); })
    return budget.mean(unit, row, len);
  else
    return budget.limit(unit, row, len);
}

inline Status check_counts(Scores const& scores, Counts const& counts) {
  if (counts.extent(0) != scores.extent(0) || counts.extent(1) != scores.extent(1))
    return Status::invalid("allot: counts must have one entry per row of scores", counts.extent(0), scores.extent(0));
  return {};
}

/// The budgets that do not look at the scores give every choice its limit.
template <class B, class U>
Status allot_limits(B const& budget, U const& unit, Scores const& scores, Counts const& counts) {
  if (Status s = check_counts(scores, counts); !s) return s;
  for (std::int64_t head = 0; head < counts.extent(0); ++head)
    for (std::int64_t row = 0; row < counts.extent(1); ++row) {
      std::int64_t const units = budget.limit(unit, static_cast<int>(row), unit.tokens(scores.extent(2)));
      counts(head, row) = static_cast<std::int32_t>(std::min(units, scores.extent(2)));
    }
  return {};
}

}  // namespace detail
}  // namespace lacuna
