#pragma once

#include <algorithm>
#include <cmath>
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

/// On the device: every choice gets the limit of its row, whatever its length, as far as there are candidates.
template <class B>
inline constexpr bool kGivesItsLimit = requires {
  requires B::gives_its_limit;
};

/// Units that each choose a number of columns and a number of diagonals.
template <class U>
concept UnitOfPairs = requires {
  requires U::rows == 2;
};

template <class U>
Status check_tokens(U const& unit, std::int64_t tokens) {
  if (tokens >= 1 && tokens % unit.tokens(1) == 0) return {};
  return Status::invalid("budget: tokens must be a positive multiple of the tokens of a unit", tokens, unit.tokens(1));
}

/// `sentence` names the share and its bounds, [0, 1].
inline Status check_share(double share, char const* sentence) {
  if (share >= 0.0 && share <= 1.0) return {};
  return Status::invalid(sentence, std::isfinite(share) ? std::llround(share * 1e6) : 0, 1000000);
}

/// What a choice is sure of, or gets on average: the number that parameters of selectors are held against.
template <class B, class U>
std::int64_t mean_units(B const& budget, U const& unit, int row, std::int64_t len) {
  if constexpr (requires { budget.mean(unit, row, len); })
    return budget.mean(unit, row, len);
  else
    return budget.limit(unit, row, len);
}

/// For rows of one head, where they stream: a budget that tells heads apart has an allot for it.
template <class B, class U>
Status allot_rows(B const& budget, U const& unit, std::int64_t head, Scores scores, Counts counts) {
  if constexpr (requires { budget.allot(Cpu{}, unit, head, scores, counts); })
    return budget.allot(Cpu{}, unit, head, scores, counts);
  else
    return budget.allot(Cpu{}, unit, scores, counts);
}

/// A pool for all choices of the call: `tokens` for each on average, of which each is sure of a share.
template <class U>
Status check_pool(U const& unit, std::int64_t tokens, double floor_share) {
  if (Status s = check_tokens(unit, tokens); !s) return s;
  return check_share(floor_share, "budget: floor_share must be in [0, 1]; value and bound are in millionths");
}

/// If one took everything that it could.
template <class U>
std::int64_t pool_limit(U const& unit, std::int64_t tokens, std::int64_t len) {
  return std::max(unit.count(len), unit.count(tokens));
}

/// 0.1 * 30 is a little above 3 and 0.7 * 10 a little below 7: the nudge takes both for what they mean.
inline std::int64_t whole_share(double share, std::int64_t of) {
  return static_cast<std::int64_t>(share * static_cast<double>(of) + 1e-9);
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
