#pragma once

#include <algorithm>
#include <limits>

#include "lacuna/kernels/cpu/micro_kernels.hpp"
#include "lacuna/kernels/pooled_scores.hpp"

namespace lacuna {

/// Channels of a pooled row.
constexpr std::int64_t pooled_channels(std::int64_t dim) { return cpu::padded(dim); }

/// A panel of keys and a strip of scores.
constexpr std::int64_t pooled_scores_floats(std::int64_t dim) {
  return cpu::kPanelKeys * cpu::padded(dim) + cpu::kStripRows * cpu::kPanelKeys;
}

inline Status pooled_scores(Cpu, PooledScoresArgs const& args) {
  if (Status s = args.check(); !s) return s;
  std::int64_t const rows = args.scores.extent(0), blocks = args.scores.extent(1);
  float* const panel = args.scratch;
  float* const strip = panel + cpu::kPanelKeys * cpu::padded(args.dim);
  float const* keys[cpu::kPanelKeys];
  for (std::int64_t first = 0; first < blocks; first += cpu::kPanelKeys) {
    std::int64_t const count = std::min(cpu::kPanelKeys, blocks - first);
    for (std::int64_t j = 0; j < count; ++j) keys[j] = args.keys.slice(first + j);
    cpu::pack_keys(keys, count, args.dim, panel);
    for (std::int64_t r = 0; r < rows; r += cpu::kStripRows)
      cpu::with_rows(std::min<std::int64_t>(cpu::kStripRows, rows - r), [&](auto strip_rows) {
        cpu::multiply<strip_rows, false>(
            args.dim, args.queries.slice(r), args.queries.stride(0),
            [&](std::int64_t x) { return panel + x * cpu::kPanelKeys; }, cpu::padded(count), strip, cpu::kPanelKeys);
        for (std::int64_t i = 0; i < strip_rows; ++i) {
          float* const row = args.scores.slice(r + i) + first;
          std::int64_t const causal = std::clamp<std::int64_t>(args.first_block + r + i + 1 - first, 0, count);
          std::copy_n(strip + i * cpu::kPanelKeys, causal, row);
          std::fill(row + causal, row + count, -std::numeric_limits<float>::infinity());
        }
      });
  }
  return {};
}

}  // namespace lacuna
