#pragma once

#include <cstdint>

#include "lacuna/kernels/coverage.hpp"
#include "lacuna/kernels/cuda/launch.cuh"
#include "lacuna/kernels/cuda/primitives/warp.cuh"

namespace lacuna::cuda {

template <int Threads>
struct CoverageTraits {
  static constexpr int threads = Threads, warps = Threads / 32, bins = 2048, bins_per_thread = bins / Threads;
};

/// In units of 2^-40; whole numbers, so that the order of a sum does not change it.
__device__ __forceinline__ unsigned long long mass_of_score(float score) {
  return score > 0.0F && score <= 0x1p20F ? static_cast<unsigned long long>(static_cast<double>(score) * 0x1p40) : 0ULL;
}

template <class Traits>
struct CoverageSmem {
  unsigned long long mass[Traits::bins];
  std::uint32_t count[Traits::bins];
  unsigned long long mass_of_warps[32];
  std::uint32_t count_of_warps[32];
  unsigned long long held;
  std::uint32_t taken, cut;
};

/// Sum over the block, in every thread.
template <class Traits, class X>
__device__ X block_sum(X x, X* of_warps) {
  for (int lanes = 16; lanes > 0; lanes /= 2) x += __shfl_xor_sync(kAllLanes, x, lanes);
  __syncthreads();
  if (lane_id() == 0) of_warps[threadIdx.x / 32U] = x;
  __syncthreads();
  X sum = 0;
  for (int warp = 0; warp < Traits::warps; ++warp) sum += of_warps[warp];
  return sum;
}

/// From the highest bin down: smem.cut becomes the bin in which the mass reaches `wanted`, smem.held and smem.taken
/// what lies above it. Without such a bin cut is `bins`, and taken counts all.
template <class Traits>
__device__ void find_mass_bin(CoverageSmem<Traits>& smem, unsigned long long held, unsigned long long wanted) {
  int const thread = static_cast<int>(threadIdx.x), warp = thread / 32;
  int const top = Traits::bins - 1 - thread * Traits::bins_per_thread;
  unsigned long long mass = 0;
  std::uint32_t count = 0;
#pragma unroll
  for (int i = 0; i < Traits::bins_per_thread; ++i) {
    mass += smem.mass[top - i];
    count += smem.count[top - i];
  }
  unsigned long long mass_before = mass;
  std::uint32_t count_before = count;
  for (int lanes = 1; lanes < 32; lanes *= 2) {
    unsigned long long const m = __shfl_up_sync(kAllLanes, mass_before, lanes);
    std::uint32_t const c = __shfl_up_sync(kAllLanes, count_before, lanes);
    if (lane_id() >= lanes) {
      mass_before += m;
      count_before += c;
    }
  }
  if (lane_id() == 31) {
    smem.mass_of_warps[warp] = mass_before;
    smem.count_of_warps[warp] = count_before;
  }
  if (thread == 0) smem.cut = Traits::bins;
  __syncthreads();
  for (int w = 0; w < warp; ++w) {
    mass_before += smem.mass_of_warps[w];
    count_before += smem.count_of_warps[w];
  }
  if (thread == Traits::threads - 1) smem.taken = count_before;
  mass_before += held - mass;
  count_before -= count;
  __syncthreads();
  if (mass_before < wanted && mass_before + mass >= wanted) {
    bool found = false;
#pragma unroll
    for (int i = 0; i < Traits::bins_per_thread; ++i) {
      unsigned long long const own = smem.mass[top - i];
      if (!found && mass_before + own >= wanted) {
        found = true;
        smem.cut = static_cast<std::uint32_t>(top - i);
        smem.held = mass_before;
        smem.taken = count_before;
      }
      mass_before += own;
      count_before += smem.count[top - i];
    }
  }
  __syncthreads();
}

/// How many units, best first, are taken while what was taken before them holds less than `wanted`. Three passes narrow
/// the score of the last one, some bits of its pattern at a time: patterns of positive floats rank as their values do.
template <class Traits>
__device__ std::int64_t units_below_mass(CoverageSmem<Traits>& smem, float const* scores, std::int32_t candidates,
                                         unsigned long long wanted) {
  if (wanted == 0) return 0;
  int const thread = static_cast<int>(threadIdx.x);
  std::int64_t taken = 0;
  unsigned long long held = 0;
  std::uint32_t prefix = 0;
  int above = 31;
  for (int shift : {20, 9, 0}) {
    for (int bin = thread; bin < Traits::bins; bin += Traits::threads) {
      smem.mass[bin] = 0;
      smem.count[bin] = 0;
    }
    __syncthreads();
    std::uint32_t const digit = (1U << (above - shift)) - 1U;
    for (std::int32_t unit = thread; unit < candidates; unit += Traits::threads) {
      float const score = scores[unit];
      unsigned long long const mass = mass_of_score(score);
      std::uint32_t const bits = __float_as_uint(score);
      if (mass == 0 || bits >> above != prefix) continue;
      std::uint32_t const bin = bits >> shift & digit;
      atomicAdd(&smem.count[bin], 1U);
      atomicAdd(&smem.mass[bin], mass);
    }
    __syncthreads();
    find_mass_bin(smem, held, wanted);
    taken += smem.taken;
    std::uint32_t const cut = smem.cut;
    if (cut == Traits::bins) return taken;  // everything that weighs anything
    held = smem.held;
    if (shift == 0) {
      unsigned long long const each = mass_of_score(__uint_as_float(prefix << above | cut));  // they are all equal
      return taken + static_cast<std::int64_t>((wanted - held + each - 1) / each);
    }
    prefix = prefix << (above - shift) | cut;
    above = shift;
    __syncthreads();
  }
  return taken;
}

struct CoverageParameters {
  float const* scores;
  std::int64_t scores_stride_head, scores_stride_row;
  std::int32_t* counts;
  std::int64_t counts_stride_head, counts_stride_row;
  double share;
  std::int64_t floor_units, most_units;
  CoverageRule rule;
};

/// Grid: (rows, heads). Reads a row four times, out of L2 but for the first.
template <class Traits>
__global__ void __launch_bounds__(Traits::threads, 1024 / Traits::threads)
    coverage_kernel(__grid_constant__ CoverageParameters const p) {
  __shared__ CoverageSmem<Traits> smem;
  float const* const scores = p.scores + blockIdx.y * p.scores_stride_head + blockIdx.x * p.scores_stride_row;
  std::int32_t* const count = p.counts + blockIdx.y * p.counts_stride_head + blockIdx.x * p.counts_stride_row;
  std::int32_t const candidates = *count;
  if (candidates == 0) return;
  unsigned long long mass = 0;
  std::uint32_t highest = 0, lowest = 0, none = 0;  // +inf, -inf, NaN
  for (std::int32_t unit = static_cast<std::int32_t>(threadIdx.x); unit < candidates; unit += Traits::threads) {
    float const score = scores[unit];
    mass += mass_of_score(score);
    highest += score == INFINITY;
    lowest += score == -INFINITY;
    none += score != score;
  }
  mass = block_sum<Traits>(mass, smem.mass_of_warps);
  auto const forced = static_cast<std::int32_t>(block_sum<Traits>(highest, smem.count_of_warps));
  auto const open = candidates - static_cast<std::int32_t>(block_sum<Traits>(lowest, smem.count_of_warps));
  std::int64_t kept = 0;
  auto const share_of_mass = static_cast<unsigned long long>(p.share * static_cast<double>(mass));
  if (p.rule == CoverageRule::after_anchors) {
    double const wanted = static_cast<double>(mass) * 0x1p-40 - (1.0 - p.share);
    kept = forced;
    if (wanted > 0.0)
      kept += units_below_mass(smem, scores, candidates, static_cast<unsigned long long>(ceil(wanted * 0x1p40)));
  } else if (p.rule == CoverageRule::within) {
    kept = open;
    if (p.share < 1.0)
      kept = forced + units_below_mass(smem, scores, candidates, share_of_mass + 1) - (mass > share_of_mass ? 1 : 0);
  } else {
    if (p.rule == CoverageRule::above_cut)
      kept = open - static_cast<std::int32_t>(block_sum<Traits>(none, smem.count_of_warps));
    else
      kept = p.share >= 1.0 ? open : units_below_mass(smem, scores, candidates, share_of_mass + 1);
  }
  bool const bounded = p.rule == CoverageRule::crossing || p.rule == CoverageRule::above_cut;
  kept = max(kept, bounded ? max(p.floor_units, std::int64_t{1}) : std::int64_t{1});
  kept = min(kept, bounded && p.most_units > 0 ? min(p.most_units, std::int64_t{candidates}) : candidates);
  if (threadIdx.x == 0) *count = static_cast<std::int32_t>(kept);
}

}  // namespace lacuna::cuda

namespace lacuna {

inline Status coverage(Cuda exec, CoverageArgs const& args) {
  if (Status s = args.check(); !s) return s;
  if (args.scores.count() == 0) return {};
  cuda::CoverageParameters const p{args.scores.data, args.scores.stride(0), args.scores.stride(1),
                                   args.counts.data, args.counts.stride(0), args.counts.stride(1),
                                   args.share,       args.floor_units,      args.most_units,
                                   args.rule};
  dim3 const grid(static_cast<unsigned>(args.scores.extent(1)), static_cast<unsigned>(args.scores.extent(0)));
  if (args.scores.extent(2) > 16384)
    return cuda::launch(exec, grid, 512, 0, cuda::coverage_kernel<cuda::CoverageTraits<512>>, p);
  return cuda::launch(exec, grid, 256, 0, cuda::coverage_kernel<cuda::CoverageTraits<256>>, p);
}

}  // namespace lacuna
