#pragma once

#include <cstdint>

#include "lacuna/kernels/append_ring.hpp"
#include "lacuna/kernels/cuda/each.cuh"
#include "lacuna/kernels/cuda/primitives/sequence.cuh"

namespace lacuna::cuda {

/// A thread per channel of a new token and head: neighbours in a row are neighbours in memory.
template <class T>
struct AppendRing {
  DeviceProblem<T> to;
  T* k;
  T* v;
  Entries<T const, 3> new_k, new_v;
  std::int32_t const *cu_new, *before;
  std::uint8_t const* ring_heads;
  std::int64_t most;
  std::int32_t new_tokens, sink_tokens, ring_tokens;

  __device__ void operator()(std::int64_t item) const {
    std::int64_t const x = item % to.dim, i = item / to.dim % most, row = item / to.dim / most;
    auto const b = static_cast<std::int32_t>(row / to.heads_kv), head = static_cast<std::int32_t>(row % to.heads_kv);
    std::int32_t const first = cu_new != nullptr ? cu_new[b] : b * new_tokens;
    std::int32_t const news = cu_new != nullptr ? cu_new[b + 1] - first : new_tokens, len = to.len_k(b, head);
    if (i >= news || len == 0) return;
    bool const rings = ring_heads == nullptr || ring_heads[head] != 0;
    std::int32_t const position = before[b] + static_cast<std::int32_t>(i), recent = ring_tokens - sink_tokens;
    std::int32_t place = position;
    if (!rings) {
      place = len - news + static_cast<std::int32_t>(i);
    } else if (position >= sink_tokens) {
      if (i + recent < news) return;  // a later one of these tokens takes the place
      place = sink_tokens + (position - sink_tokens) % recent;
    }
    std::int64_t const at = to.offset(b, head, place) + x;
    k[at] = new_k(first + i, head, x);
    v[at] = new_v(first + i, head, x);
  }
};

}  // namespace lacuna::cuda

namespace lacuna {

template <class T>
Status append_ring(Cuda exec, AppendRingArgs<T> const& args) {
  if (Status s = args.check(); !s) return s;
  BatchProblem<T> problem;
  problem.q = {nullptr, {0, args.kv.heads_kv, args.kv.dim}, {0, 0, 1}};
  problem.kv = args.kv;
  problem.batch = args.batch;
  return cuda::launch_each(
      exec, args.batch * args.kv.heads_kv * args.new_tokens * args.kv.dim,
      cuda::AppendRing<T>{cuda::DeviceProblem<T>(problem), args.k, args.v, cuda::Entries<T const, 3>(args.new_k),
                          cuda::Entries<T const, 3>(args.new_v), args.cu_new, args.before, args.ring_heads,
                          args.new_tokens, static_cast<std::int32_t>(args.new_tokens),
                          static_cast<std::int32_t>(args.sink_tokens), static_cast<std::int32_t>(args.ring_tokens)});
}

}  // namespace lacuna
