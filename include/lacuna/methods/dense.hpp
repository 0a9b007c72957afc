#pragma once

#include "lacuna/core/batch_problem.hpp"
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
#if LACUNA_CUDA
  template <class T>
  using BatchStore = typename KvStore<T>::Batch;
#endif
  static constexpr Moment moment = Moment::prefill;

  /// On the host for a problem, on the device for a batch: one text for both.
  template <Exec E = Cpu, class S = Shape>
  Expected<Plan> plan(E exec, S const& shape) const {
    if (Status s = shape.check(); !s) return s;
    Workspace attending;
    reserve_attend(exec, shape, DenseIndex{}, attending);
    return Plan{0, attending.used_bytes()};
  }

  Index make_index(Shape const& shape, Workspace&) const { return {shape.len_q, shape.len_k, shape.heads_q}; }
  /// On the device lengths are capacities.
  Index make_index(BatchShape const& shape, Workspace& memory) const { return make_index(shape.each, memory); }

  template <Exec E = Cpu, class P>
  Status select(E, P const& problem, Workspace memory, Index& index) const {
    if (Status s = problem.check(); !s) return s;
    index = make_index(shape_of(problem), memory);
    return {};
  }

  template <Exec E = Cpu, class P, Storage T>
  Status run(E exec, P const& problem, Workspace workspace, Index& index, AttentionOut<T> const& out) const {
    if (Status s = select(exec, problem, workspace, index); !s) return s;
    return attend(exec, problem, index, workspace, out);
  }
};

/// The baseline that every method is compared with, behind the same calls.
using Dense = DenseOver<ContiguousCache>;

}  // namespace lacuna
