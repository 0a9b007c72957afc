#pragma once

#include <cstdint>

#include "lacuna/kernels/cuda/each.cuh"
#include "lacuna/kernels/cuda/launch.cuh"
#include "lacuna/kernels/token_numbers.hpp"

namespace lacuna::cuda {

struct BeginNumbers {
  Entries<float, 3> mass;
  Entries<std::int32_t, 3> positions;
  Entries<std::int32_t const, 2> lens;
  std::int32_t const *before, *cu_new;
  std::int64_t heads, most;
  std::int32_t new_tokens;

  __device__ void operator()(std::int64_t item) const {
    std::int64_t const b = item / most / heads, head = item / most % heads, i = item % most;
    std::int32_t const news = cu_new != nullptr ? cu_new[b + 1] - cu_new[b] : new_tokens;
    std::int64_t const token = lens(b, head) - news + i;
    if (i >= news || token < 0 || lens(b, head) == 0) return;
    mass(b, head, token) = 0.0F;
    positions(b, head, token) = before[b] + static_cast<std::int32_t>(i);
  }
};

struct KeepNumbersTraits {
  static constexpr int threads = 1024;
};

struct KeepNumbers {
  Entries<float, 3> mass;
  Entries<std::int32_t, 3> positions;
  Entries<std::int32_t const, 2> tokens;
  std::int32_t const* counts;
  std::int64_t counts_stride;
  std::int32_t heads, capacity;
};

/// grid: batch * heads_kv; a block moves the numbers of one head from the front: ids ascend, so that none lands on one
/// that has still to move.
template <class Traits>
__global__ void __launch_bounds__(Traits::threads) keep_numbers_kernel(__grid_constant__ KeepNumbers const p) {
  std::int64_t const row = blockIdx.x, b = row / p.heads, head = row % p.heads;
  std::int32_t const count = min(p.counts[row * p.counts_stride], p.capacity);
  for (std::int32_t first = 0; first < count; first += Traits::threads) {
    std::int32_t const i = first + static_cast<std::int32_t>(threadIdx.x);
    std::int64_t const from = i < count ? p.tokens(row, i) : 0;
    float const mass = p.mass(b, head, from);
    std::int32_t const position = p.positions(b, head, from);
    __syncthreads();
    if (i < count) {
      p.mass(b, head, i) = mass;
      p.positions(b, head, i) = position;
    }
    __syncthreads();
  }
}

}  // namespace lacuna::cuda

namespace lacuna {

inline Status begin_numbers(Cuda exec, BeginNumbersArgs const& args) {
  std::int64_t const heads = args.lens.extent(1);
  return cuda::launch_each(exec, args.lens.count() * args.new_tokens,
                           cuda::BeginNumbers{cuda::Entries<float, 3>(args.numbers.mass),
                                              cuda::Entries<std::int32_t, 3>(args.numbers.positions),
                                              cuda::Entries<std::int32_t const, 2>(args.lens), args.before, args.cu_new,
                                              heads, args.new_tokens, static_cast<std::int32_t>(args.new_tokens)});
}

inline Status keep_numbers(Cuda exec, KeepNumbersArgs const& args) {
  std::int64_t const heads = args.numbers.mass.extent(1), rows = args.index.heads();
  if (rows == 0) return {};
  if (rows != args.numbers.mass.extent(0) * heads)
    return Status::invalid("keep_numbers: the index must have one row per KV head of a sequence", rows,
                           args.numbers.mass.extent(0) * heads);
  cuda::KeepNumbers const p{cuda::Entries<float, 3>(args.numbers.mass),
                            cuda::Entries<std::int32_t, 3>(args.numbers.positions),
                            cuda::Entries<std::int32_t const, 2>(args.index.tokens),
                            args.index.counts.data,
                            args.index.counts.stride(0),
                            static_cast<std::int32_t>(heads),
                            static_cast<std::int32_t>(args.index.tokens.extent(1))};
  return cuda::launch(exec, static_cast<unsigned>(rows), cuda::KeepNumbersTraits::threads, 0,
                      cuda::keep_numbers_kernel<cuda::KeepNumbersTraits>, p);
}

}  // namespace lacuna
