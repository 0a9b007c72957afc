#pragma once

#include <array>
#include <concepts>
#include <cstdint>

#include "lacuna/core/batch_problem.hpp"
#include "lacuna/core/exec.hpp"
#include "lacuna/core/problem.hpp"
#include "lacuna/core/shape.hpp"
#include "lacuna/core/status.hpp"
#include "lacuna/core/workspace.hpp"
#include "lacuna/index/scores.hpp"

namespace lacuna {

/// When a method decides. The caller says which moment it is; nothing is inferred from a token count.
enum class Moment : std::uint8_t {
  prefill,          // which keys each query of the prompt attends to
  prompt_end,       // which tokens stay in the cache: the prompt itself attends densely
  each_step,        // which tokens this one query reads
  evict_each_step,  // which tokens stay, after every query has attended to all that are held
};

/// Whether a choice at this moment is about the future: attention is dense, and the index is for KvStore::retain.
constexpr bool forgets(Moment moment) { return moment == Moment::prompt_end || moment == Moment::evict_each_step; }

/// The smallest thing that is kept or dropped.
/// - Index: what a choice of such units looks like; `rows` kinds of choices are made per head of scores.
/// - count(tokens): units that cover this many tokens. tokens(units): what that many units hold.
/// - candidates(len): units to choose among when a head holds `len` tokens.
/// - make_index(shape, heads, most, memory): room for at most `most[row]` units per choice, in the caller's memory.
/// - keep_all(problem, index): the choice that leaves nothing out.
/// - reserve_pick takes from memory what pick will take.
template <class U>
concept UnitOfAnyKind = requires(U const unit, std::int64_t tokens, Shape shape, Problem<float> const& problem,
                                 std::array<std::int64_t, U::rows> const& most, Workspace& memory,
                                 typename U::Index& index) {
  { U::moment } -> std::convertible_to<Moment>;
  { unit.count(tokens) } -> std::same_as<std::int64_t>;
  { unit.tokens(tokens) } -> std::same_as<std::int64_t>;
  { unit.candidates(tokens) } -> std::same_as<std::int64_t>;
  { unit.make_index(shape, tokens, most, memory) } -> std::same_as<typename U::Index>;
  { unit.keep_all(problem, index) } -> std::same_as<Status>;
  { unit.reserve_pick(Cpu{}, shape, memory) } -> std::same_as<void>;
};

/// One choice per head, or one of each kind: all heads are scored, and then all are picked.
/// - anchor(problem, sink, recent, scores): +inf to the units of the first and the last tokens.
/// - pick(exec, problem, scores, counts, memory, index): the best counts(head, row) of each row, ties to the lower id,
///   NaN last, ids ascending.
template <class U>
concept WholeUnit = UnitOfAnyKind<U> &&
    requires(U const unit, std::int64_t tokens, Problem<float> const& problem, Scores scores, Counts counts,
             Workspace& memory, typename U::Index& index) {
  { unit.anchor(problem, tokens, tokens, scores) } -> std::same_as<void>;
  { unit.pick(Cpu{}, problem, scores, counts, memory, index) } -> std::same_as<Status>;
};

/// Neighbouring choices of one head that one worker scores, allots and picks together.
struct RowChunk {
  std::int64_t head = 0;
  std::int64_t first_row = 0;
  std::int64_t rows = 0;
  int worker = 0;
};

/// A choice per row of queries: too many to hold all scores at once, so they stream through a few rows of each worker's
/// own. Scores and counts of a chunk are [1, chunk.rows, units].
/// - rows_at_once: the most rows of a chunk. choices(shape): rows of a head.
/// - chunk_units(shape, chunk): candidates of a chunk's last row; each row before has one less.
/// - begin(problem, index): before the first chunk.
/// - anchor(problem, sink, recent, chunk, scores), pick(problem, chunk, scores, counts, memory, index): as above.
template <class U>
concept StreamedUnit = UnitOfAnyKind<U> &&
    requires(U const unit, std::int64_t tokens, Shape shape, RowChunk chunk, Problem<float> const& problem,
             Scores scores, Counts counts, Workspace memory, typename U::Index& index) {
  { U::rows_at_once } -> std::convertible_to<std::int64_t>;
  { unit.choices(shape) } -> std::same_as<std::int64_t>;
  { unit.chunk_units(shape, chunk) } -> std::same_as<std::int64_t>;
  { unit.begin(problem, index) } -> std::same_as<Status>;
  { unit.anchor(problem, tokens, tokens, chunk, scores) } -> std::same_as<void>;
  { unit.pick(problem, chunk, scores, counts, memory, index) } -> std::same_as<Status>;
};

template <class U>
concept Unit = WholeUnit<U> || StreamedUnit<U>;

#if LACUNA_CUDA
/// Neighbouring rows of all heads of a batch, counted as BlockIndex does, that are scored, allotted and picked together
/// on the device. Scores of a chunk are [heads, chunk.rows, units], and so are its counts without the last axis.
struct BatchChunk {
  std::int64_t first_row = 0;
  std::int64_t rows = 0;
};

/// Units that can choose on the device too: the same calls over a BatchProblem, without a worker's share of anything.
/// - count_candidates(exec, problem, counts): what each choice is made among.
template <class U>
concept CudaUnit = Unit<U> && requires(U const unit, BatchProblem<bfloat16> const& problem, Counts counts) {
  { unit.count_candidates(Cuda{}, problem, counts) } -> std::same_as<Status>;
};
#endif

}  // namespace lacuna
