#pragma once

#include <cstdint>

#include "lacuna/core/config.hpp"
#include "lacuna/core/status.hpp"
#include "lacuna/index/scores.hpp"

namespace lacuna {

/// How many of the best units of each row hold a share of its mass, on the device: what budgets of mass allot (see
/// budgets/top_mass.hpp), by the same whole numbers, so that the counts are those of the CPU.
struct CoverageArgs {
  Scores scores;  // [heads, rows, units or more]; the last axis dense
  Counts counts;  // [heads, rows]; in: the candidates of each row; out: how many to keep
  double share = 0.9;
  std::int64_t floor_units = 1;
  std::int64_t most_units = 0;  // 0: no limit
  bool after_anchors = false;   // forced units, which are +inf, hold what the others lack of 1

  Status check() const {
    if (counts.extent(0) != scores.extent(0) || counts.extent(1) != scores.extent(1))
      return Status::invalid("coverage: counts must have one entry per row of scores", counts.extent(0),
                             scores.extent(0));
    if (scores.stride(2) != 1)
      return Status::invalid("coverage: the last axis of scores must be dense", scores.stride(2), 1);
    if (!(share >= 0.0 && share <= 1.0)) return Status::invalid("coverage: share must be in [0, 1]");
    return {};
  }
};

}  // namespace lacuna

#if LACUNA_CUDA
#include "lacuna/kernels/cuda/coverage.cuh"
#endif
