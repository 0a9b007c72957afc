#pragma once

#include <algorithm>
#include <cstdint>

#include "lacuna/core/exec.hpp"
#include "lacuna/kernels/cuda/launch.cuh"
#include "lacuna/kernels/cuda/primitives/sequence.cuh"
#include "lacuna/kernels/gather_kv.hpp"

// Compaction moves 4 dim bytes in and out per kept token. Elsewhere every row may move at once; in place one block per
// head moves from the front, reading a stretch of rows before it writes them: ids ascend, so that a row never lands on
// one that has still to move.

namespace lacuna {
namespace cuda {

template <class T>
struct GatherRows {
  DeviceProblem<T> from, to;
  T* to_k;
  T* to_v;
  std::int32_t const* tokens;
  std::int64_t tokens_stride;
  std::int32_t const* counts;
  std::int64_t counts_stride;
  std::int32_t capacity;
  std::int32_t* lens;
  std::int64_t lens_stride_sequence, lens_stride_head;
  std::int32_t* freed;
  std::int64_t freed_stride_sequence, freed_stride_head;

  /// Called by one thread per head once nobody reads the old length any more.
  __device__ void finish(int sequence, int head, std::int32_t count) const {
    if (freed != nullptr) {
      std::int32_t const pages = (from.len_k(sequence, head) + from.page_tokens - 1) / from.page_tokens;
      std::int32_t const kept = (count + from.page_tokens - 1) / from.page_tokens;
      freed[sequence * freed_stride_sequence + head * freed_stride_head] = max(0, pages - kept);
    }
    if (lens != nullptr) lens[sequence * lens_stride_sequence + head * lens_stride_head] = count;
  }
};

struct GatherKvTraits {
  static constexpr int threads = 256, tokens = 64;                    // of a block, when rows go elsewhere
  static constexpr int threads_in_place = 1024, pieces_in_place = 4;  // 16 bytes each that a thread holds at once
};

/// grid: (blocks of 64 tokens, batch * heads_kv).
template <class T>
__global__ void __launch_bounds__(GatherKvTraits::threads) gather_kv_kernel(GatherRows<T> const rows) {
  int const row = static_cast<int>(blockIdx.y), sequence = row / rows.from.heads_kv, head = row % rows.from.heads_kv;
  std::int32_t const count = min(max(rows.counts[row * rows.counts_stride], 0), rows.capacity);
  std::int32_t const begin = static_cast<std::int32_t>(blockIdx.x) * GatherKvTraits::tokens;
  std::int32_t const end = min(count, begin + GatherKvTraits::tokens);
  std::int32_t const* const tokens = rows.tokens + row * rows.tokens_stride;
  int const pieces = rows.from.dim / 8;
#pragma unroll 2
  for (int i = static_cast<int>(threadIdx.x); i < (end - begin) * pieces; i += GatherKvTraits::threads) {
    std::int32_t const kept = begin + i / pieces;
    std::int64_t const from = rows.from.offset(sequence, head, tokens[kept]) + i % pieces * 8;
    std::int64_t const to = rows.to.offset(sequence, head, kept) + i % pieces * 8;
    uint4 const k = __ldcs(reinterpret_cast<uint4 const*>(rows.from.k + from));
    uint4 const v = __ldcs(reinterpret_cast<uint4 const*>(rows.from.v + from));
    *reinterpret_cast<uint4*>(rows.to_k + to) = k;
    *reinterpret_cast<uint4*>(rows.to_v + to) = v;
  }
  if (blockIdx.x == 0 && threadIdx.x == 0) rows.finish(sequence, head, count);
}

/// grid: batch * heads_kv; a block moves one head.
template <class T>
__global__ void __launch_bounds__(GatherKvTraits::threads_in_place)
    gather_kv_in_place_kernel(GatherRows<T> const rows) {
  constexpr int kThreads = GatherKvTraits::threads_in_place, kPieces = GatherKvTraits::pieces_in_place;
  int const row = static_cast<int>(blockIdx.x), sequence = row / rows.from.heads_kv, head = row % rows.from.heads_kv;
  std::int32_t const count = min(max(rows.counts[row * rows.counts_stride], 0), rows.capacity);
  std::int32_t const* const tokens = rows.tokens + row * rows.tokens_stride;
  int const pieces = rows.from.dim / 8;
  std::int64_t const all = std::int64_t{count} * pieces;
  for (std::int64_t begin = 0; begin < all; begin += kThreads * kPieces) {
    uint4 k[kPieces], v[kPieces];
#pragma unroll
    for (int i = 0; i < kPieces; ++i) {
      std::int64_t const at = begin + i * kThreads + threadIdx.x;
      if (at >= all) continue;
      std::int64_t const from = rows.from.offset(sequence, head, tokens[at / pieces]) + at % pieces * 8;
      k[i] = *reinterpret_cast<uint4 const*>(rows.from.k + from);
      v[i] = *reinterpret_cast<uint4 const*>(rows.from.v + from);
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < kPieces; ++i) {
      std::int64_t const at = begin + i * kThreads + threadIdx.x;
      if (at >= all) continue;
      std::int64_t const to = rows.to.offset(sequence, head, static_cast<std::int32_t>(at / pieces)) + at % pieces * 8;
      *reinterpret_cast<uint4*>(rows.to_k + to) = k[i];
      *reinterpret_cast<uint4*>(rows.to_v + to) = v[i];
    }
    __syncthreads();
  }
  if (threadIdx.x == 0) rows.finish(sequence, head, count);
}

template <class T>
DeviceProblem<T> rows_alone(BatchKv<T> const& kv, std::int64_t batch) {
  BatchProblem<T> problem;
  problem.q = {nullptr, {0, kv.heads_kv, kv.dim}, {0, 0, 1}};
  problem.kv = kv;
  problem.batch = batch;
  return DeviceProblem<T>(problem);
}

}  // namespace cuda

template <class T>
Status gather_kv(Cuda exec, GatherKvBatchArgs<T> const& args) {
  if (Status s = args.check(); !s) return s;
  auto const whole = [](BatchKv<T> const& kv) {
    auto const aligned = [](std::int64_t stride) { return stride * static_cast<std::int64_t>(sizeof(T)) % 16 == 0; };
    return reinterpret_cast<std::uintptr_t>(kv.k) % 16 == 0 && reinterpret_cast<std::uintptr_t>(kv.v) % 16 == 0 &&
           aligned(kv.stride_token) && aligned(kv.stride_head) && aligned(kv.stride_page) && aligned(kv.dim);
  };
  if (!whole(args.from) || !whole(args.to))
    return Status::invalid("gather_kv: on the device every row must begin and end at a multiple of 16 bytes");
  std::int64_t const rows_count = args.batch * args.from.heads_kv, capacity = args.index.tokens.extent(1);
  if (rows_count == 0) return {};
  if (rows_count > 65535)
    return Status::invalid("gather_kv: batch * heads_kv must be at most 65535 on the device", rows_count, 65535);
  cuda::GatherRows<T> const rows{cuda::rows_alone(args.from, args.batch),
                                 cuda::rows_alone(args.to, args.batch),
                                 args.to_k,
                                 args.to_v,
                                 args.index.tokens.data,
                                 args.index.tokens.stride(0),
                                 args.index.counts.data,
                                 args.index.counts.stride(0),
                                 static_cast<std::int32_t>(capacity),
                                 args.lens.data,
                                 args.lens.stride(0),
                                 args.lens.stride(1),
                                 args.freed_pages.data,
                                 args.freed_pages.stride(0),
                                 args.freed_pages.stride(1)};
  using Traits = cuda::GatherKvTraits;
  if (args.in_place())
    return cuda::launch(exec, dim3(static_cast<unsigned>(rows_count)), dim3(Traits::threads_in_place), 0,
                        cuda::gather_kv_in_place_kernel<T>, rows);
  dim3 const grid(static_cast<unsigned>(std::max<std::int64_t>(1, (capacity + Traits::tokens - 1) / Traits::tokens)),
                  static_cast<unsigned>(rows_count));
  return cuda::launch(exec, grid, dim3(Traits::threads), 0, cuda::gather_kv_kernel<T>, rows);
}

}  // namespace lacuna
