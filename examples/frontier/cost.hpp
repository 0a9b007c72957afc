#pragma once

#include <cstdint>
#include <lacuna/lacuna.hpp>

#include "transformer/config.hpp"

namespace frontier {

/// How a method finds out what to keep, as far as its price is concerned.
enum class Estimator : std::uint8_t {
  none,            // by position alone, or at random
  lines,           // attention of the last queries, columns and diagonals
  covered_lines,   // the same, and running sums
  blocks,          // mean queries against mean keys
  antidiagonals,   // every unit-th query against every unit-th key
  tokens,          // attention of the last queries, smoothed, once at the prompt's end
  bounds,          // page bounds, at every step
  covered_bounds,  // page bounds, then the keys of twice the budget's pages
  newest,          // attention of the newest query over what is held, which attending computes anyway
  accumulated,     // attention of every query so far: the prompt's scores a second time
  everything,      // the attention itself: controls that no system could pay for
};

struct CostInputs {
  std::int64_t window = 0;
  std::int64_t lines = 0;  // columns, and as many diagonals
  std::int64_t unit_tokens = 16;
  std::int64_t smoothing = 0;
};

/// What one sequence costs by the account of The Sparse Frontier (arXiv 2504.17768): FLOPs of its prompt and elements
/// that a step reads, at the end of the prompt. `weights` serve a whole batch.
struct Cost {
  double prefill_flops = 0.0;         // selection included
  double prefill_select_flops = 0.0;  // of them
  double weight_reads = 0.0;          // elements of a step
  double kv_reads = 0.0;
  double select_reads = 0.0;
  double kv_bytes = 2.0;  // of an element of the cache; weights and bounds have 2

  /// Elements that a step reads for each sequence of a batch.
  double step_reads(double batch) const { return weight_reads / batch + kv_reads + select_reads; }
  double step_bytes(double batch) const {
    return 2.0 * weight_reads / batch + kv_bytes * kv_reads + 2.0 * select_reads;
  }
};

lacuna::ModelDims dims_of(transformer::Config const& config);

/// `density` is that of the phase that the method makes sparse; the other phase is dense.
Cost cost_of(lacuna::ModelDims const& model, lacuna::Moment moment, Estimator estimator, CostInputs const& inputs,
             std::int64_t tokens, double density, double kv_bytes = 2.0);

}  // namespace frontier
