#pragma once

#include <algorithm>
#include <array>

#include "lacuna/budgets/budget.hpp"
#include "lacuna/index/density.hpp"
#include "lacuna/kv/kv_store.hpp"
#include "lacuna/methods/attend.hpp"
#include "lacuna/methods/plan.hpp"
#include "lacuna/selectors/selector.hpp"
#include "lacuna/units/unit.hpp"

namespace lacuna {

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
  static_assert(SelectorFor<SelectorType, UnitType>,
                "Method: the Selector needs Status score(exec, unit, problem, memory, scores) const for this Unit");
  static_assert(BudgetFor<BudgetType, UnitType>,
                "Method: the Budget needs Status allot(exec, unit, scores, counts) const for this Unit");
  static_assert(KvStoreFor<KvStore<float>, UnitType>,
                "Method: the KvStore needs append, view and Status retain(exec, index) for this Unit's Index");

  using Index = typename UnitType::Index;
  template <class T>
  using Store = KvStore<T>;
  static constexpr Moment moment = UnitType::moment;

  [[no_unique_address]] UnitType unit{};
  SelectorType selector{};
  BudgetType budget{};

  /// Bytes for every problem up to `shape`; or what is wrong with the shape or with a parameter.
  Expected<Plan> plan(Cpu exec, Shape const& shape) const {
    if (Status s = shape.check(); !s) return s;
    if (Status s = budget.check(unit); !s) return s;
    if (Status s = selector.check(unit, shape, detail::mean_units(budget, unit, 0, shape.len_k)); !s) return s;
    Workspace index_memory, selecting, attending, prompt;  // the three phases follow each other in the same memory
    Index const index = make_index(shape, index_memory);
    (void)take_scores(shape, selecting);
    reserve_selecting(exec, shape, selecting);
    reserve_attend(exec, shape, index, attending);
    if constexpr (moment == Moment::prompt_end) reserve_attend(exec, shape, DenseIndex{}, prompt);
    return Plan{index_memory.used_bytes(),
                std::max({selecting.used_bytes(), attending.used_bytes(), prompt.used_bytes()})};
  }

  /// An index that lives in the caller's memory, plan().index_bytes of it. Undefined until select() has written it.
  Index make_index(Shape const& shape, Workspace& memory) const {
    std::array<std::int64_t, UnitType::rows> most{};
    bool const judges = selector.can_judge(unit, shape);
    for (int row = 0; row < UnitType::rows; ++row)
      most[row] = judges ? budget.limit(unit, row, shape.len_k) : unit.candidates(shape.len_k);
    return unit.make_index(shape, selector.heads(unit, shape), most, memory);
  }

  /// score -> allot -> pick: decides what stays, and writes it into the index.
  template <Storage T>
  Status select(Cpu exec, Problem<T> const& problem, Workspace workspace, Index& index) const {
    if (Status s = problem.check(); !s) return s;
    if (Status s = budget.check(unit); !s) return s;
    Shape const shape = shape_of(problem);
    if (Status s = selector.check(unit, shape, detail::mean_units(budget, unit, 0, shape.len_k)); !s) return s;
    auto const [scores, counts] = take_scores(shape, workspace);
    Workspace all = workspace;
    reserve_selecting(exec, shape, all);
    if (Status s = all.check("select: the workspace is smaller than planned"); !s) return s;
    if (!selector.can_judge(unit, shape)) return unit.keep_all(problem, index);
    if (Status s = selector.score(exec, unit, problem, workspace, scores); !s) return s;
    for (std::int64_t head = 0; head < counts.extent(0); ++head)
      for (std::int64_t row = 0; row < UnitType::rows; ++row)
        counts(head, row) =
            static_cast<std::int32_t>(unit.candidates(problem.kv.length(head * problem.heads_kv() / counts.extent(0))));
    if (Status s = budget.allot(exec, unit, scores, counts); !s) return s;
    return unit.pick(exec, problem, scores, counts, workspace, index);
  }

  /// select, then attend. At the prompt's end the choice is about the future: the prompt itself attends densely, and
  /// the index is for KvStore::retain.
  template <Storage T>
  Status run(Cpu exec, Problem<T> const& problem, Workspace workspace, Index& index, AttentionOut<T> const& out) const {
    if (Status s = out.check(problem); !s) return s;
    if (Status s = select(exec, problem, workspace, index); !s) return s;
    if constexpr (moment == Moment::prompt_end)
      return attend_dense<T>(exec, {problem, out, workspace});
    else
      return attend(exec, problem, index, workspace, out);
  }

 private:
  struct Selecting {
    Scores scores;
    Counts counts;
  };

  Selecting take_scores(Shape const& shape, Workspace& memory) const {
    std::int64_t const heads = selector.heads(unit, shape);
    return {memory.take<float, 3>({heads, UnitType::rows, unit.candidates(shape.len_k)}),
            memory.take<std::int32_t, 2>({heads, UnitType::rows})};
  }

  /// Scoring and picking follow each other, in the same memory.
  void reserve_selecting(Cpu exec, Shape const& shape, Workspace& memory) const {
    Workspace picking = memory;
    selector.reserve(exec, unit, shape, memory);
    unit.reserve_pick(exec, shape, picking);
    if (picking.used_bytes() > memory.used_bytes()) memory = picking;
  }
};

}  // namespace lacuna
