#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>

#include "lacuna/kernels/pick_top.hpp"

namespace lacuna {

/// One row of scores per worker, to partition.
inline float* reserve_pick_top(Cpu exec, std::int64_t units, Workspace& memory) {
  return memory.take<float>(exec.workers * units);
}

inline Status pick_top(Cpu exec, PickTopArgs const& args) {
  if (Status s = args.check(); !s) return s;
  std::int64_t const units = args.scores.extent(1);
  Workspace memory = args.scratch;
  float* const scratch = reserve_pick_top(exec, units, memory);
  if (Status s = memory.check("pick_top: the workspace is smaller than planned"); !s) return s;
  exec.for_work(args.scores.extent(0) * units * 8).each(args.scores.extent(0), [&](std::int64_t row, int worker) {
    float const* const scores = args.scores.slice(row);
    std::int64_t const available = args.candidates.data != nullptr ? args.candidates(row) : units;
    std::int64_t const kept = std::min<std::int64_t>(args.wanted(row), available);
    std::int32_t* picked = args.units.slice(row);
    args.counts(row) = static_cast<std::int32_t>(kept);
    if (kept == 0) return;
    auto const rank = [](float score) {
      if (std::isnan(score)) return -std::numeric_limits<float>::infinity();
      return score;
    };
    float* const sorted = scratch + worker * units;
    std::transform(scores, scores + available, sorted, rank);
    std::nth_element(sorted, sorted + kept - 1, sorted + available, std::greater<>{});
    float const cut = sorted[kept - 1];
    std::int64_t at_cut = kept - std::count_if(sorted, sorted + kept, [&](float score) { return score > cut; });
    std::int64_t passed_over = args.ties_to_higher ? std::count(sorted, sorted + available, cut) - at_cut : 0;
    for (std::int64_t unit = 0; unit < available; ++unit) {
      float const score = rank(scores[unit]);
      if (score > cut || (score == cut && passed_over-- <= 0 && at_cut-- > 0))
        *picked++ = static_cast<std::int32_t>(unit);
    }
  });
  return {};
}

}  // namespace lacuna
