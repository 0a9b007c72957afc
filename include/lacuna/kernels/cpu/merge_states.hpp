#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "lacuna/kernels/merge_states.hpp"

namespace lacuna {

template <Storage T>
Status merge_states(Cpu exec, MergeStatesArgs<T> const& args) {
  if (Status s = args.check(); !s) return s;
  constexpr float kNone = -std::numeric_limits<float>::infinity();
  constexpr std::int64_t kChannels = 64;  // summed at once: the weights are computed again for each
  std::int64_t const parts = args.part_out.extent(0), heads = args.out.extent(1), dim = args.out.extent(2);
  std::int64_t const rows = args.out.extent(0) * heads;
  exec.for_work(rows * parts * dim).each(rows, [&](std::int64_t item, int) {
    std::int64_t const row = item / heads, head = item % heads;
    float highest = kNone;
    for (std::int64_t part = 0; part < parts; ++part) {
      float const lse = args.part_lse(part, row, head);
      highest = lse > highest || std::isnan(lse) ? lse : highest;
    }
    float const base = highest == kNone ? 0.0F : highest;  // -inf - -inf would be NaN
    float mass = 0.0F;
    for (std::int64_t part = 0; part < parts; ++part) mass += std::exp(args.part_lse(part, row, head) - base);
    for (std::int64_t first = 0; first < dim; first += kChannels) {
      std::int64_t const channels = std::min(kChannels, dim - first);
      float sums[kChannels] = {};
      for (std::int64_t part = 0; part < parts; ++part) {
        float const lse = args.part_lse(part, row, head);
        if (lse == kNone) continue;
        float const weight = std::exp(lse - base) / mass;
        for (std::int64_t x = 0; x < channels; ++x)
          sums[x] += weight * to_float(args.part_out(part, row, head, first + x));
      }
      for (std::int64_t x = 0; x < channels; ++x) args.out(row, head, first + x) = from_float<T>(sums[x]);
    }
    if (args.lse.data != nullptr) args.lse(row, head) = highest == kNone ? kNone : base + std::log(mass);
  });
  return {};
}

}  // namespace lacuna
