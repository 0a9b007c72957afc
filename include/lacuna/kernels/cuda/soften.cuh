#pragma once

#include <cfloat>
#include <cstdint>

#include "lacuna/kernels/cuda/launch.cuh"
#include "lacuna/kernels/cuda/primitives/warp.cuh"
#include "lacuna/kernels/soften.hpp"

namespace lacuna::cuda {

struct SoftenTraits {
  static constexpr int threads = 256, warps = threads / 32;
};

struct SoftenParameters {
  float* scores;
  std::int64_t scores_stride_head, scores_stride_row;
  std::int32_t const* candidates;
  std::int64_t candidates_stride_head, candidates_stride_row;
  float scale, soft_cap;
};

/// Grid: (rows, heads). A block owns a row, reads it three times, out of cache but for the first, and writes it once.
template <class Traits>
__global__ void __launch_bounds__(Traits::threads) soften_kernel(__grid_constant__ SoftenParameters const p) {
  __shared__ float of_warps[2][Traits::warps];
  float* const scores = p.scores + blockIdx.y * p.scores_stride_head + blockIdx.x * p.scores_stride_row;
  std::int32_t const candidates =
      p.candidates[blockIdx.y * p.candidates_stride_head + blockIdx.x * p.candidates_stride_row];
  auto const logit = [&](float score) {
    float const scaled = score * p.scale;
    float const capped = p.soft_cap > 0.0F ? p.soft_cap * tanhf(scaled / p.soft_cap) : scaled;
    return capped > FLT_MAX ? FLT_MAX : capped;
  };
  int const first = static_cast<int>(threadIdx.x), warp = first / 32;
  float highest = -INFINITY;
  for (std::int32_t unit = first; unit < candidates; unit += Traits::threads)
    if (scores[unit] != -INFINITY) highest = fmaxf(highest, logit(scores[unit]));
  for (int lanes = 16; lanes > 0; lanes /= 2) highest = fmaxf(highest, __shfl_xor_sync(kAllLanes, highest, lanes));
  if (lane_id() == 0) of_warps[0][warp] = highest;
  __syncthreads();
  for (float other : of_warps[0]) highest = fmaxf(highest, other);
  auto const weight = [&](float score) {
    float const x = logit(score);
    return x != x ? 0.0F : expf(x - highest);
  };
  float total = 0.0F;
  for (std::int32_t unit = first; unit < candidates; unit += Traits::threads)
    if (scores[unit] != -INFINITY) total += weight(scores[unit]);
  for (int lanes = 16; lanes > 0; lanes /= 2) total += __shfl_xor_sync(kAllLanes, total, lanes);
  if (lane_id() == 0) of_warps[1][warp] = total;
  __syncthreads();
  total = 0.0F;
  for (float other : of_warps[1]) total += other;
  float const share = total == 0.0F ? 1.0F : 1.0F / total;
  for (std::int32_t unit = first; unit < candidates; unit += Traits::threads)
    if (scores[unit] != -INFINITY) scores[unit] = weight(scores[unit]) * share;
}

}  // namespace lacuna::cuda

namespace lacuna {

inline Status soften(Cuda exec, SoftenArgs const& args) {
  if (Status s = args.check(); !s) return s;
  if (args.scores.count() == 0) return {};
  return cuda::launch(
      exec, {static_cast<unsigned>(args.scores.extent(1)), static_cast<unsigned>(args.scores.extent(0)), 1},
      cuda::SoftenTraits::threads, 0, cuda::soften_kernel<cuda::SoftenTraits>,
      cuda::SoftenParameters{args.scores.data, args.scores.stride(0), args.scores.stride(1), args.candidates.data,
                             args.candidates.stride(0), args.candidates.stride(1), args.scale, args.soft_cap});
}

}  // namespace lacuna
