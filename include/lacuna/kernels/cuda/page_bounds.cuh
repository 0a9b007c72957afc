#pragma once

#include <algorithm>
#include <cstdint>

#include "lacuna/core/exec.hpp"
#include "lacuna/kernels/cuda/launch.cuh"
#include "lacuna/kernels/cuda/primitives/sequence.cuh"
#include "lacuna/kernels/cuda/primitives/warp.cuh"
#include "lacuna/kernels/page_bounds.hpp"

// Channel bounds of the pages that hold new keys. A page is read whole, so that nothing depends on what its bounds
// were: 16 rows for one new token are nothing beside the launch. New rows come from where the caller has them and are
// stored on the way: append and update are one pass.

namespace lacuna {
namespace cuda {

/// Where new rows come from, and where they go.
template <class T>
struct NewRows {
  T const* k = nullptr;
  T const* v = nullptr;
  std::int64_t k_stride_token = 0, k_stride_head = 0, v_stride_token = 0, v_stride_head = 0;
  std::int32_t const* cu_new = nullptr;
  T* to_k = nullptr;
  T* to_v = nullptr;
};

template <class T>
struct BoundPages {
  DeviceProblem<T> problem;                     // of its keys
  std::int32_t new_tokens, page_tokens, pages;  // pages: the most of a head that new tokens can touch
  T* bounds;                                    // null: none are kept
  std::int64_t stride_sequence, stride_head, stride_page, stride_side;
};

/// grid: one warp per touched page of each head. Reads its keys once, writes two rows of bounds, and copies new rows.
template <class T, bool Append>
__global__ void __launch_bounds__(256) page_bounds_kernel(BoundPages<T> const args, NewRows<T> const fresh) {
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

  for (int x = 2 * lane_id(); x < problem.dim; x += 64) {
    float2 low{0.0F, 0.0F}, high{0.0F, 0.0F};
    auto const widen = [&](std::int32_t token, std::uint32_t both) {
      float2 const key = unpack2<T>(both);
      bool const first = token == begin;  // a NaN once taken stays: no comparison with it holds
      low.x = (first | (key.x != key.x) | (key.x < low.x)) ? key.x : low.x;
      low.y = (first | (key.y != key.y) | (key.y < low.y)) ? key.y : low.y;
      high.x = (first | (key.x != key.x) | (key.x > high.x)) ? key.x : high.x;
      high.y = (first | (key.y != key.y) | (key.y > high.y)) ? key.y : high.y;
    };
    auto const pair = [](T const* from) { return *reinterpret_cast<std::uint32_t const*>(from); };
    std::int32_t const stored_end = !Append ? end : args.bounds == nullptr ? begin : min(end, old);
#pragma unroll 4
    for (std::int32_t token = begin; token < stored_end; ++token)
      widen(token, pair(problem.k + problem.offset(sequence, head, token) + x));
    if constexpr (Append) {
      for (std::int32_t token = max(begin, old); token < end; ++token) {
        std::int64_t const from = first_new + (token - (len - news)), to = problem.offset(sequence, head, token) + x;
        std::uint32_t const key = pair(fresh.k + from * fresh.k_stride_token + head * fresh.k_stride_head + x);
        *reinterpret_cast<std::uint32_t*>(fresh.to_k + to) = key;
        *reinterpret_cast<std::uint32_t*>(fresh.to_v + to) =
            pair(fresh.v + from * fresh.v_stride_token + head * fresh.v_stride_head + x);
        widen(token, key);
      }
    }
    if (args.bounds != nullptr) {
      T* const to =
          args.bounds + sequence * args.stride_sequence + head * args.stride_head + page * args.stride_page + x;
      *reinterpret_cast<std::uint32_t*>(to) = pack2<T>(low.x, low.y);
      *reinterpret_cast<std::uint32_t*>(to + args.stride_side) = pack2<T>(high.x, high.y);
    }
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

template <class T, bool Append>
Status launch_page_bounds(Cuda exec, PageBoundsBatchArgs<T> const& args, NewRows<T> const& fresh) {
  auto const pairs_aligned = [](auto const* p, std::int64_t stride) {
    return reinterpret_cast<std::uintptr_t>(p) % 4 == 0 && stride % 2 == 0;
  };
  if (!pairs_aligned(args.kv.k, args.kv.stride_token) || !pairs_aligned(args.kv.v, args.kv.stride_head) ||
      !pairs_aligned(args.bounds.data, args.kv.stride_page) || !pairs_aligned(fresh.k, fresh.k_stride_token) ||
      !pairs_aligned(fresh.v, fresh.v_stride_token))
    return Status::invalid("page_bounds: on the device every row must begin at a multiple of 4 bytes");
  // Without bounds a page is only a share of the work.
  std::int64_t const page_tokens = args.bounds.data != nullptr ? args.page_tokens : 16;
  std::int64_t const new_tokens = std::min(args.new_tokens, args.max_len_k);
  if (args.batch == 0 || new_tokens == 0) return {};
  std::int64_t const pages =
      std::min((new_tokens + page_tokens - 2) / page_tokens + 1, (args.max_len_k + page_tokens - 1) / page_tokens);
  BoundPages<T> const bounds{DeviceProblem<T>(keys_alone(args)),
                             static_cast<std::int32_t>(new_tokens),
                             static_cast<std::int32_t>(page_tokens),
                             static_cast<std::int32_t>(pages),
                             args.bounds.data,
                             args.bounds.stride(0),
                             args.bounds.stride(1),
                             args.bounds.stride(2),
                             args.bounds.stride(3)};
  std::int64_t const warps = args.batch * args.kv.heads_kv * pages;
  if (warps > INT32_MAX)
    return Status::invalid("page_bounds: too many pages for one launch on the device", warps, INT32_MAX);
  return launch(exec, dim3(static_cast<unsigned>((warps + 7) / 8)), dim3(256), 0, page_bounds_kernel<T, Append>, bounds,
                fresh);
}

}  // namespace cuda

template <class T>
Status page_bounds(Cuda exec, PageBoundsBatchArgs<T> const& args) {
  if (Status s = args.check(); !s) return s;
  return cuda::launch_page_bounds<T, false>(exec, args, {});
}

template <class T>
Status append_kv(Cuda exec, AppendKvBatchArgs<T> const& args) {
  if (Status s = args.check(); !s) return s;
  cuda::NewRows<T> const fresh{args.new_k.data,
                               args.new_v.data,
                               args.new_k.stride(0),
                               args.new_k.stride(1),
                               args.new_v.stride(0),
                               args.new_v.stride(1),
                               args.cu_new,
                               args.k,
                               args.v};
  return cuda::launch_page_bounds<T, true>(exec, args.cache, fresh);
}

}  // namespace lacuna
