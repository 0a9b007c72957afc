#pragma once

#include <cstdint>

#include "lacuna/core/exec.hpp"
#include "lacuna/kernels/cuda/launch.cuh"
#include "lacuna/kernels/cuda/primitives/launch_order.cuh"
#include "lacuna/kernels/cuda/primitives/warp.cuh"
#include "lacuna/kernels/merge_states.hpp"

namespace lacuna {
namespace cuda {

template <class T>
struct MergeRows {
  T const* part_out;
  std::int64_t out_strides[4];
  float const* part_lse;
  std::int64_t lse_strides[3];
  T* out;
  std::int64_t to_strides[3];
  float* lse;
  std::int64_t lse_to_strides[2];
  std::int32_t parts, heads, dim;
  std::int64_t rows;  // queries * heads
};

/// The higher of two; a NaN once taken stays.
__device__ __forceinline__ float higher_or_nan(float a, float b) { return b > a || b != b ? b : a; }

/// grid: one warp per query and head. Reads every part's row once, writes one.
template <class T>
__global__ void __launch_bounds__(256) merge_states_kernel(MergeRows<T> const args) {
  constexpr int kChannels = 8;  // of a lane, summed at once
  launch_after_earlier();
  std::int64_t const item = std::int64_t{blockIdx.x} * 8 + warp_id();
  if (item >= args.rows) return;
  std::int64_t const row = item / args.heads, head = item - row * args.heads;
  float const* const lses = args.part_lse + row * args.lse_strides[1] + head * args.lse_strides[2];

  float highest = -INFINITY;
  for (int part = lane_id(); part < args.parts; part += 32)
    highest = higher_or_nan(highest, lses[part * args.lse_strides[0]]);
#pragma unroll
  for (int other = 16; other > 0; other /= 2)
    highest = higher_or_nan(highest, __shfl_xor_sync(kAllLanes, highest, other));
  float const base = highest == -INFINITY ? 0.0F : highest;  // -inf - -inf would be NaN
  float mass = 0.0F;
  for (int part = lane_id(); part < args.parts; part += 32) mass += expf(lses[part * args.lse_strides[0]] - base);
#pragma unroll
  for (int other = 16; other > 0; other /= 2) mass += __shfl_xor_sync(kAllLanes, mass, other);

  float const share = __fdividef(1.0F, mass);  // mass is at least 1; an exact quotient would call, and spill
  for (int first = 0; first < args.dim; first += 32 * kChannels) {
    float sums[kChannels] = {};
    for (int part = 0; part < args.parts; ++part) {
      float const lse = lses[part * args.lse_strides[0]];
      if (lse == -INFINITY) continue;
      float const weight = expf(lse - base) * share;
      T const* const from =
          args.part_out + part * args.out_strides[0] + row * args.out_strides[1] + head * args.out_strides[2];
#pragma unroll
      for (int i = 0; i < kChannels; ++i)
        if (int const x = first + i * 32 + lane_id(); x < args.dim)
          sums[i] += weight * load_float(from + x * args.out_strides[3]);
    }
    T* const to = args.out + row * args.to_strides[0] + head * args.to_strides[1];
#pragma unroll
    for (int i = 0; i < kChannels; ++i)
      if (int const x = first + i * 32 + lane_id(); x < args.dim) store_float(to + x * args.to_strides[2], sums[i]);
  }
  if (args.lse != nullptr && lane_id() == 0)
    args.lse[row * args.lse_to_strides[0] + head * args.lse_to_strides[1]] =
        highest == -INFINITY ? -INFINITY : base + logf(mass);
}

}  // namespace cuda

/// All pointers are the device's.
template <Storage T>
Status merge_states(Cuda exec, MergeStatesArgs<T> const& args) {
  if (Status s = args.check(); !s) return s;
  std::int64_t const heads = args.out.extent(1), rows = args.out.extent(0) * heads;
  if (rows == 0) return {};
  if (rows > INT32_MAX) return Status::invalid("merge_states: at most 2^31 rows on the device", rows, INT32_MAX);
  auto const& from = args.part_out.strides;
  auto const& to = args.out.strides;
  cuda::MergeRows<T> const merged{args.part_out.data,
                                  {from[0], from[1], from[2], from[3]},
                                  args.part_lse.data,
                                  {args.part_lse.stride(0), args.part_lse.stride(1), args.part_lse.stride(2)},
                                  args.out.data,
                                  {to[0], to[1], to[2]},
                                  args.lse.data,
                                  {args.lse.stride(0), args.lse.stride(1)},
                                  static_cast<std::int32_t>(args.part_out.extent(0)),
                                  static_cast<std::int32_t>(heads),
                                  static_cast<std::int32_t>(args.out.extent(2)),
                                  rows};
  return cuda::launch_overlapping(exec, dim3(static_cast<unsigned>((rows + 7) / 8)), dim3(256), 0,
                                  cuda::merge_states_kernel<T>, merged);
}

}  // namespace lacuna
