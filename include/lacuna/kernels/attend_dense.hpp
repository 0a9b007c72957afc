#pragma once

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

}  // namespace lacuna

#include "lacuna/kernels/cpu/attend_dense.hpp"
