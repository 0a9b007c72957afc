#pragma once

#include <concepts>
#include <cstdint>

#include "lacuna/core/exec.hpp"
#include "lacuna/core/problem.hpp"
#include "lacuna/core/shape.hpp"
#include "lacuna/core/status.hpp"
#include "lacuna/core/workspace.hpp"
#include "lacuna/index/scores.hpp"

namespace lacuna {

/// How promising each unit is.
/// - check(unit, shape, kept): are the parameters sound for this shape, when `kept` units may stay?
/// - heads(unit, shape): choices per call: heads_q, or heads_kv when a group shares its choice.
/// - can_judge(unit, shape): false where there is too little to go by; then everything is kept.
/// - score(exec, unit, problem, memory, scores): a number for every candidate. reserve takes from memory what score
/// will take.
template <class S, class U>
concept SelectorFor = requires(S const selector, U const unit, Shape shape, Problem<float> const& problem,
                               Workspace& memory, std::int64_t kept, Scores out) {
  { selector.check(unit, shape, kept) } -> std::same_as<Status>;
  { selector.heads(unit, shape) } -> std::same_as<std::int64_t>;
  { selector.can_judge(unit, shape) } -> std::same_as<bool>;
  { selector.reserve(Cpu{}, unit, shape, memory) } -> std::same_as<void>;
  { selector.score(Cpu{}, unit, problem, memory, out) } -> std::same_as<Status>;
};

}  // namespace lacuna
