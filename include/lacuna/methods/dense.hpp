#pragma once

#include "lacuna/index/density.hpp"
#include "lacuna/kv/contiguous.hpp"
#include "lacuna/methods/attend.hpp"
#include "lacuna/methods/plan.hpp"
#include "lacuna/units/unit.hpp"

namespace lacuna {

/// No selection: attention over everything that the store still holds. Serves prefill and decode.
template <template <class> class KvStore>
struct DenseOver {
  using Index = DenseIndex;
  template <class T>
  using Store = KvStore<T>;
  static constexpr Moment moment = Moment::prefill;

  Expected<Plan> plan(Cpu exec, Shape const& shape) const {
    if (Status s = shape.check(); !s) return s;
    Workspace attending;
    reserve_attend(exec, shape, DenseIndex{}, attending);
    return Plan{0, attending.used_bytes()};
  }

  Index make_index(Shape const& shape, Workspace&) const { return {shape.len_q, shape.len_k, shape.heads_q}; }

  template <Storage T>
  Status select(Cpu, Problem<T> const& problem, Workspace, Index& index) const {
    if (Status s = problem.check(); !s) return s;
    index = {problem.len_q(), longest_head(problem.kv), problem.heads_q()};
    return {};
  }

  template <Storage T>
  Status run(Cpu exec, Problem<T> const& problem, Workspace workspace, Index& index, AttentionOut<T> const& out) const {
    if (Status s = select(exec, problem, workspace, index); !s) return s;
    return attend(exec, problem, index, workspace, out);
  }

#if LACUNA_CUDA
  Expected<Plan> plan(Cuda exec, BatchShape const& shape) const {
    if (Status s = shape.check(); !s) return s;
    Workspace attending;
    reserve_attend(exec, shape, DenseIndex{}, attending);
    return Plan{0, attending.used_bytes()};
  }
  /// On the device lengths are capacities.
  Index make_index(BatchShape const& shape, Workspace& memory) const { return make_index(shape.each, memory); }

  template <Storage T>
  Status select(Cuda, BatchProblem<T> const& problem, Workspace memory, Index& index) const {
    if (Status s = problem.check(); !s) return s;
    index = make_index(shape_of(problem), memory);
    return {};
  }
  template <Storage T>
  Status run(Cuda exec, BatchProblem<T> const& problem, Workspace workspace, Index& index,
             AttentionOut<T> const& out) const {
    if (Status s = select(exec, problem, workspace, index); !s) return s;
    return attend(exec, problem, index, workspace, out);
  }
#endif
};

/// The baseline that every method is compared with, behind the same calls.
using Dense = DenseOver<ContiguousCache>;

}  // namespace lacuna
