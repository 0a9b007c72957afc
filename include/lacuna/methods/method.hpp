#pragma once

#include <algorithm>
#include <array>

#include "lacuna/budgets/budget.hpp"
#include "lacuna/core/batch_problem.hpp"
#include "lacuna/index/density.hpp"
#include "lacuna/kv/kv_store.hpp"
#include "lacuna/methods/attend.hpp"
#include "lacuna/methods/plan.hpp"
#include "lacuna/selectors/selector.hpp"
#include "lacuna/units/unit.hpp"

namespace lacuna {

namespace detail {

template <class U>
inline constexpr int kKinds = 1;
template <class U>
  requires requires { U::rows; }
inline constexpr int kKinds<U> = U::rows;

}  // namespace detail

/// A method of sparse attention, from four answers: what is the smallest thing we keep or drop, how promising is each
/// one, how many may stay, what happens to the rest. Types say what, the members say how much. KvStore is a class
/// template over the storage type, and names the cache that the method is meant for: Store<T>.
///
///     plan -> make_index -> (select -> attend, or run) per call
template <class UnitType, class SelectorType, class BudgetType, template <class> class KvStore>
struct Method {
  static_assert(Unit<UnitType>,
                "Method: the Unit needs what concept Unit lists in units/unit.hpp: a nested Index, "
                "count(tokens) and pick(exec, problem, scores, counts, memory, index)");
  static_assert(!WholeUnit<UnitType> || detail::kKinds<UnitType> < 2 || SelectorFor<SelectorType, UnitType>,
                "Method: a Unit of columns and diagonals needs a Selector that scores both, such as WindowAttention");
  static_assert(!StreamedUnit<UnitType> || SelectorFor<SelectorType, UnitType>,
                "Method: a Unit with a choice per query block needs a Selector that scores rows of blocks, such as "
                "MeanPool");
  static_assert(SelectorFor<SelectorType, UnitType>,
                "Method: the Selector needs Status score(exec, unit, problem, memory, scores) const for this Unit");
  static_assert(BudgetFor<BudgetType, UnitType>,
                "Method: the Budget needs Status allot(exec, unit, scores, counts) const for this Unit; FixedPair and "
                "PerHeadPair are for a Unit of columns and diagonals");
  static_assert(!detail::kNeedsMass<BudgetType> || kMeasuresMass<SelectorType>,
                "Method: a Budget of mass needs a Selector whose scores are shares of attention; wrap it in "
                "Normalised");
  static_assert(KvStoreFor<KvStore<float>, UnitType>,
                "Method: the KvStore needs append, view and Status retain(exec, index) for this Unit's Index");

  using Index = typename UnitType::Index;
  template <class T>
  using Store = KvStore<T>;
#if LACUNA_CUDA
  /// The same store for a batch, on the device.
  template <class T>
  using BatchStore = typename KvStore<T>::Batch;
#endif
  static constexpr Moment moment = UnitType::moment;

  [[no_unique_address]] UnitType unit{};
  SelectorType selector{};
  BudgetType budget{};

  /// Bytes for every problem up to `shape`; or what is wrong with the shape or with a parameter.
  Expected<Plan> plan(Cpu exec, Shape const& shape) const {
    Expected<std::size_t> const selecting = plan_selection(exec, shape);
    if (!selecting) return selecting.status();
    Workspace index_memory, attending;  // selection and attention follow each other in the same memory
    Index const index = make_index(shape, index_memory);
    if constexpr (forgets(moment))
      reserve_attend(exec, shape, DenseIndex{}, attending);
    else
      reserve_attend(exec, shape, index, attending);
    return Plan{index_memory.used_bytes(), std::max(*selecting, attending.used_bytes())};
  }
  /// Bytes of workspace that select alone needs.
  Expected<std::size_t> plan_selection(Cpu exec, Shape const& shape) const {
    if (Status s = shape.check(); !s) return s;
    if (Status s = budget.check(unit); !s) return s;
    if (Status s = check_selector(selector, unit, shape, detail::mean_units(budget, unit, 0, shape.len_k)); !s)
      return s;
    Workspace selecting;
    (void)take_scores(exec, shape, selecting);
    reserve_selecting(exec, shape, selecting);
    return selecting.used_bytes();
  }

  /// An index that lives in the caller's memory, plan().index_bytes of it. Undefined until select() has written it.
  Index make_index(Shape const& shape, Workspace& memory) const {
    std::array<std::int64_t, UnitType::rows> most{};
    bool const judges = can_judge(selector, unit, shape);
    for (int row = 0; row < UnitType::rows; ++row)
      most[row] = judges ? budget.limit(unit, row, shape.len_k) : unit.candidates(shape.len_k);
    return unit.make_index(shape, heads_of(selector, unit, shape), most, memory);
  }

  /// score -> allot -> pick: decides what stays, and writes it into the index.
  template <Storage T>
  Status select(Cpu exec, Problem<T> const& problem, Workspace workspace, Index& index) const {
    if (Status s = problem.check(); !s) return s;
    if (Status s = budget.check(unit); !s) return s;
    Shape const shape = shape_of(problem);
    if (Status s = check_selector(selector, unit, shape, detail::mean_units(budget, unit, 0, shape.len_k)); !s)
      return s;
    Workspace all = workspace;
    (void)take_scores(exec, shape, all);
    reserve_selecting(exec, shape, all);
    if (Status s = all.check("select: the workspace is smaller than planned"); !s) return s;
    if (!can_judge(selector, unit, shape)) return unit.keep_all(problem, index);
    if constexpr (StreamedUnit<UnitType>)
      return select_rows(exec, problem, shape, workspace, index);
    else
      return select_heads(exec, problem, shape, workspace, index);
  }

  /// select, then attend. A choice of what to forget is about the future: these queries attend densely, and the index
  /// is for KvStore::retain.
  template <Storage T>
  Status run(Cpu exec, Problem<T> const& problem, Workspace workspace, Index& index, AttentionOut<T> const& out) const {
    if (Status s = out.check(problem); !s) return s;
    if (Status s = select(exec, problem, workspace, index); !s) return s;
    if constexpr (forgets(moment))
      return attend_dense<T>(exec, {problem, out, workspace});
    else
      return attend(exec, problem, index, workspace, out);
  }

#if LACUNA_CUDA
  // The same on the device, for a batch up to `shape`: nothing is read back, and no call depends on a length, so that
  // the launches of a call can be captured once and replayed for shorter sequences.

  Expected<Plan> plan(Cuda exec, BatchShape const& shape) const {
    Expected<std::size_t> const selecting = plan_selection(exec, shape);
    if (!selecting) return selecting.status();
    Workspace index_memory, attending;
    Index const index = make_index(shape, index_memory);
    if constexpr (forgets(moment))
      reserve_attend(exec, shape, DenseIndex{}, attending);
    else
      reserve_attend(exec, shape, index, attending);
    return Plan{index_memory.used_bytes(), std::max(*selecting, attending.used_bytes())};
  }
  /// Bytes of workspace that select alone needs.
  Expected<std::size_t> plan_selection(Cuda exec, BatchShape const& shape) const {
    if (Status s = check(shape); !s) return s;
    Workspace selecting;
    (void)take_scores(exec, shape, selecting);
    reserve_selecting(exec, shape, selecting);
    return selecting.used_bytes();
  }

  /// An index in device memory.
  Index make_index(BatchShape const& shape, Workspace& memory) const {
    std::array<std::int64_t, UnitType::rows> most{};
    bool const judges = can_judge(selector, unit, shape.each);
    for (int row = 0; row < UnitType::rows; ++row)
      most[row] = judges ? budget.limit(unit, row, shape.each.len_k) : unit.candidates(shape.each.len_k);
    return unit.make_index(shape, heads_of(selector, unit, shape.each), most, memory);
  }

  template <Storage T>
  Status select(Cuda exec, BatchProblem<T> const& problem, Workspace workspace, Index& index) const {
    BatchShape const shape = shape_of(problem);
    if (Status s = problem.check(); !s) return s;
    if (Status s = check(shape); !s) return s;
    Workspace all = workspace;
    BatchSelecting const selecting = take_scores(exec, shape, all);
    Workspace const rest = all.rest();
    reserve_selecting(exec, shape, all);
    if (Status s = all.check("select: the workspace is smaller than planned"); !s) return s;
    if constexpr (!kFillsTheRoom || !detail::kIgnoresCandidates<SelectorType>)
      if (Status s = unit.count_candidates(exec, problem, selecting.candidates); !s) return s;
    if constexpr (!kFillsTheRoom)
      if (Status s = unit.count_candidates(exec, problem, selecting.counts); !s) return s;
    if constexpr (!StreamedUnit<UnitType> && requires { budget.allot(exec, unit, problem.batch, selecting.counts); }) {
      if (Status s = budget.allot(exec, unit, problem.batch, selecting.counts); !s) return s;
    } else if constexpr (kAllotsBlindly && !kFillsTheRoom) {
      if (Status s = budget.allot(exec, unit, selecting.counts); !s) return s;
    }
    if constexpr (StreamedUnit<UnitType>) {
      return select_rows(exec, problem, selecting, rest, index);
    } else {
      if (can_judge(selector, unit, shape.each))  // else counts keep all candidates, whatever their scores
        if (Status s = weigh(exec, problem, rest, selecting); !s) return s;
      return unit.pick(exec, problem, selecting.scores, kFillsTheRoom ? Counts{} : selecting.counts, rest, index);
    }
  }

  template <Storage T>
  Status run(Cuda exec, BatchProblem<T> const& problem, Workspace workspace, Index& index,
             AttentionOut<T> const& out) const {
    if (Status s = select(exec, problem, workspace, index); !s) return s;
    if constexpr (forgets(moment))
      return attend(exec, problem, DenseIndex{}, workspace, out);
    else
      return attend(exec, problem, index, workspace, out);
  }
#endif

 private:
  static constexpr bool kAllotsFirst = detail::kBeforeAnchors<BudgetType> && requires(SelectorType s) {
    s.inner;
    s.sink_tokens;
  };

  struct Selecting {
    Scores scores;
    Counts counts;
  };

  template <Storage T>
  Status select_heads(Cpu exec, Problem<T> const& problem, Shape const& shape, Workspace workspace,
                      Index& index) const {
    auto const [scores, counts] = take_scores(exec, shape, workspace);
    for (std::int64_t head = 0; head < counts.extent(0); ++head)
      for (std::int64_t row = 0; row < UnitType::rows; ++row)
        counts(head, row) =
            static_cast<std::int32_t>(unit.candidates(problem.kv.length(head * problem.heads_kv() / counts.extent(0))));
    if (Status s = weigh(exec, problem, workspace, scores, counts); !s) return s;
    return unit.pick(exec, problem, scores, counts, workspace, index);
  }

  /// Each worker scores, allots and picks a few rows at a time, in memory of its own.
  template <Storage T>
  Status select_rows(Cpu exec, Problem<T> const& problem, Shape const& shape, Workspace workspace, Index& index) const {
    Selecting const all = take_scores(exec, shape, workspace);  // a binding could not be captured (clang 14)
    std::int64_t const units = unit.candidates(shape.len_k), choices = unit.choices(shape);
    float* const picking = workspace.take<float>(exec.workers * units);
    Status* const complaints = workspace.take<Status>(exec.workers);
    std::fill_n(complaints, exec.workers, Status{});
    if (Status s = unit.begin(problem, index); !s) return s;
    if (Status s = prepare_scoring(exec, selector, unit, problem, workspace); !s) return s;
    std::int64_t const chunks = (choices + UnitType::rows_at_once - 1) / UnitType::rows_at_once;
    std::int64_t const heads = heads_of(selector, unit, shape);
    exec.each(chunks * heads, [&](std::int64_t item, int worker) {
      std::int64_t const first_row = (chunks - 1 - item / heads) * UnitType::rows_at_once;  // longest first
      RowChunk const chunk{item % heads, first_row, std::min(choices - first_row, UnitType::rows_at_once), worker};
      std::int64_t const wide = unit.chunk_units(shape, chunk);
      Scores const scores = dense_view<float, 3>(all.scores.slice(worker), {1, chunk.rows, wide});
      Counts const counts = dense_view<std::int32_t, 2>(all.counts.slice(worker), {1, chunk.rows});
      for (std::int64_t row = 0; row < chunk.rows; ++row)
        counts(0, row) = static_cast<std::int32_t>(wide - chunk.rows + 1 + row);
      Workspace const own(picking + worker * units, static_cast<std::size_t>(units) * sizeof(float));
      Status s = weigh(exec, problem, workspace, chunk, scores, counts);
      if (s) s = unit.pick(problem, chunk, scores, counts, own, index);
      if (!s) complaints[worker] = s;
    });
    for (int worker = 0; worker < exec.workers; ++worker)
      if (!complaints[worker]) return complaints[worker];
    return {};
  }

  /// score -> allot. A budget that goes by what was measured is asked before anchored units are raised above all
  /// others.
  template <Storage T>
  Status weigh(Cpu exec, Problem<T> const& problem, Workspace memory, Scores scores, Counts counts) const {
    if constexpr (kAllotsFirst) {
      if (Status s = selector.inner.score(exec, unit, problem, memory, scores); !s) return s;
      if (Status s = budget.allot(exec, unit, scores, counts); !s) return s;
      selector.force(unit, problem, scores);
      return {};
    } else {
      if (Status s = selector.score(exec, unit, problem, memory, scores); !s) return s;
      return budget.allot(exec, unit, scores, counts);
    }
  }
  template <Storage T>
  Status weigh(Cpu exec, Problem<T> const& problem, Workspace memory, RowChunk const& chunk, Scores scores,
               Counts counts) const {
    if constexpr (kAllotsFirst) {
      if (Status s = selector.inner.score(exec, unit, problem, memory, chunk, scores); !s) return s;
      if (Status s = detail::allot_rows(budget, unit, chunk.head, scores, counts); !s) return s;
      selector.force(unit, problem, chunk, scores);
      return {};
    } else {
      if (Status s = selector.score(exec, unit, problem, memory, chunk, scores); !s) return s;
      return detail::allot_rows(budget, unit, chunk.head, scores, counts);
    }
  }

  /// Where a choice per head is made: [heads, kinds of choices, units]. Otherwise the rows that each worker streams.
  Selecting take_scores(Cpu exec, Shape const& shape, Workspace& memory) const {
    std::int64_t const units = unit.candidates(shape.len_k);
    if constexpr (StreamedUnit<UnitType>)
      return {memory.take<float, 3>({exec.workers, UnitType::rows_at_once, units}),
              memory.take<std::int32_t, 2>({exec.workers, UnitType::rows_at_once})};
    else
      return {memory.take<float, 3>({heads_of(selector, unit, shape), UnitType::rows, units}),
              memory.take<std::int32_t, 2>({heads_of(selector, unit, shape), UnitType::rows})};
  }

  void reserve_selecting(Cpu exec, Shape const& shape, Workspace& memory) const {
    if constexpr (StreamedUnit<UnitType>) {
      unit.reserve_pick(exec, shape, memory);
      memory.take<Status>(exec.workers);
      reserve_scoring(exec, selector, unit, shape, memory);
    } else {  // scoring and picking follow each other, in the same memory
      Workspace picking = memory;
      reserve_scoring(exec, selector, unit, shape, memory);
      unit.reserve_pick(exec, shape, picking);
      if (picking.used_bytes() > memory.used_bytes()) memory = picking;
    }
  }

#if LACUNA_CUDA
  /// A budget that does not look at scores is asked once, for all choices.
  static constexpr bool kAllotsBlindly = requires(BudgetType const b, UnitType const u, Counts c) {
    b.allot(Cuda{}, u, c);
  };
  /// Every choice gets what the index has room for: nobody need count.
  static constexpr bool kFillsTheRoom = detail::kGivesItsLimit<BudgetType> && requires {
    requires UnitType::picks_all_the_room;
  };
  static constexpr std::int64_t kChunkBytes = std::int64_t{128} << 20;  // of scores: larger ones gain little

  struct BatchSelecting {
    Scores scores;              // of one chunk, where rows stream
    Counts candidates, counts;  // of all choices
    std::int64_t chunk_rows = 0;
  };

  Status check(BatchShape const& shape) const {
    if (Status s = shape.check(); !s) return s;
    if (Status s = budget.check(unit); !s) return s;
    return check_selector(selector, unit, shape.each, detail::mean_units(budget, unit, 0, shape.each.len_k));
  }

  /// What each chunk goes through: score -> allot -> force -> pick.
  template <Storage T>
  Status select_rows(Cuda exec, BatchProblem<T> const& problem, BatchSelecting const& all, Workspace memory,
                     Index& index) const {
    if (Status s = prepare_scoring(exec, selector, unit, problem, memory); !s) return s;
    std::int64_t const rows = all.counts.extent(1);
    for (std::int64_t first = 0; first < rows; first += all.chunk_rows) {
      BatchChunk const chunk{first, std::min(all.chunk_rows, rows - first)};
      auto const of_chunk = [&](Counts const& of_all) {
        return Counts{of_all.data + first, {of_all.extent(0), chunk.rows}, of_all.strides};
      };
      Counts const candidates = of_chunk(all.candidates), counts = of_chunk(all.counts);
      Scores scores = all.scores;
      scores.extents[1] = chunk.rows;
      Status s = measuring().score(exec, unit, problem, memory, chunk, candidates, scores);
      if constexpr (!kAllotsBlindly)
        if (s) s = budget.allot(exec, unit, scores, counts);
      if constexpr (kAllotsFirst)
        if (s) s = selector.force(exec, unit, problem, chunk, scores);
      if (s) s = unit.pick(exec, problem, chunk, scores, counts, index);
      if (!s) return s;
    }
    return {};
  }
  auto const& measuring() const {
    if constexpr (kAllotsFirst)
      return selector.inner;
    else
      return selector;
  }
  template <Storage T>
  Status weigh(Cuda exec, BatchProblem<T> const& problem, Workspace memory, BatchSelecting const& all) const {
    if (Status s = measuring().score(exec, unit, problem, memory, all.candidates, all.scores); !s) return s;
    if constexpr (requires { budget.allot(exec, unit, problem.batch, all.scores, all.counts); }) {
      if (Status s = budget.allot(exec, unit, problem.batch, all.scores, all.counts); !s) return s;
    } else if constexpr (!kAllotsBlindly) {
      if (Status s = budget.allot(exec, unit, all.scores, all.counts); !s) return s;
    }
    if constexpr (kAllotsFirst) return selector.force(exec, unit, problem, all.scores);
    return {};
  }

  BatchSelecting take_scores(Cuda, BatchShape const& shape, Workspace& memory) const {
    std::int64_t const heads = heads_of(selector, unit, shape.each);
    std::int64_t const wide = (unit.candidates(shape.each.len_k) + 3) / 4 * 4;
    if constexpr (StreamedUnit<UnitType>) {
      std::int64_t const rows = unit.choices(shape);
      std::int64_t const asked = kChunkBytes / std::max<std::int64_t>(heads * wide * 4, 1) / 16 * 16;
      std::int64_t const chunk_rows = std::min(std::max<std::int64_t>(asked, 16), std::max<std::int64_t>(rows, 1));
      return {memory.take<float, 3>({heads, chunk_rows, wide}), memory.take<std::int32_t, 2>({heads, rows}),
              memory.take<std::int32_t, 2>({heads, rows}), chunk_rows};
    } else {
      std::int64_t const choices = shape.batch * heads;
      return {memory.take<float, 3>({choices, UnitType::rows, wide}),
              memory.take<std::int32_t, 2>({choices, UnitType::rows}),
              memory.take<std::int32_t, 2>({choices, UnitType::rows})};
    }
  }

  void reserve_selecting(Cuda exec, BatchShape const& shape, Workspace& memory) const {
    Workspace picking = memory;
    std::int64_t chunk_rows = 0;
    if constexpr (StreamedUnit<UnitType>) {
      Workspace counting;
      chunk_rows = take_scores(exec, shape, counting).chunk_rows;
    } else {
      unit.reserve_pick(exec, shape, heads_of(selector, unit, shape.each), picking);
    }
    reserve_scoring(exec, selector, unit, shape, chunk_rows, memory);
    if (picking.used_bytes() > memory.used_bytes()) memory = picking;
  }
#endif
};

}  // namespace lacuna
