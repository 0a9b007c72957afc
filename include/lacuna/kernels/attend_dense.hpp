#pragma once

#include "lacuna/core/batch_problem.hpp"
#include "lacuna/core/problem.hpp"
#include "lacuna/core/workspace.hpp"

namespace lacuna {

/// Causal attention over every key that a head holds, for any number of queries. KV heads may differ in length.
template <Storage T>
struct AttendDenseArgs {
  Problem<T> problem;
  AttentionOut<T> out;
  Workspace scratch;  // as reserve_attend_dense takes

  Status check() const {
    if (Status s = problem.check(); !s) return s;
    return out.check(problem);
  }
};

/// The same for a batch, on the device.
template <Storage T>
struct AttendDenseBatchArgs {
  BatchProblem<T> problem;
  AttentionOut<T> out;
  Workspace scratch;  // device memory, as reserve_attend_dense takes

  Status check() const {
    if (Status s = problem.check(); !s) return s;
    return check_out(out, problem);
  }
};

}  // namespace lacuna

#include "lacuna/kernels/cpu/attend_dense.hpp"
#if LACUNA_CUDA
#include "lacuna/kernels/cuda/attend_dense.cuh"
#endif
