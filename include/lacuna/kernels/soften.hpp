#pragma once

#include "lacuna/core/config.hpp"
#include "lacuna/core/status.hpp"
#include "lacuna/index/scores.hpp"

namespace lacuna {

/// Rows of products become the softmax of their logits, in place, on the device (what selectors/normalised.hpp does):
/// NaN weighs nothing, and -inf, which is no candidate, stays.
struct SoftenArgs {
  Scores scores;      // [heads, rows, units or more]; the last axis dense
  Counts candidates;  // [heads, rows]
  float scale = 1.0F;
  float soft_cap = 0.0F;  // 0: none

  Status check() const {
    if (candidates.extent(0) != scores.extent(0) || candidates.extent(1) != scores.extent(1))
      return Status::invalid("soften: candidates must have one entry per row of scores", candidates.extent(0),
                             scores.extent(0));
    if (scores.stride(2) != 1)
      return Status::invalid("soften: the last axis of scores must be dense", scores.stride(2), 1);
    return {};
  }
};

}  // namespace lacuna

#if LACUNA_CUDA
#include "lacuna/kernels/cuda/soften.cuh"
#endif
