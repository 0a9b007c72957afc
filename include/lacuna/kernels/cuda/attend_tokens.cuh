#pragma once

#include "lacuna/kernels/attend_tokens.hpp"
#include "lacuna/kernels/cuda/attend_pages.cuh"

namespace lacuna {

inline void reserve_attend_tokens(Cuda exec, BatchShape const& shape, Workspace& memory) {
  reserve_attend_pages(exec, shape, shape.each.heads_kv, memory);
}

/// Rows of 256 bytes at random cost the memory as little as pages do: one kernel serves both.
template <class T>
Status attend_tokens(Cuda exec, AttendTokensBatchArgs<T> const& args) {
  if (Status s = args.check(); !s) return s;
  return attend_pages(exec, args.as_pages());
}

}  // namespace lacuna
