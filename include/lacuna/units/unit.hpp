#pragma once

#include <array>
#include <concepts>
#include <cstdint>

#include "lacuna/core/exec.hpp"
#include "lacuna/core/problem.hpp"
#include "lacuna/core/shape.hpp"
#include "lacuna/core/status.hpp"
#include "lacuna/core/workspace.hpp"
#include "lacuna/index/scores.hpp"

namespace lacuna {

/// When a method decides. The caller says which moment it is; nothing is inferred from a token count.
enum class Moment : std::uint8_t {
  prefill,     // which keys each query of the prompt attends to
  prompt_end,  // which tokens stay in the cache: the prompt itself attends densely
  each_step,   // which tokens this one query reads
};

/// The smallest thing that is kept or dropped.
/// - Index: what a choice of such units looks like; `rows` choices are made per head of scores.
/// - count(tokens): units that cover this many tokens. tokens(units): what that many units hold.
/// - candidates(len): units to choose among when a head holds `len` tokens.
/// - make_index(shape, heads, most, memory): room for at most `most[row]` units per choice, in the caller's memory.
/// - anchor(problem, sink, recent, scores): +inf to the units of the first and the last tokens.
/// - pick(exec, problem, scores, counts, memory, index): the best counts(head, row) of each row, ties to the lower id,
/// NaN last,
///   ids ascending. reserve_pick takes from memory what pick will take.
/// - keep_all(problem, index): the choice that leaves nothing out.
template <class U>
concept Unit = requires(U const unit, std::int64_t tokens, Shape shape, Problem<float> const& problem, Scores scores,
                        Counts counts, std::array<std::int64_t, U::rows> const& most, Workspace& memory,
                        typename U::Index& index) {
  { U::moment } -> std::convertible_to<Moment>;
  { unit.count(tokens) } -> std::same_as<std::int64_t>;
  { unit.tokens(tokens) } -> std::same_as<std::int64_t>;
  { unit.candidates(tokens) } -> std::same_as<std::int64_t>;
  { unit.make_index(shape, tokens, most, memory) } -> std::same_as<typename U::Index>;
  { unit.anchor(problem, tokens, tokens, scores) } -> std::same_as<void>;
  { unit.pick(Cpu{}, problem, scores, counts, memory, index) } -> std::same_as<Status>;
  { unit.keep_all(problem, index) } -> std::same_as<Status>;
  { unit.reserve_pick(Cpu{}, shape, memory) } -> std::same_as<void>;
};

}  // namespace lacuna
