#pragma once

#include <cstdint>

#include "lacuna/core/exec.hpp"
#include "lacuna/core/status.hpp"
#include "lacuna/core/tensor_view.hpp"

namespace lacuna {

/// Dot products of some pooled queries with every pooled key before or at them; -inf behind them. One worker's share.
struct PooledScoresArgs {
  TensorView<float const, 2> queries;  // [rows, dim], row r is block first_block + r; the last axis dense, zero padded
  TensorView<float const, 2> keys;     // [blocks, dim], as queries; pooled_channels(dim) of them
  std::int64_t dim = 0;
  std::int64_t first_block = 0;
  TensorView<float, 2> scores;  // out [rows, first_block + rows], the last axis dense
  float* scratch = nullptr;     // pooled_scores_floats(dim)

  Status check() const {
    if (scores.extent(0) != queries.extent(0))
      return Status::invalid("pooled_scores: scores must have one row per query", scores.extent(0), queries.extent(0));
    if (scores.extent(1) != first_block + queries.extent(0) || scores.extent(1) > keys.extent(0))
      return Status::invalid("pooled_scores: scores must be as wide as the last row's blocks", scores.extent(1),
                             first_block + queries.extent(0));
    return {};
  }
};

}  // namespace lacuna

#include "lacuna/kernels/cpu/pooled_scores.hpp"
