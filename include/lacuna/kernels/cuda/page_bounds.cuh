#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "lacuna/core/exec.hpp"
#include "lacuna/kernels/cuda/launch.cuh"
#include "lacuna/kernels/cuda/primitives/fp8.cuh"
#include "lacuna/kernels/cuda/primitives/launch_order.cuh"
#include "lacuna/kernels/cuda/primitives/sequence.cuh"
#include "lacuna/kernels/cuda/primitives/warp.cuh"
#include "lacuna/kernels/page_bounds.hpp"

// Channel bounds of the pages that hold new keys. A page is read whole, so that nothing depends on what its bounds
// were: 16 rows for one new token are nothing beside the launch. New rows come from where the caller has them and are
// stored on the way: append and update are one pass.

namespace lacuna {
namespace cuda {

/// Where new rows come from, and where they go.
template <class Kv>
struct NewRows {
  Kv const* k = nullptr;
  Kv const* v = nullptr;
  std::int64_t k_stride_token = 0, k_stride_head = 0, v_stride_token = 0, v_stride_head = 0;
  std::int32_t const* cu_new = nullptr;
  Kv* to_k = nullptr;
  Kv* to_v = nullptr;
};

template <class T, class Kv>
struct BoundPages {
  DeviceProblem<T> problem;  // where rows lie
  Kv const* k;
  std::int32_t new_tokens, page_tokens, pages;  // pages: the most of a head that new tokens can touch
  T* bounds;                                    // null: none are kept
  std::int64_t stride_sequence, stride_head, stride_page, stride_side;
  bool in_one_cache_page;  // every page of bounds
};

/// The least and the greatest of two channels at once; a NaN once taken stays. Nothing below sm_80, where no kernel
/// runs.
template <class T>
struct ChannelRange {
  std::uint32_t low, high;

  __device__ __forceinline__ void clear() {
    low = std::is_same_v<T, bfloat16> ? 0x7f807f80U : 0x7c007c00U;  // infinities
    high = low | 0x80008000U;
  }
  __device__ __forceinline__ void widen(std::uint32_t both) { widen(both, both); }
  __device__ __forceinline__ void widen(std::uint32_t least, std::uint32_t greatest) {
#if __CUDA_ARCH__ >= 800
    if constexpr (std::is_same_v<T, bfloat16>) {
      asm("min.NaN.bf16x2 %0, %0, %1;" : "+r"(low) : "r"(least));
      asm("max.NaN.bf16x2 %0, %0, %1;" : "+r"(high) : "r"(greatest));
    } else {
      asm("min.NaN.f16x2 %0, %0, %1;" : "+r"(low) : "r"(least));
      asm("max.NaN.f16x2 %0, %0, %1;" : "+r"(high) : "r"(greatest));
    }
#endif
  }
};

/// 4, 8 or 16 bytes of a row.
template <int Words>
struct __align__(4 * Words) RowPiece {
  std::uint32_t words[Words];

  /// Channels 2w and 2w + 1 as T, of e4m3 without their scale.
  template <class T, class Kv>
  __device__ __forceinline__ std::uint32_t pair(int w) const {
    if constexpr (std::is_same_v<Kv, e4m3>)
      return widen_e4m3<T>(words[w / 2], w % 2 == 0 ? kBytes01 : kBytes23);
    else
      return words[w];
  }
};

/// grid: one warp per touched page of each head, its lanes on as many rows at once as fit. Reads the page's keys once,
/// writes two rows of bounds, and copies new rows.
template <class T, class Kv, int Words, bool Append>
__global__ void __launch_bounds__(256) page_bounds_kernel(BoundPages<T, Kv> const args, NewRows<Kv> const fresh) {
  using Piece = RowPiece<Words>;                                     // of bounds
  using Stored = RowPiece<Words* static_cast<int>(sizeof(Kv)) / 2>;  // of keys and values
  constexpr int kPiece = 2 * Words, kAtOnce = 8;                     // elements of a piece, pieces in flight of a lane
  launch_after_earlier();
  DeviceProblem<T> const& problem = args.problem;
  unsigned const warp = blockIdx.x * 8 + static_cast<unsigned>(warp_id());
  unsigned const row = warp / static_cast<unsigned>(args.pages);
  int const slot = static_cast<int>(warp - row * static_cast<unsigned>(args.pages));
  int const sequence = static_cast<int>(row / static_cast<unsigned>(problem.heads_kv));
  int const head = static_cast<int>(row) - sequence * problem.heads_kv;
  if (sequence >= problem.batch) return;
  std::int32_t const first_new = fresh.cu_new != nullptr ? fresh.cu_new[sequence] : sequence * args.new_tokens;
  std::int32_t const news = fresh.cu_new != nullptr ? fresh.cu_new[sequence + 1] - first_new : args.new_tokens;
  std::int32_t const len = problem.len_k(sequence, head), old = max(0, len - news);
  std::int32_t const page = old / args.page_tokens + slot;
  std::int32_t const begin = page * args.page_tokens, end = min(len, begin + args.page_tokens);
  if (begin >= end || old == len) return;

  bool const together = args.in_one_cache_page;  // one look-up for all tokens
  std::int64_t const base = together ? problem.offset(sequence, head, begin) : 0;
  auto const offset = [&](std::int32_t token) {
    return together ? base + (token - begin) * problem.stride_token : problem.offset(sequence, head, token);
  };
  int const pieces = problem.dim / kPiece, lanes = pieces < 32 && 32 % pieces == 0 ? pieces : 32;
  int const rows_at_once = 32 / lanes;
  int const sub_row = lane_id() / lanes;
  std::int32_t const stored_end = !Append ? end : args.bounds == nullptr ? begin : min(end, old);
  for (int piece = lane_id() - sub_row * lanes; piece < pieces; piece += 32) {
    int const x = piece * kPiece;
    ChannelRange<T> range[Words];
#pragma unroll
    for (int w = 0; w < Words; ++w) range[w].clear();
    Stored held[kAtOnce];
    auto const load = [&](std::int32_t first) {
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i)  // past the end the last one again: it changes nothing
        held[i] = *reinterpret_cast<Stored const*>(args.k +
                                                   offset(min(first + i * rows_at_once + sub_row, stored_end - 1)) + x);
    };
    if (begin < stored_end) load(begin);
    if constexpr (Append) {
      for (std::int32_t token = max(begin, old) + sub_row; token < end; token += rows_at_once) {
        std::int64_t const from = first_new + (token - (len - news)), to = offset(token) + x;
        Stored const k =
            *reinterpret_cast<Stored const*>(fresh.k + from * fresh.k_stride_token + head * fresh.k_stride_head + x);
        Stored const v =
            *reinterpret_cast<Stored const*>(fresh.v + from * fresh.v_stride_token + head * fresh.v_stride_head + x);
        *reinterpret_cast<Stored*>(fresh.to_k + to) = k;
        *reinterpret_cast<Stored*>(fresh.to_v + to) = v;
#pragma unroll
        for (int w = 0; w < Words; ++w) range[w].widen(k.template pair<T, Kv>(w));
      }
    }
    for (std::int32_t first = begin; first < stored_end;) {
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i)
#pragma unroll
        for (int w = 0; w < Words; ++w) range[w].widen(held[i].template pair<T, Kv>(w));
      first += kAtOnce * rows_at_once;
      if (first < stored_end) load(first);
    }
    if (args.bounds == nullptr) continue;
    for (int other = lanes; other < 32; other *= 2)
#pragma unroll
      for (int w = 0; w < Words; ++w)
        range[w].widen(__shfl_xor_sync(kAllLanes, range[w].low, other),
                       __shfl_xor_sync(kAllLanes, range[w].high, other));
    if (sub_row != 0) continue;
    T* const to = args.bounds + sequence * args.stride_sequence + head * args.stride_head + page * args.stride_page + x;
    Piece least, greatest;
#pragma unroll
    for (int w = 0; w < Words; ++w) least.words[w] = range[w].low, greatest.words[w] = range[w].high;
    *reinterpret_cast<Piece*>(to) = least;
    *reinterpret_cast<Piece*>(to + args.stride_side) = greatest;
  }
}

template <class T>
BatchProblem<T> keys_alone(PageBoundsBatchArgs<T> const& args) {
  BatchProblem<T> problem;
  problem.q = {nullptr, {0, args.kv.heads_kv, args.kv.dim}, {0, 0, 1}};
  problem.kv = args.kv;
  problem.batch = args.batch;
  problem.max_len_k = args.max_len_k;
  return problem;
}

/// k and v: what args.kv describes, of T or e4m3.
template <class T, class Kv, bool Append>
Status launch_page_bounds(Cuda exec, PageBoundsBatchArgs<T> const& args, Kv const* k, Kv const* v,
                          NewRows<Kv> const& fresh) {
  constexpr bool kFp8 = std::is_same_v<Kv, e4m3>;
  auto const aligned = [&](std::int64_t elements) {
    auto const whole = [&](auto const* p, auto... strides) {
      return reinterpret_cast<std::uintptr_t>(p) % (elements * static_cast<std::int64_t>(sizeof(*p))) == 0 &&
             ((strides % elements == 0) && ...);
    };
    return whole(k, args.kv.stride_token, args.kv.stride_head, args.kv.stride_page) && whole(v) &&
           whole(args.bounds.data, args.bounds.stride(0), args.bounds.stride(1), args.bounds.stride(2),
                 args.bounds.stride(3)) &&
           whole(fresh.k, fresh.k_stride_token, fresh.k_stride_head) &&
           whole(fresh.v, fresh.v_stride_token, fresh.v_stride_head);
  };
  bool const wide = aligned(8) && args.kv.dim % 8 == 0 && 256 % args.kv.dim == 0;
  if (!wide && kFp8)
    return Status::invalid(
        "page_bounds: rows of eight bits must begin at multiples of 8 and have 8, 16, ... 256 channels", args.kv.dim,
        256);
  if (!aligned(2)) return Status::invalid("page_bounds: on the device every row must begin at a multiple of 4 bytes");
  // Without bounds a page is only a share of the work.
  std::int64_t const page_tokens = args.bounds.data != nullptr ? args.page_tokens : 16;
  std::int64_t const new_tokens = std::min(args.new_tokens, args.max_len_k);
  if (args.batch == 0 || new_tokens == 0) return {};
  std::int64_t const pages =
      std::min((new_tokens + page_tokens - 2) / page_tokens + 1, (args.max_len_k + page_tokens - 1) / page_tokens);
  BoundPages<T, Kv> const bounds{DeviceProblem<T>(keys_alone(args)),
                                 k,
                                 static_cast<std::int32_t>(new_tokens),
                                 static_cast<std::int32_t>(page_tokens),
                                 static_cast<std::int32_t>(pages),
                                 args.bounds.data,
                                 args.bounds.stride(0),
                                 args.bounds.stride(1),
                                 args.bounds.stride(2),
                                 args.bounds.stride(3),
                                 args.kv.page_table.data == nullptr || args.kv.page_tokens % page_tokens == 0};
  std::int64_t const warps = args.batch * args.kv.heads_kv * pages;
  if (warps > INT32_MAX)
    return Status::invalid("page_bounds: too many pages for one launch on the device", warps, INT32_MAX);
  dim3 const grid(static_cast<unsigned>((warps + 7) / 8));
  if constexpr (!kFp8)
    if (!wide) return launch_overlapping(exec, grid, dim3(256), 0, page_bounds_kernel<T, Kv, 1, Append>, bounds, fresh);
  return launch_overlapping(exec, grid, dim3(256), 0, page_bounds_kernel<T, Kv, 4, Append>, bounds, fresh);
}

/// The same tensors as new rows of a launch.
template <class Kv, class Args>
NewRows<Kv> new_rows(Args const& args) {
  return {args.new_k.data,
          args.new_v.data,
          args.new_k.stride(0),
          args.new_k.stride(1),
          args.new_v.stride(0),
          args.new_v.stride(1),
          args.cu_new,
          args.k,
          args.v};
}

}  // namespace cuda

template <class T>
Status page_bounds(Cuda exec, PageBoundsBatchArgs<T> const& args) {
  if (Status s = args.check(); !s) return s;
  return cuda::launch_page_bounds<T, T, false>(exec, args, args.kv.k, args.kv.v, {});
}

template <class T>
Status page_bounds(Cuda exec, Fp8PageBoundsBatchArgs<T> const& args) {
  if (Status s = args.pages.check(); !s) return s;
  return cuda::launch_page_bounds<T, e4m3, false>(exec, args.pages, args.k, args.k, {});
}

template <class T>
Status append_kv(Cuda exec, AppendKvBatchArgs<T> const& args) {
  if (Status s = args.check(); !s) return s;
  return cuda::launch_page_bounds<T, T, true>(exec, args.cache, args.cache.kv.k, args.cache.kv.v,
                                              cuda::new_rows<T>(args));
}

template <class T>
Status append_kv(Cuda exec, AppendFp8KvBatchArgs<T> const& args) {
  if (Status s = args.check(); !s) return s;
  return cuda::launch_page_bounds<T, e4m3, true>(exec, args.cache, args.k, args.v, cuda::new_rows<e4m3>(args));
}

}  // namespace lacuna
