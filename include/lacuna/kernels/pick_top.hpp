#pragma once

#include <cstdint>

#include "lacuna/core/exec.hpp"
#include "lacuna/core/status.hpp"
#include "lacuna/core/tensor_view.hpp"
#include "lacuna/core/workspace.hpp"

namespace lacuna {

/// The best units of each row: the `wanted` highest scores among the first `candidates`, ties to the lower unit, NaN
/// last (as -inf). Fewer candidates than wanted are all kept.
struct PickTopArgs {
  TensorView<float const, 2> scores;             // [rows, units]; the last axis is dense
  TensorView<std::int32_t const, 1> wanted;      // [rows]
  TensorView<std::int32_t const, 1> candidates;  // [rows], at most units; data may be null: all of them
  TensorView<std::int32_t, 2> units;             // out [rows, capacity], ascending
  TensorView<std::int32_t, 1> counts;            // out [rows]
  Workspace scratch;                             // as reserve_pick_top takes
  bool ties_to_higher = false;                   // of units that tie at the cut the last ones stay, not the first

  Status check() const {
    std::int64_t const rows = scores.extent(0);
    if (wanted.extent(0) != rows || units.extent(0) != rows || counts.extent(0) != rows)
      return Status::invalid("pick_top: wanted, units and counts must have one entry per row of scores",
                             wanted.extent(0), rows);
    if (candidates.data != nullptr && candidates.extent(0) != rows)
      return Status::invalid("pick_top: candidates must have one entry per row of scores", candidates.extent(0), rows);
    if (scores.extent(1) > 0 && scores.stride(1) != 1)
      return Status::invalid("pick_top: the last axis of scores must be dense", scores.stride(1), 1);
    for (std::int64_t row = 0; row < rows; ++row) {
      if (candidates.data != nullptr && (candidates(row) < 0 || candidates(row) > scores.extent(1)))
        return Status::invalid("pick_top: more candidates than scores", candidates(row), scores.extent(1));
      if (wanted(row) < 0) return Status::invalid("pick_top: wanted must not be negative", wanted(row), 0);
      std::int64_t const available = candidates.data != nullptr ? candidates(row) : scores.extent(1);
      if (wanted(row) > units.extent(1) && available > units.extent(1))
        return Status::invalid("pick_top: the index has no room for that many units; plan for this shape and budget",
                               wanted(row), units.extent(1));
    }
    return {};
  }
};

}  // namespace lacuna

#include "lacuna/kernels/cpu/pick_top.hpp"
