#pragma once

#include <algorithm>

#include "lacuna/cost/time_model.hpp"
#include "lacuna/methods/attend.hpp"
#include "lacuna/methods/plan.hpp"
#include "lacuna/units/unit.hpp"

namespace lacuna {

/// A method of prefill or of a step where it pays, and attention to everything where that is as fast, selection
/// included: by what `cost` says of the work and `model` of the machine. On the CPU a call is judged by its own
/// lengths. On the device, where those are not known, by the capacities of the batch: one decision for all that a
/// captured call will serve.
template <class M, MethodCost C>
struct OrDense {
  static_assert(!forgets(M::moment),
                "OrDense: the method must choose what to read, since to forget nothing is no faster way to forget");
  using Index = typename M::Index;
  template <class T>
  using Store = typename M::template Store<T>;
  static constexpr Moment moment = M::moment;
  static constexpr Phase phase = moment == Moment::prefill ? Phase::prefill : Phase::decode;

  M sparse{};
  C cost{};
  TimeModel model{};

  bool picks_dense(Shape const& shape) const { return prefers_dense(model, phase, cost, shape); }

  Expected<Plan> plan(Cpu exec, Shape const& shape) const { return with_dense(exec, shape, sparse.plan(exec, shape)); }
  Index make_index(Shape const& shape, Workspace& memory) const { return sparse.make_index(shape, memory); }

  /// The index is written only where the method runs.
  template <Storage T>
  Status run(Cpu exec, Problem<T> const& problem, Workspace workspace, Index& index, AttentionOut<T> const& out) const {
    if (!picks_dense(shape_of(problem))) return sparse.run(exec, problem, workspace, index, out);
    return attend(exec, problem, DenseIndex{}, workspace, out);
  }

#if LACUNA_CUDA
  Expected<Plan> plan(Cuda exec, BatchShape const& shape) const {
    return with_dense(exec, shape, sparse.plan(exec, shape));
  }
  Index make_index(BatchShape const& shape, Workspace& memory) const { return sparse.make_index(shape, memory); }

  template <Storage T>
  Status run(Cuda exec, BatchProblem<T> const& problem, Workspace workspace, Index& index,
             AttentionOut<T> const& out) const {
    if (!picks_dense(shape_of(problem).each)) return sparse.run(exec, problem, workspace, index, out);
    return attend(exec, problem, DenseIndex{}, workspace, out);
  }
#endif

 private:
  template <class E, class S>
  static Expected<Plan> with_dense(E exec, S const& shape, Expected<Plan> plan) {
    if (!plan) return plan;
    Workspace attending;
    reserve_attend(exec, shape, DenseIndex{}, attending);
    plan->workspace_bytes = std::max(plan->workspace_bytes, attending.used_bytes());
    return plan;
  }
};

}  // namespace lacuna
