#pragma once

#include <cstdint>

#include "lacuna/core/exec.hpp"
#include "lacuna/kernels/bound_scores.hpp"
#include "lacuna/kernels/cuda/launch.cuh"
#include "lacuna/kernels/cuda/primitives/launch_order.cuh"
#include "lacuna/kernels/cuda/primitives/mma.cuh"
#include "lacuna/kernels/cuda/primitives/sequence.cuh"
#include "lacuna/kernels/cuda/primitives/warp.cuh"

// Bounds of logits are products of min(q, 0) with the minima and of max(q, 0) with the maxima: exact in float, so the
// tensor cores do them. The order of the channels is free, and 16 bytes of one page's bounds are B of two products as
// they come: no shared memory, no shuffle.

namespace lacuna {
namespace cuda {

/// Tall: more than 8 query heads share a KV head. Shared: their scores are added up, one row per KV head.
template <class Element, int Dim, bool Tall, bool Shared>
struct BoundScoresTraits {
  using T = Element;
  static constexpr int dim = Dim, threads = 256, warps = threads / 32;
  static constexpr bool tall = Tall, shared = Shared;
  static constexpr int pieces = Dim / 32;          // 16-byte pieces of a query that a lane holds
  static constexpr int tiles = Dim > 128 ? 1 : 2;  // of 8 pages that a warp loads at once
  static constexpr int pages = warps * tiles * 8;  // of a block
};

template <class T>
struct BoundRows {
  DeviceProblem<T> problem;
  T const* bounds;
  std::int64_t stride_sequence, stride_head, stride_page;
  std::int32_t page_tokens;
  float* scores;
  std::int64_t scores_stride;
  float const* k_scales;
};

template <class T>
__device__ __forceinline__ std::uint32_t positive_part(std::uint32_t q);
template <>
__device__ __forceinline__ std::uint32_t positive_part<bfloat16>(std::uint32_t q) {
  std::uint32_t r;
  asm("max.NaN.bf16x2 %0, %1, %2;" : "=r"(r) : "r"(q), "r"(0));
  return r;
}
template <>
__device__ __forceinline__ std::uint32_t positive_part<half>(std::uint32_t q) {
  std::uint32_t r;
  asm("max.NaN.f16x2 %0, %1, %2;" : "=r"(r) : "r"(q), "r"(0));
  return r;
}
template <class T>
__device__ __forceinline__ std::uint32_t negative_part(std::uint32_t q);
template <>
__device__ __forceinline__ std::uint32_t negative_part<bfloat16>(std::uint32_t q) {
  std::uint32_t r;
  asm("min.bf16x2 %0, %1, %2;" : "=r"(r) : "r"(q), "r"(0));
  return r;
}
template <>
__device__ __forceinline__ std::uint32_t negative_part<half>(std::uint32_t q) {
  std::uint32_t r;
  asm("min.f16x2 %0, %1, %2;" : "=r"(r) : "r"(q), "r"(0));
  return r;
}

/// 16 bytes of q wherever they lie.
__device__ __forceinline__ uint4 load_query_piece(std::uint16_t const* from) {
  if (reinterpret_cast<std::uintptr_t>(from) % 16 == 0) return *reinterpret_cast<uint4 const*>(from);
  auto const pair = [&](int i) { return from[i] | std::uint32_t{from[i + 1]} << 16; };
  return {pair(0), pair(2), pair(4), pair(6)};
}

/// grid: (blocks of pages, batch * heads_kv). Reads each page's bounds once (4 * dim bytes), writes its scores.
template <class Traits>
__global__ void __launch_bounds__(Traits::threads, 2) bound_scores_kernel(BoundRows<typename Traits::T> const rows) {
  using T = typename Traits::T;
  launch_after_earlier();
  DeviceProblem<T> const& problem = rows.problem;
  int const row = static_cast<int>(blockIdx.y), sequence = row / problem.heads_kv, head_kv = row % problem.heads_kv;
  int const lane = lane_id(), g = lane / 4, t = lane % 4;
  int const newest = problem.len_k(sequence, head_kv) - 1;
  int const pages = max(newest, 0) / rows.page_tokens;
  int const first = min(max(0, newest - problem.window_tokens + 1) / rows.page_tokens, pages);
  int const page0 = static_cast<int>(blockIdx.x) * Traits::pages + warp_id() * Traits::tiles * 8;
  if (page0 >= pages || problem.len_q(sequence) == 0) return;

  constexpr int kPieces = Traits::pieces;
  uint4 bounds[Traits::tiles][2 * kPieces];
  T const* const from = rows.bounds + sequence * rows.stride_sequence + head_kv * rows.stride_head;
#pragma unroll
  for (int tile = 0; tile < Traits::tiles; ++tile) {
    auto const* const page =
        reinterpret_cast<uint4 const*>(from + min(page0 + 8 * tile + g, pages - 1) * rows.stride_page) + t;
#pragma unroll
    for (int i = 0; i < 2 * kPieces; ++i) bounds[tile][i] = __ldcs(page + 4 * i);
  }

  constexpr int kHalves = Traits::tall ? 2 : 1;
  uint4 q[kHalves][kPieces];
#pragma unroll
  for (int half = 0; half < kHalves; ++half) {
    int const head = g + 8 * half;
    auto const* const query = reinterpret_cast<std::uint16_t const*>(
        problem.query(problem.first_query(sequence), head_kv * problem.group + min(head, problem.group - 1)));
#pragma unroll
    for (int i = 0; i < kPieces; ++i)
      q[half][i] = head < problem.group ? load_query_piece(query + 8 * (t + 4 * i)) : uint4{0, 0, 0, 0};
  }

  float sum[Traits::tiles][4] = {};
#pragma unroll
  for (int i = 0; i < kPieces; ++i) {
#pragma unroll
    for (int side = 0; side < 2; ++side) {
      auto const part = [&](std::uint32_t x) { return side == 0 ? negative_part<T>(x) : positive_part<T>(x); };
      uint4 const low = q[0][i], high = kHalves == 2 ? q[kHalves - 1][i] : uint4{0, 0, 0, 0};
      std::uint32_t const a0[4] = {part(low.x), part(high.x), part(low.y), part(high.y)};
      std::uint32_t const a1[4] = {part(low.z), part(high.z), part(low.w), part(high.w)};
#pragma unroll
      for (int tile = 0; tile < Traits::tiles; ++tile) {
        uint4 const b = bounds[tile][side * kPieces + i];
        mma<T>(sum[tile], a0, b.x, b.y);
        mma<T>(sum[tile], a1, b.z, b.w);
      }
    }
  }

  float const scale = rows.k_scales != nullptr ? rows.k_scales[head_kv] : 1.0F;
#pragma unroll
  for (int tile = 0; tile < Traits::tiles; ++tile) {
    int const page = page0 + 8 * tile + 2 * t;
    auto const write = [&](std::int64_t out_row, float a, float b) {
      float* const to = rows.scores + out_row * rows.scores_stride + page;
      if (page < pages) to[0] = page < first ? -INFINITY : a * scale;
      if (page + 1 < pages) to[1] = page + 1 < first ? -INFINITY : b * scale;
    };
    if constexpr (Traits::shared) {
      float a = sum[tile][0] + (Traits::tall ? sum[tile][2] : 0.0F),
            b = sum[tile][1] + (Traits::tall ? sum[tile][3] : 0.0F);
#pragma unroll
      for (int other = 4; other < 32; other *= 2) {
        a += __shfl_xor_sync(kAllLanes, a, other);
        b += __shfl_xor_sync(kAllLanes, b, other);
      }
      if (g == 0) write(row, a, b);
    } else {
#pragma unroll
      for (int half = 0; half < kHalves; ++half)
        if (g + 8 * half < problem.group)
          write(std::int64_t{row} * problem.group + g + 8 * half, sum[tile][2 * half], sum[tile][2 * half + 1]);
    }
  }
}

template <class T, int Dim, bool Tall, bool Shared>
Status launch_bound_scores(Cuda exec, BoundRows<T> const& rows) {
  using Traits = BoundScoresTraits<T, Dim, Tall, Shared>;
  int const pages = (rows.problem.max_len_k - 1) / rows.page_tokens;
  dim3 const grid(static_cast<unsigned>((pages + Traits::pages - 1) / Traits::pages),
                  static_cast<unsigned>(rows.problem.batch * rows.problem.heads_kv));
  return launch_overlapping(exec, grid, dim3(Traits::threads), 0, bound_scores_kernel<Traits>, rows);
}

template <class T, int Dim>
Status launch_bound_scores(Cuda exec, BoundRows<T> const& rows, bool shared) {
  bool const tall = rows.problem.group > 8;
  if (shared && tall) return launch_bound_scores<T, Dim, true, true>(exec, rows);
  if (shared) return launch_bound_scores<T, Dim, false, true>(exec, rows);
  if (tall) return launch_bound_scores<T, Dim, true, false>(exec, rows);
  return launch_bound_scores<T, Dim, false, false>(exec, rows);
}

}  // namespace cuda

template <class T>
Status bound_scores(Cuda exec, BoundScoresBatchArgs<T> const& args) {
  if (Status s = args.check(); !s) return s;
  BatchProblem<T> const& problem = args.problem;
  if (problem.batch == 0 || problem.tokens_q() == 0 || problem.max_len_k <= args.page_tokens) return {};
  if (problem.group() > 16)
    return Status::invalid("bound_scores: on the device a group has at most 16 heads", problem.group(), 16);
  if (problem.batch * problem.heads_kv() > 65535)
    return Status::invalid("bound_scores: batch * heads_kv must be at most 65535 on the device",
                           problem.batch * problem.heads_kv(), 65535);
  auto const whole = [](std::int64_t stride) { return stride * static_cast<std::int64_t>(sizeof(T)) % 16 == 0; };
  if (reinterpret_cast<std::uintptr_t>(args.bounds.data) % 16 != 0 || !whole(args.bounds.stride(0)) ||
      !whole(args.bounds.stride(1)) || !whole(args.bounds.stride(2)))
    return Status::invalid("bound_scores: on the device bounds of a page must begin at a multiple of 16 bytes");
  cuda::BoundRows<T> const rows{cuda::DeviceProblem<T>(problem),
                                args.bounds.data,
                                args.bounds.stride(0),
                                args.bounds.stride(1),
                                args.bounds.stride(2),
                                static_cast<std::int32_t>(args.page_tokens),
                                args.scores.data,
                                args.scores.stride(0),
                                args.k_scales.data};
  bool const shared = args.heads() == problem.heads_kv();
  switch (problem.dim()) {
    case 64: return cuda::launch_bound_scores<T, 64>(exec, rows, shared);
    case 128: return cuda::launch_bound_scores<T, 128>(exec, rows, shared);
    case 256: return cuda::launch_bound_scores<T, 256>(exec, rows, shared);
    default: return Status::invalid("bound_scores: dim must be 64, 128 or 256 on the device", problem.dim(), 256);
  }
}

}  // namespace lacuna
