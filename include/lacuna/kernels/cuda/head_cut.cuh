#pragma once

#include <cmath>
#include <cstdint>

#include "lacuna/core/workspace.hpp"
#include "lacuna/kernels/cuda/block_rows.cuh"
#include "lacuna/kernels/cuda/candidates.cuh"
#include "lacuna/kernels/cuda/coverage.cuh"

namespace lacuna::cuda {

// One cut through all rows of a head of a sequence: its best pairs of blocks that together hold at most a share of the
// mass. Three passes narrow the score of the first pair that does not fit, some bits of its pattern at a time.

struct HeadCutTraits {
  using Coverage = CoverageTraits<256>;
  static constexpr int threads = 256, bins = Coverage::bins;
};

/// Of one head of one sequence, between the passes.
struct HeadCutState {
  unsigned long long mass[HeadCutTraits::bins];  // of the pass, by bin
  unsigned long long held;                       // above the prefix
  std::uint32_t prefix, all_fit;
};

struct HeadCuts {
  HeadCutState* states;  // [batch, heads], zero before the first pass
  float* cuts;           // [batch, heads]: what is not above it is left out

  HeadCuts(std::int64_t heads, Workspace& memory)
      : states(memory.take<HeadCutState>(heads)), cuts(memory.take<float>(heads)) {}
};

struct HeadCutParameters {
  BlockRows rows;
  float* scores;
  std::int64_t stride_head, stride_row;
  HeadCutState* states;
  float* cuts;
  std::int32_t first_row, heads;
  int above, shift;  // bits [shift, above) of a pattern are this pass's
  double share;
};

/// Grid: (rows of the chunk, heads). Reads a row once.
template <class Traits>
__global__ void __launch_bounds__(Traits::threads) add_head_mass_kernel(__grid_constant__ HeadCutParameters const p) {
  __shared__ unsigned long long mass[Traits::bins];
  std::int32_t const head = static_cast<std::int32_t>(blockIdx.y);
  BlockRows::Row const row = p.rows.find(p.first_row + static_cast<std::int32_t>(blockIdx.x));
  if (!row.there) return;
  HeadCutState& state = p.states[row.sequence * p.heads + head];
  std::uint32_t const prefix = state.prefix;
  for (int bin = static_cast<int>(threadIdx.x); bin < Traits::bins; bin += Traits::threads) mass[bin] = 0;
  __syncthreads();
  float const* const scores = p.scores + head * p.stride_head + blockIdx.x * p.stride_row;
  for (std::int32_t unit = static_cast<std::int32_t>(threadIdx.x); unit < row.candidates(); unit += Traits::threads) {
    std::uint32_t const bits = __float_as_uint(scores[unit]);
    if (unsigned long long const own = mass_of_score(scores[unit]); own > 0 && bits >> p.above == prefix)
      atomicAdd(&mass[bits >> p.shift & ((1U << (p.above - p.shift)) - 1U)], own);
  }
  __syncthreads();
  for (int bin = static_cast<int>(threadIdx.x); bin < Traits::bins; bin += Traits::threads)
    if (mass[bin] > 0) atomicAdd(&state.mass[bin], mass[bin]);
}

/// Grid: (batch * heads).
template <class Traits>
__global__ void __launch_bounds__(Traits::threads) narrow_head_cut_kernel(__grid_constant__ HeadCutParameters const p) {
  __shared__ CoverageSmem<typename Traits::Coverage> smem;
  HeadCutState& state = p.states[blockIdx.x];
  std::int32_t const sequence = static_cast<std::int32_t>(blockIdx.x) / p.heads, tokens = p.rows.block_tokens;
  std::int32_t const len_q = p.rows.first_query(sequence + 1) - p.rows.first_query(sequence);
  std::int32_t const len_k = p.rows.lens[sequence * p.rows.lens_stride_sequence];
  std::int32_t const rows = len_q == 0 ? 0 : (len_k - 1) / tokens - (len_k - len_q) / tokens + 1;
  for (int bin = static_cast<int>(threadIdx.x); bin < Traits::bins; bin += Traits::threads) {
    smem.mass[bin] = state.mass[bin];
    smem.count[bin] = 0;
    state.mass[bin] = 0;
  }
  __syncthreads();
  auto const most = static_cast<unsigned long long>(p.share * static_cast<double>(rows) * 0x1p40);
  find_mass_bin(smem, state.held, most + 1);
  if (threadIdx.x > 0) return;
  state.all_fit |= smem.cut == Traits::bins;
  if (state.all_fit == 0) {
    state.held = smem.held;
    state.prefix = state.prefix << (p.above - p.shift) | smem.cut;
  }
  if (p.shift == 0) p.cuts[blockIdx.x] = state.all_fit != 0 ? -1.0F : __uint_as_float(state.prefix);
}

struct ApplyHeadCuts {
  BlockRows rows;
  Entries<float, 3> scores;
  float const* cuts;
  std::int32_t first_row;
  std::int64_t heads, slots, units;

  __device__ void operator()(std::int64_t item) const {
    std::int64_t const unit = item % units, slot = item / units % slots, head = item / units / slots;
    BlockRows::Row const row = rows.find(first_row + static_cast<std::int32_t>(slot));
    if (!row.there || unit >= row.candidates()) return;
    float& score = scores(head, slot, unit);
    if (!(score > cuts[row.sequence * heads + head])) score = -INFINITY;
  }
};

/// Finds the cuts. each_chunk(f) calls Status f(first row, scores) for all chunks of rows, [heads, rows, units] each;
/// it is called three times. `share` is of the rows' masses, which are 1 each.
template <Storage T, class EachChunk>
Status find_head_cuts(Cuda exec, BatchProblem<T> const& problem, std::int64_t block_tokens, double share,
                      HeadCuts const& own, EachChunk const& each_chunk) {
  using Traits = HeadCutTraits;
  std::int64_t const heads = problem.heads_q(), all = problem.batch * heads;
  if (all == 0) return {};
  cudaError_t const error =
      cudaMemsetAsync(own.states, 0, static_cast<std::size_t>(all) * sizeof(HeadCutState), exec.stream);
  if (error != cudaSuccess) return {Errc::launch_failed, cudaGetErrorString(error), error, 0};
  HeadCutParameters p{BlockRows(problem, block_tokens), nullptr, 0,  0,    own.states, own.cuts, 0,
                      static_cast<std::int32_t>(heads), 31,      20, share};
  for (int shift : {20, 9, 0}) {
    p.shift = shift;
    Status s = each_chunk([&](std::int64_t first_row, Scores const& scores) {
      p.scores = scores.data;
      p.stride_head = scores.stride(0);
      p.stride_row = scores.stride(1);
      p.first_row = static_cast<std::int32_t>(first_row);
      dim3 const grid(static_cast<unsigned>(scores.extent(1)), static_cast<unsigned>(heads));
      return launch(exec, grid, Traits::threads, 0, add_head_mass_kernel<Traits>, p);
    });
    if (!s) return s;
    s = launch(exec, {static_cast<unsigned>(all), 1, 1}, Traits::threads, 0, narrow_head_cut_kernel<Traits>, p);
    if (!s) return s;
    p.above = shift;
  }
  return {};
}

/// What is not above its head's cut becomes -inf, in the rows from first_row on.
template <Storage T>
Status apply_head_cuts(Cuda exec, BatchProblem<T> const& problem, std::int64_t block_tokens, HeadCuts const& own,
                       std::int64_t first_row, Scores scores) {
  return launch_each(
      exec, scores.count(),
      ApplyHeadCuts{BlockRows(problem, block_tokens), Entries<float, 3>(scores), own.cuts,
                    static_cast<std::int32_t>(first_row), problem.heads_q(), scores.extent(1), scores.extent(2)});
}

}  // namespace lacuna::cuda
