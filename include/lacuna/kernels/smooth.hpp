#pragma once

#include <cstdint>

#include "lacuna/core/config.hpp"
#include "lacuna/core/status.hpp"
#include "lacuna/index/scores.hpp"

namespace lacuna {

/// Each score becomes the mean, or the highest, of the `width` scores around it, on the device (what
/// selectors/pooled.hpp does): by the same operations in the same order, so that the bits are the CPU's.
struct SmoothArgs {
  Scores from;        // [choices, kinds, units or more]; the last axis dense
  Scores to;          // out, as from, and not the same memory
  Counts candidates;  // [choices, kinds]; what lies behind them counts as 0
  std::int64_t width = 1;
  bool highest = false;

  Status check() const {
    if (from.extents != to.extents)
      return Status::invalid("smooth: from and to must have the same extents", to.extent(2), from.extent(2));
    if (candidates.extent(0) != from.extent(0) || candidates.extent(1) != from.extent(1))
      return Status::invalid("smooth: candidates must have one entry per row of scores", candidates.extent(0),
                             from.extent(0));
    if (from.stride(2) != 1 || to.stride(2) != 1)
      return Status::invalid("smooth: the last axis of scores must be dense", from.stride(2), 1);
    if (width < 1 || width % 2 == 0) return Status::invalid("smooth: width must be odd and at least 1", width, 1);
    return {};
  }
};

}  // namespace lacuna

#if LACUNA_CUDA
#include "lacuna/kernels/cuda/smooth.cuh"
#endif
