#pragma once

#include <cstdint>

#include "lacuna/kernels/cuda/block_rows.cuh"
#include "lacuna/kernels/cuda/launch.cuh"
#include "lacuna/kernels/cuda/primitives/sequence.cuh"
#include "lacuna/kernels/cuda/primitives/warp.cuh"
#include "lacuna/kernels/page_mass.hpp"

// Two launches: the highest logit of each page and the weights relative to it, per query head; then each row's pages
// against each other. Candidates are few beside the keys, so the products take plain multiply-adds.

namespace lacuna::cuda {

struct PageMassTraits {
  static constexpr int threads = 256, warps = threads / 32;
  static constexpr int tokens = 16;  // that a warp weighs at once, two lanes each
  static constexpr int heads = 4;    // of queries, for which keys are read once
};

template <class T>
struct PageMass {
  DeviceProblem<T> problem;
  std::int32_t const* pages;
  std::int64_t pages_stride;
  std::int32_t const* counts;
  std::int64_t counts_stride;
  float* mass;
  std::int64_t mass_stride;
  float2* parts;  // [batch * heads_q, capacity]: highest logit of a page, and the sum of its weights
  std::int32_t page_tokens, capacity, units, heads, heads_per_row;

  __device__ std::int32_t count(std::int64_t row) const { return min(max(counts[row * counts_stride], 0), capacity); }
};

/// The highest logit and the sum of weights over the lanes of a page. Lanes without a logit have -inf and 0; a NaN sum
/// makes the page's NaN.
template <class Traits>
__device__ __forceinline__ float2 join_lanes(float2 own) {
#pragma unroll
  for (int lanes = 1; lanes < Traits::tokens; lanes *= 2) {
    float2 const other{__shfl_xor_sync(kAllLanes, own.x, lanes), __shfl_xor_sync(kAllLanes, own.y, lanes)};
    float const top = fmaxf(own.x, other.x);
    own.y =
        (own.x == top ? own.y : own.y * expf(own.x - top)) + (other.x == top ? other.y : other.y * expf(other.x - top));
    own.x = top;
  }
  return own;
}

/// grid: (pages in eights, batch * heads). A warp owns a page of a row and reads its keys once per four heads.
template <class Traits, class T>
__global__ void __launch_bounds__(Traits::threads) page_parts_kernel(__grid_constant__ PageMass<T> const p) {
  extern __shared__ __align__(16) float page_queries[];  // [heads per row, dim]
  DeviceProblem<T> const& problem = p.problem;
  std::int32_t const row = static_cast<std::int32_t>(blockIdx.y), sequence = row / p.heads;
  std::int32_t const first_head = row % p.heads * p.heads_per_row, head_kv = first_head / problem.group;
  std::int32_t const item = static_cast<std::int32_t>(blockIdx.x) * Traits::warps + warp_id();
  if (problem.len_q(sequence) == 0) return;
  for (int i = static_cast<int>(threadIdx.x); i < p.heads_per_row * problem.dim; i += Traits::threads)
    page_queries[i] =
        load_float(problem.query(problem.first_query(sequence), first_head + i / problem.dim) + i % problem.dim);
  __syncthreads();
  if (item >= p.count(row)) return;
  std::int32_t const newest = problem.len_k(sequence, head_kv) - 1;
  std::int32_t const oldest = newest < problem.window_tokens ? 0 : newest + 1 - problem.window_tokens;
  std::int32_t const begin = p.pages[row * p.pages_stride + item] * p.page_tokens, end = begin + p.page_tokens;
  int const half = lane_id() / Traits::tokens, channels = problem.dim / 2;
  for (int head = 0; head < p.heads_per_row; head += Traits::heads) {
    float highest[Traits::heads], sum[Traits::heads];
#pragma unroll
    for (int h = 0; h < Traits::heads; ++h) highest[h] = -INFINITY, sum[h] = 0.0F;
    for (std::int32_t first = max(begin, oldest); first < end; first += Traits::tokens) {
      std::int32_t const token = first + lane_id() % Traits::tokens;
      float logits[Traits::heads] = {};
      // The last token again where there is none: every lane multiplies something.
      auto const* const key = reinterpret_cast<uint4 const*>(
          problem.k + problem.offset(sequence, head_kv, min(token, end - 1)) + half * channels);
#pragma unroll 4
      for (int piece = 0; piece < channels / 8; ++piece) {
        uint4 const eight = key[piece];
        float2 const pairs[] = {unpack2<T>(eight.x), unpack2<T>(eight.y), unpack2<T>(eight.z), unpack2<T>(eight.w)};
#pragma unroll
        for (int h = 0; h < Traits::heads; ++h) {
          auto const* const query = reinterpret_cast<float4 const*>(
              page_queries + min(head + h, p.heads_per_row - 1) * problem.dim + half * channels + 8 * piece);
          float4 const low = query[0], high = query[1];
          logits[h] += low.x * pairs[0].x + low.y * pairs[0].y + low.z * pairs[1].x + low.w * pairs[1].y +
                       high.x * pairs[2].x + high.y * pairs[2].y + high.z * pairs[3].x + high.w * pairs[3].y;
        }
      }
#pragma unroll
      for (int h = 0; h < Traits::heads; ++h) {
        float logit = logits[h] + __shfl_xor_sync(kAllLanes, logits[h], Traits::tokens);
        logit *= problem.scale;
        if (problem.soft_cap > 0.0F) logit = problem.soft_cap * tanhf(logit / problem.soft_cap);
        if (token >= end || half > 0 || logit == -INFINITY) continue;
        if (logit > highest[h]) {
          sum[h] *= expf(highest[h] - logit);
          highest[h] = logit;
        }
        sum[h] += expf(logit - highest[h]);
      }
    }
#pragma unroll
    for (int h = 0; h < Traits::heads; ++h) {
      if (head + h >= p.heads_per_row) continue;
      std::int64_t const query_head = std::int64_t{sequence} * problem.heads_q + first_head + head + h;
      float2 const whole = join_lanes<Traits>({highest[h], sum[h]});
      if (lane_id() == 0) p.parts[query_head * p.capacity + item] = whole;
    }
  }
}

/// Over the block, in every thread.
template <class Traits, class F>
__device__ float join_threads(float x, F const& join) {
  __shared__ float of_warps[Traits::warps];
  for (int lanes = 16; lanes > 0; lanes /= 2) x = join(x, __shfl_xor_sync(kAllLanes, x, lanes));
  __syncthreads();
  if (lane_id() == 0) of_warps[threadIdx.x / 32U] = x;
  __syncthreads();
  x = of_warps[0];
  for (int warp = 1; warp < Traits::warps; ++warp) x = join(x, of_warps[warp]);
  return x;
}

/// grid: batch * heads. A thread owns every 256th page of its row.
template <class Traits, class T>
__global__ void __launch_bounds__(Traits::threads) page_shares_kernel(__grid_constant__ PageMass<T> const p) {
  std::int32_t const row = static_cast<std::int32_t>(blockIdx.x), sequence = row / p.heads;
  if (p.problem.len_q(sequence) == 0) return;
  std::int32_t const thread = static_cast<std::int32_t>(threadIdx.x), count = p.count(row);
  float* const mass = p.mass + row * p.mass_stride;
  std::int32_t const* const pages = p.pages + row * p.pages_stride;
  for (std::int32_t unit = thread; unit < p.units; unit += Traits::threads) mass[unit] = -INFINITY;
  __syncthreads();
  for (std::int32_t i = thread; i < count; i += Traits::threads) mass[pages[i]] = 0.0F;
  for (int head = 0; head < p.heads_per_row; ++head) {
    std::int64_t const query_head = std::int64_t{row} * p.heads_per_row + head;
    float2 const* const parts = p.parts + query_head * p.capacity;
    float top = -INFINITY, total = 0.0F;
    for (std::int32_t i = thread; i < count; i += Traits::threads)
      if (parts[i].y == parts[i].y) top = fmaxf(top, parts[i].x);
    top = join_threads<Traits>(top, [](float a, float b) { return fmaxf(a, b); });
    if (top == -INFINITY) continue;
    for (std::int32_t i = thread; i < count; i += Traits::threads)
      if (parts[i].y == parts[i].y) total += parts[i].y * expf(parts[i].x - top);
    total = join_threads<Traits>(total, [](float a, float b) { return a + b; });
    float const share = 1.0F / (total * static_cast<float>(p.heads_per_row));
    for (std::int32_t i = thread; i < count; i += Traits::threads)
      mass[pages[i]] += parts[i].y * expf(parts[i].x - top) * share;
  }
}

}  // namespace lacuna::cuda

namespace lacuna {

/// For rows with `capacity` pages.
inline float2* reserve_page_mass(Cuda, BatchShape const& shape, std::int64_t capacity, Workspace& memory) {
  return memory.take<float2>(shape.batch * shape.each.heads_q * capacity);
}

template <class T>
Status page_mass(Cuda exec, PageMassBatchArgs<T> const& args) {
  if (Status s = args.check(); !s) return s;
  BatchProblem<T> const& problem = args.problem;
  std::int64_t const rows = args.mass.extent(0), capacity = args.pages.extent(1);
  Workspace memory = args.scratch;
  float2* const parts = reserve_page_mass(exec, shape_of(problem), capacity, memory);
  if (Status s = memory.check("page_mass: the workspace is smaller than planned"); !s) return s;
  if (rows == 0) return {};
  if (problem.dim() % 16 != 0)
    return Status::invalid("page_mass: dim must be a multiple of 16 on the device", problem.dim(), 16);
  if (Status s = cuda::check_aligned(problem, "page_mass: rows must begin at multiples of 16 bytes on the device"); !s)
    return s;
  if (rows > 65535) return Status::invalid("page_mass: at most 65535 rows on the device", rows, 65535);
  std::int64_t const heads = rows / problem.batch, heads_per_row = problem.heads_q() / heads;
  cuda::PageMass<T> const p{cuda::DeviceProblem<T>(problem),
                            args.pages.data,
                            args.pages.stride(0),
                            args.counts.data,
                            args.counts.stride(0),
                            args.mass.data,
                            args.mass.stride(0),
                            parts,
                            static_cast<std::int32_t>(args.page_tokens),
                            static_cast<std::int32_t>(capacity),
                            static_cast<std::int32_t>(args.mass.extent(1)),
                            static_cast<std::int32_t>(heads),
                            static_cast<std::int32_t>(heads_per_row)};
  using Traits = cuda::PageMassTraits;
  if (capacity > 0) {
    dim3 const grid(static_cast<unsigned>((capacity + Traits::warps - 1) / Traits::warps), static_cast<unsigned>(rows));
    Status const s = cuda::launch(exec, grid, Traits::threads, heads_per_row * problem.dim() * 4,
                                  cuda::page_parts_kernel<Traits, T>, p);
    if (!s) return s;
  }
  return cuda::launch(exec, static_cast<unsigned>(rows), Traits::threads, 0, cuda::page_shares_kernel<Traits, T>, p);
}

}  // namespace lacuna
