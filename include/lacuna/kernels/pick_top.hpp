#pragma once

#include <cstdint>

#include "lacuna/core/exec.hpp"
#include "lacuna/core/status.hpp"
#include "lacuna/core/tensor_view.hpp"
#include "lacuna/core/workspace.hpp"
#include "lacuna/index/page_index.hpp"

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
    if (Status s = check_views(); !s) return s;
    for (std::int64_t row = 0; row < scores.extent(0); ++row) {
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

  /// What can be seen without reading what the views lead to. On the device the rest is the caller's promise; a count
  /// is cut to the candidates and to the capacity there, so that nothing is written out of bounds.
  Status check_views() const {
    std::int64_t const rows = scores.extent(0);
    if (wanted.extent(0) != rows || units.extent(0) != rows || counts.extent(0) != rows)
      return Status::invalid("pick_top: wanted, units and counts must have one entry per row of scores",
                             wanted.extent(0), rows);
    if (candidates.data != nullptr && candidates.extent(0) != rows)
      return Status::invalid("pick_top: candidates must have one entry per row of scores", candidates.extent(0), rows);
    if (scores.extent(1) > 0 && scores.stride(1) != 1)
      return Status::invalid("pick_top: the last axis of scores must be dense", scores.stride(1), 1);
    return {};
  }
};

/// The pages that each row of a batch reads at this step: the `wanted` best of the full pages before the current one,
/// ties to the lower, and after them the current page, which holds the newest token. Rows are batch * heads, sequence
/// major; a row is a query head, or a KV head whose group shares the choice. All pointers are the device's.
struct PickPagesBatchArgs {
  TensorView<float const, 2> scores;         // [rows, pages]; the last axis is dense
  TensorView<std::int32_t const, 1> wanted;  // [rows], the current page not counted; data may be null: all the room
  TensorView<std::int32_t const, 2> lens;    // [batch, heads_kv], tokens held, the newest included
  PageIndex index;                           // out; pages [rows, capacity], at least 1
  Workspace scratch;                         // as reserve_pick_top takes

  Status check() const {
    std::int64_t const rows = scores.extent(0), heads_kv = lens.extent(1), batch = lens.extent(0);
    if (index.page_tokens < 1)
      return Status::invalid("pick_pages: page_tokens must be at least 1", index.page_tokens, 1);
    if (index.rows() != rows || index.pages.extent(0) != rows || index.lens.extent(0) != rows)
      return Status::invalid("pick_pages: scores and the index must have the same rows", index.rows(), rows);
    if (rows > 0 && (batch * heads_kv == 0 || rows % (batch * heads_kv) != 0))
      return Status::invalid("pick_pages: rows must be a multiple of batch * heads_kv", rows, batch * heads_kv);
    if (index.pages.extent(1) < 1)
      return Status::invalid("pick_pages: the index has no room for the current page", index.pages.extent(1), 1);
    return {};
  }
};

}  // namespace lacuna

#include "lacuna/kernels/cpu/pick_top.hpp"

#if LACUNA_CUDA
#include "lacuna/kernels/cuda/pick_top.cuh"
#endif
