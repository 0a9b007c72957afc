#pragma once

#include <cstdint>

#include "lacuna/kernels/cuda/each.cuh"
#include "lacuna/kernels/cuda/launch.cuh"
#include "lacuna/kernels/cuda/primitives/warp.cuh"
#include "lacuna/kernels/page_tables.hpp"

// Who gets which page is decided by one block, in the order of sequences and heads, so that the same calls give the
// same tables. A step asks for few pages; a prompt's are written by a warp per head.

namespace lacuna::cuda {

struct TableTraits {
  static constexpr int threads = 512;
};

/// PageTablesView and FreePages as a kernel takes them.
struct DeviceTables {
  std::int32_t* pages;
  std::int64_t stride_sequence, stride_head;
  std::int32_t* lens;
  std::int32_t page_tokens, batch, heads;
  std::int32_t* free_ids;
  std::int32_t* free_count;

  DeviceTables(PageTablesView const& tables, FreePages const& pool)
      : pages(tables.pages.data),
        stride_sequence(tables.pages.stride(0)),
        stride_head(tables.pages.stride(1)),
        lens(tables.lens.data),
        page_tokens(static_cast<std::int32_t>(tables.page_tokens)),
        batch(static_cast<std::int32_t>(tables.batch())),
        heads(static_cast<std::int32_t>(tables.heads_kv())),
        free_ids(pool.ids.data),
        free_count(pool.count) {}

  __device__ std::int32_t pages_of(std::int32_t tokens) const { return (tokens + page_tokens - 1) / page_tokens; }
  __device__ std::int32_t* table(std::int32_t row) const {
    return pages + row / heads * stride_sequence + row % heads * stride_head;
  }
};

struct GrowTables {
  DeviceTables tables;
  std::int32_t new_tokens, capacity_tokens, ring_tokens;
  std::int32_t const* cu_new;
  std::uint8_t const* ring_heads;
  std::int32_t *seen, *before, *refused, *served_lens;

  __device__ std::int32_t news(std::int32_t sequence) const {
    return cu_new != nullptr ? cu_new[sequence + 1] - cu_new[sequence] : new_tokens;
  }
  /// 64 bits, because a caller may ask for anything.
  __device__ std::int64_t grown(std::int32_t row, std::int32_t news) const {
    std::int64_t const all = std::int64_t{tables.lens[row]} + news;
    bool const rings = ring_tokens > 0 && (ring_heads == nullptr || ring_heads[row % tables.heads] != 0);
    return rings && all > ring_tokens ? ring_tokens : all;
  }
  /// Pages that a head wants more.
  __device__ std::int32_t wanted(std::int32_t row, std::int32_t news) const {
    return tables.pages_of(static_cast<std::int32_t>(grown(row, news))) - tables.pages_of(tables.lens[row]);
  }
};

/// grid: 1. Sequences in groups of as many as there are threads.
template <class Traits>
__global__ void __launch_bounds__(Traits::threads) grow_tables_kernel(__grid_constant__ GrowTables const p) {
  constexpr std::int32_t kNever = INT32_MAX;
  __shared__ std::int32_t first[Traits::threads];  // pages that a sequence wants; then where they begin, or -1
  __shared__ std::int32_t left;
  DeviceTables const& tables = p.tables;
  std::int32_t const thread = static_cast<std::int32_t>(threadIdx.x);
  if (thread == 0) left = *tables.free_count;
  for (std::int32_t group = 0; group < tables.batch; group += Traits::threads) {
    std::int32_t const sequence = group + thread, end = min(tables.batch, group + Traits::threads);
    if (sequence < end) {
      std::int32_t const news = p.news(sequence);
      std::int64_t sum = 0;
      bool fits = true;
      for (std::int32_t row = sequence * tables.heads; fits && row < (sequence + 1) * tables.heads; ++row) {
        fits = p.grown(row, news) <= p.capacity_tokens;
        if (fits) sum += p.wanted(row, news);
      }
      first[thread] = fits && sum < kNever ? static_cast<std::int32_t>(sum) : kNever;
    }
    __syncthreads();
    if (thread == 0) {
      std::int32_t remaining = left;
      for (std::int32_t i = 0; i < end - group; ++i) {
        std::int32_t const asked = first[i];
        first[i] = asked <= remaining ? remaining : -1;
        if (asked <= remaining) remaining -= asked;
      }
      left = remaining;
    }
    __syncthreads();
    for (std::int32_t row = group * tables.heads + thread / 32; row < end * tables.heads; row += Traits::threads / 32) {
      std::int32_t const own = row / tables.heads, news = p.news(own);
      if (first[own - group] < 0) continue;
      std::int32_t top = first[own - group] - 1;
      for (std::int32_t other = own * tables.heads; other < row; ++other) top -= p.wanted(other, news);
      std::int32_t* const to = tables.table(row) + tables.pages_of(tables.lens[row]);
      std::int32_t const count = p.wanted(row, news);
      for (std::int32_t i = lane_id(); i < count; i += 32) to[i] = tables.free_ids[top - i];
    }
    __syncthreads();
    for (std::int32_t row = group * tables.heads + thread; row < end * tables.heads; row += Traits::threads) {
      std::int32_t const own = row / tables.heads;
      bool const served = first[own - group] >= 0;
      if (served) tables.lens[row] = static_cast<std::int32_t>(p.grown(row, p.news(own)));
      p.served_lens[row] = served ? tables.lens[row] : 0;
    }
    if (sequence < end) {
      bool const served = first[thread] >= 0;
      p.before[sequence] = served ? p.seen[sequence] : -1;
      if (served) p.seen[sequence] += p.news(sequence);
      if (!served) ++p.refused[sequence];
    }
    __syncthreads();
  }
  if (thread == 0) *tables.free_count = left;
}

struct ShrinkTables {
  DeviceTables tables;
  std::int32_t const* counts;
  std::int64_t counts_stride;
  std::uint8_t const* ended;
  std::int32_t* seen;

  __device__ std::int32_t kept(std::int32_t row) const {
    std::int32_t const held = tables.lens[row];
    if (counts == nullptr) return ended[row / tables.heads] != 0 ? 0 : held;
    std::int32_t const count = counts[row * counts_stride];
    return count < 0 ? held : min(count, held);
  }
  __device__ std::int32_t freed(std::int32_t row) const {
    return tables.pages_of(tables.lens[row]) - tables.pages_of(kept(row));
  }
};

/// grid: 1. Heads in groups of as many as there are threads.
template <class Traits>
__global__ void __launch_bounds__(Traits::threads) shrink_tables_kernel(__grid_constant__ ShrinkTables const p) {
  __shared__ std::int32_t first[Traits::threads], of_warps[32];
  __shared__ std::int32_t free_count;
  DeviceTables const& tables = p.tables;
  std::int32_t const thread = static_cast<std::int32_t>(threadIdx.x), rows = tables.batch * tables.heads;
  if (thread == 0) free_count = *tables.free_count;
  for (std::int32_t group = 0; group < rows; group += Traits::threads) {
    std::int32_t const row = group + thread, end = min(rows, group + Traits::threads);
    std::int32_t const freed = row < end ? p.freed(row) : 0;
    std::int32_t inclusive = freed;
    for (int lanes = 1; lanes < 32; lanes *= 2) {
      std::int32_t const other = __shfl_up_sync(kAllLanes, inclusive, lanes);
      if (lane_id() >= lanes) inclusive += other;
    }
    if (lane_id() == 31) of_warps[thread / 32] = inclusive;
    __syncthreads();
    std::int32_t before = free_count, all = free_count;
#pragma unroll 1  // a predicate for each warp would spill
    for (int warp = 0; warp < Traits::threads / 32; ++warp) {
      if (warp < thread / 32) before += of_warps[warp];
      all += of_warps[warp];
    }
    first[thread] = before + inclusive - freed;
    __syncthreads();
    for (std::int32_t r = group + thread / 32; r < end; r += Traits::threads / 32) {
      std::int32_t const* const from = tables.table(r) + tables.pages_of(p.kept(r));
      std::int32_t const count = p.freed(r);
      for (std::int32_t i = lane_id(); i < count; i += 32) tables.free_ids[first[r - group] + i] = from[i];
    }
    if (thread == 0) free_count = all;
    __syncthreads();
    if (row < end) tables.lens[row] = p.kept(row);
  }
  if (p.seen != nullptr && p.ended != nullptr)
    for (std::int32_t sequence = thread; sequence < tables.batch; sequence += Traits::threads)
      if (p.ended[sequence] != 0) p.seen[sequence] = 0;
  if (thread == 0) *tables.free_count = free_count;
}

struct FillFree {
  std::int32_t *ids, *count;
  std::int32_t pages;

  __device__ void operator()(std::int64_t i) const {
    ids[i] = pages - 1 - static_cast<std::int32_t>(i);  // the lowest is taken first
    if (i == 0) *count = pages;
  }
};

struct Clear {
  std::int32_t* numbers;
  __device__ void operator()(std::int64_t i) const { numbers[i] = 0; }
};

}  // namespace lacuna::cuda

namespace lacuna {

/// Every page of the pool is free.
inline Status free_all_pages(Cuda exec, FreePages const& pool) {
  return cuda::launch_each(exec, pool.ids.extent(0),
                           cuda::FillFree{pool.ids.data, pool.count, static_cast<std::int32_t>(pool.ids.extent(0))});
}

inline Status clear(Cuda exec, TensorView<std::int32_t, 1> numbers) {
  return cuda::launch_each(exec, numbers.extent(0), cuda::Clear{numbers.data});
}

inline Status grow_tables(Cuda exec, GrowTablesArgs const& args) {
  if (Status s = args.check(); !s) return s;
  if (args.tables.lens.count() == 0) return {};
  cuda::GrowTables const p{cuda::DeviceTables(args.tables, args.pool),
                           static_cast<std::int32_t>(args.new_tokens),
                           static_cast<std::int32_t>(args.capacity_tokens),
                           static_cast<std::int32_t>(args.ring_tokens),
                           args.cu_new,
                           args.ring_heads,
                           args.seen,
                           args.before,
                           args.refused,
                           args.served_lens.data};
  return cuda::launch(exec, 1, cuda::TableTraits::threads, 0, cuda::grow_tables_kernel<cuda::TableTraits>, p);
}

inline Status shrink_tables(Cuda exec, ShrinkTablesArgs const& args) {
  if (Status s = args.check(); !s) return s;
  if (args.tables.lens.count() == 0) return {};
  cuda::ShrinkTables const p{cuda::DeviceTables(args.tables, args.pool), args.counts.data, args.counts.stride(0),
                             args.ended, args.seen};
  return cuda::launch(exec, 1, cuda::TableTraits::threads, 0, cuda::shrink_tables_kernel<cuda::TableTraits>, p);
}

}  // namespace lacuna
