#pragma once

#include <cstdint>

#include "lacuna/core/config.hpp"
#include "lacuna/core/status.hpp"
#include "lacuna/index/scores.hpp"

namespace lacuna {

/// Which of a row's units a budget means, best first (see budgets/top_mass.hpp and above_cut.hpp).
enum class CoverageRule : std::uint8_t {
  crossing,       // as many as hold more than the share, whose last one crosses it
  after_anchors,  // those of score +inf, which hold what the others lack of 1, and as many others as reach the share
  within,         // those of score +inf, and as many others as hold at most the share of the others' mass
  above_cut,      // all whose score is above -inf; the share is not asked
};

/// How many of the best units of each row hold a share of its mass, on the device: what budgets of mass allot, by
/// the same whole numbers, so that the counts are those of the CPU.
struct CoverageArgs {
  Scores scores;  // [heads, rows, units or more]; the last axis dense
  Counts counts;  // [heads, rows]; in: the candidates of each row; out: how many to keep
  double share = 0.9;
  std::int64_t floor_units = 1;
  std::int64_t most_units = 0;                 // 0: no limit
  CoverageRule rule = CoverageRule::crossing;  // the floor and the limit are for crossing and above_cut

  Status check() const {
    if (counts.extent(0) != scores.extent(0) || counts.extent(1) != scores.extent(1))
      return Status::invalid("coverage: counts must have one entry per row of scores", counts.extent(0),
                             scores.extent(0));
    if (scores.stride(2) != 1)
      return Status::invalid("coverage: the last axis of scores must be dense", scores.stride(2), 1);
    if (floor_units < 0 || most_units < 0)
      return Status::invalid("coverage: floor_units and most_units must not be negative", floor_units, 0);
    if (!(share >= 0.0 && share <= 1.0)) return Status::invalid("coverage: share must be in [0, 1]");
    return {};
  }
};

}  // namespace lacuna

#if LACUNA_CUDA
#include "lacuna/kernels/cuda/coverage.cuh"
#endif
