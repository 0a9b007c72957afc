#pragma once

#include <cstdint>

#include "lacuna/core/config.hpp"
#include "lacuna/core/exec.hpp"
#include "lacuna/core/status.hpp"
#include "lacuna/index/scores.hpp"

namespace lacuna {

/// How the heads of a sequence share their pool of units.
enum class PoolRule : std::uint8_t {
  best_units,    // the best units of all heads (budgets/adaptive_heads.hpp)
  entropy,       // by the spread of each head's scores (budgets/dispersion.hpp)
  mass_outside,  // by what an even share would leave out
};

/// Tokens that grow as a power of the length: tokens * (len / reference_tokens)^exponent.
struct Growth {
  std::int64_t reference_tokens = 1;
  double exponent = 0.0;  // 0: they do not
};

/// How many units each head may keep, where the heads of each sequence share a pool, on the device: the numbers that
/// the budgets of the same rule allot for the same scores.
struct SharePoolArgs {
  Scores scores;  // [batch * heads, 1, units or more]; the last axis dense
  Counts counts;  // [batch * heads, 1]; in: the candidates of each head; out: how many to keep
  std::int64_t batch = 0;
  std::int64_t tokens = 0;  // of a head on average
  std::int64_t unit_tokens = 1;
  double floor_share = 0.0;  // of these, that every head is sure of
  Growth growth{};
  PoolRule rule = PoolRule::best_units;

  Status check() const {
    if (counts.extent(0) != scores.extent(0) || counts.extent(1) != scores.extent(1) || counts.extent(1) != 1)
      return Status::invalid("share_pool: scores and counts must have one row per head", counts.extent(1), 1);
    if (batch < 0 || (batch > 0 ? scores.extent(0) % batch : scores.extent(0)) != 0)
      return Status::invalid("share_pool: scores must have as many heads for every sequence", scores.extent(0), batch);
    if (scores.stride(2) != 1)
      return Status::invalid("share_pool: the last axis of scores must be dense", scores.stride(2), 1);
    return {};
  }
};

}  // namespace lacuna

#if LACUNA_CUDA
#include "lacuna/kernels/cuda/share_pool.cuh"
#endif
