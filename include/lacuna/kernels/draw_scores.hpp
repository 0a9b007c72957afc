#pragma once

#include <cstdint>

#include "lacuna/core/config.hpp"

namespace lacuna {

/// In [0, 1), from the bits of SplitMix64: the same on every machine.
LACUNA_HD inline float drawn_score(std::uint64_t seed, std::int64_t head, std::int64_t row, std::int64_t unit) {
  std::uint64_t z = seed;
  std::int64_t const parts[] = {head, row, unit};
  for (std::int64_t part : parts) {
    z += 0x9e3779b97f4a7c15ULL * (static_cast<std::uint64_t>(part) + 1);
    z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27U)) * 0x94d049bb133111ebULL;
    z ^= z >> 31U;
  }
  return static_cast<float>(z >> 40U) * 0x1p-24F;
}

}  // namespace lacuna

#if LACUNA_CUDA
#include "lacuna/kernels/cuda/draw_scores.cuh"
#endif
