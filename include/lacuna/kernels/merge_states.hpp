#pragma once

#include "lacuna/core/dtype.hpp"
#include "lacuna/core/exec.hpp"
#include "lacuna/core/status.hpp"
#include "lacuna/core/tensor_view.hpp"

namespace lacuna {

/// Joins attention over disjoint sets of keys into attention over their union, by the log-sum-exp of each part, in the
/// order of the parts: the same parts give the same bits. A part without keys for a row, whose lse is -inf, adds
/// nothing to it, whatever its out holds; a row without keys in any part gets 0 and -inf. On the device all pointers
/// are the device's.
template <Storage T>
struct MergeStatesArgs {
  TensorView<T const, 4> part_out;      // [parts, len_q, heads_q, dim]
  TensorView<float const, 3> part_lse;  // [parts, len_q, heads_q], natural logarithm
  TensorView<T, 3> out;                 // out [len_q, heads_q, dim]
  TensorView<float, 2> lse{};           // out [len_q, heads_q]; data may be null

  Status check() const {
    for (int axis = 0; axis < 3; ++axis) {
      if (part_out.extent(axis + 1) != out.extent(axis))
        return Status::invalid("merge_states: each part must have the extents of out", part_out.extent(axis + 1),
                               out.extent(axis));
      if (part_lse.extent(axis) != part_out.extent(axis))
        return Status::invalid("merge_states: part_lse must be [parts, len_q, heads_q]", part_lse.extent(axis),
                               part_out.extent(axis));
    }
    if (lse.data != nullptr && (lse.extent(0) != out.extent(0) || lse.extent(1) != out.extent(1)))
      return Status::invalid("merge_states: lse must be null or [len_q, heads_q]", lse.extent(0), out.extent(0));
    return {};
  }
};

}  // namespace lacuna

#include "lacuna/kernels/cpu/merge_states.hpp"

#if LACUNA_CUDA
#include "lacuna/kernels/cuda/merge_states.cuh"
#endif
