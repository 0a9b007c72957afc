#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "lacuna/kernels/cpu/flash_kernels.hpp"
#include "lacuna/kernels/pick_top.hpp"

#define LACUNA_EACH_TARGET "lacuna/kernels/cpu/pick_top.inl"
#include "lacuna/kernels/cpu/each_target.inl"

namespace lacuna {

/// One row of scores per worker, as integers.
inline std::int32_t* reserve_pick_top(Cpu exec, std::int64_t units, Workspace& memory) {
  return memory.take<std::int32_t>(exec.workers * units);
}

inline Status pick_top(Cpu exec, PickTopArgs const& args) {
  if (Status s = args.check(); !s) return s;
  std::int64_t const units = args.scores.extent(1);
  Workspace memory = args.scratch;
  std::int32_t* const scratch = reserve_pick_top(exec, units, memory);
  if (Status s = memory.check("pick_top: the workspace is smaller than planned"); !s) return s;
  exec.for_work(args.scores.extent(0) * units * 8).each(args.scores.extent(0), [&](std::int64_t row, int worker) {
    std::int64_t const available = args.candidates.data != nullptr ? args.candidates(row) : units;
    std::int64_t const kept = std::min<std::int64_t>(args.wanted(row), available);
    std::int32_t* const picked = args.units.slice(row);
    args.counts(row) = static_cast<std::int32_t>(kept);
    if (kept == 0) return;
    std::int32_t* const ranks = scratch + worker * units;
    std::int32_t const cut = LACUNA_FOR_TARGET(cut_scores)(args.scores.slice(row), available, kept, ranks);
    std::int64_t const above = std::count_if(ranks, ranks + available, [&](std::int32_t rank) { return rank > cut; });
    std::int64_t passed_over = 0;  // of those at the cut, the first so many are left out
    if (args.ties_to_higher) passed_over = above + std::count(ranks, ranks + available, cut) - kept;
    for (std::int64_t unit = 0, count = 0, at_cut = kept - above; count < kept; ++unit) {
      picked[count] = static_cast<std::int32_t>(unit);  // and then the next in its place, unless it stays
      count += ranks[unit] > cut || (ranks[unit] == cut && passed_over-- <= 0 && at_cut-- > 0);
    }
  });
  return {};
}

}  // namespace lacuna
