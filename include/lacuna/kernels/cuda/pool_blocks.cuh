#pragma once

#include <cstdint>

#include "lacuna/kernels/cuda/block_rows.cuh"
#include "lacuna/kernels/cuda/launch.cuh"
#include "lacuna/kernels/cuda/primitives/sequence.cuh"
#include "lacuna/kernels/cuda/primitives/warp.cuh"
#include "lacuna/kernels/pool_blocks.hpp"

namespace lacuna::cuda {

template <Storage T, int Dim>
struct PoolBlocksTraits {
  using Element = T;
  static constexpr int dim = Dim, threads = 256, warps = threads / 32;
  static constexpr int lanes_per_row = Dim / 8;            // 16 bytes each
  static constexpr int rows_at_once = 32 / lanes_per_row;  // by the lanes of a warp
  static constexpr int in_flight = 8;
};

/// Adds rows [begin, end), which row(i) points to, of one block; every lane ends with the means of its 8 channels. The
/// order of the sum depends on the place in the block alone.
template <class Traits, class Row>
__device__ void pool_rows(std::int32_t begin, std::int32_t end, std::int32_t block_begin, std::int32_t block_tokens,
                          bool true_counts, Row const& row, bfloat16* out) {
  using T = typename Traits::Element;
  int const part = lane_id() / Traits::lanes_per_row, channel = lane_id() % Traits::lanes_per_row * 8;
  float sums[8] = {};
  for (std::int32_t first = 0; first < block_tokens; first += Traits::rows_at_once * Traits::in_flight) {
    uint4 packed[Traits::in_flight];
#pragma unroll
    for (int i = 0; i < Traits::in_flight; ++i) {
      std::int32_t const at = block_begin + first + i * Traits::rows_at_once + part;
      bool const there = first + i * Traits::rows_at_once + part < block_tokens && at >= begin && at < end;
      packed[i] = there ? __ldg(reinterpret_cast<uint4 const*>(row(at) + channel)) : uint4{0, 0, 0, 0};
    }
#pragma unroll
    for (int i = 0; i < Traits::in_flight; ++i) {
      std::uint32_t const words[4] = {packed[i].x, packed[i].y, packed[i].z, packed[i].w};
#pragma unroll
      for (int w = 0; w < 4; ++w) {
        float2 const pair = unpack2<T>(words[w]);
        sums[2 * w] += pair.x;
        sums[2 * w + 1] += pair.y;
      }
    }
  }
  std::int32_t const rows = min(block_begin + block_tokens, end) - max(block_begin, begin);
  float const share = 1.0F / static_cast<float>(true_counts ? rows : block_tokens);
  std::uint32_t high[4], low[4];
#pragma unroll
  for (int w = 0; w < 4; ++w) {
    float mean[2];
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      float sum = sums[2 * w + e];
      for (int lanes = Traits::lanes_per_row; lanes < 32; lanes *= 2) sum += __shfl_xor_sync(kAllLanes, sum, lanes);
      mean[e] = sum * share;
    }
    high[w] = pack2<bfloat16>(mean[0], mean[1]);
    float2 const kept = unpack2<bfloat16>(high[w]);
    low[w] = pack2<bfloat16>(mean[0] - kept.x, mean[1] - kept.y);
  }
  if (part > 0) return;
  *reinterpret_cast<uint4*>(out + channel) = {high[0], high[1], high[2], high[3]};
  *reinterpret_cast<uint4*>(out + Traits::dim + channel) = {low[0], low[1], low[2], low[3]};
}

/// Grid: (key blocks / warps, batch * heads_kv). A warp owns a key block; reads each key once, writes 4 bytes a
/// channel.
template <class Traits>
__global__ void __launch_bounds__(Traits::threads)
    pool_keys_kernel(__grid_constant__ DeviceProblem<typename Traits::Element> const p, std::int32_t block_tokens,
                     std::int32_t blocks, bool true_counts, bfloat16* out) {
  std::int32_t const block = static_cast<std::int32_t>(blockIdx.x) * Traits::warps + warp_id();
  std::int32_t const row = static_cast<std::int32_t>(blockIdx.y), sequence = row / p.heads_kv;
  std::int32_t const head = row % p.heads_kv, len = p.len_k(sequence, head);
  if (block >= blocks || block * block_tokens >= len) return;
  pool_rows<Traits>(
      0, len, block * block_tokens, block_tokens, true_counts,
      [&](std::int32_t at) { return p.k + p.offset(sequence, head, at); },
      out + (std::int64_t{row} * blocks + block) * 2 * Traits::dim);
}

/// Grid: (rows / warps, heads_q). As for keys.
template <class Traits>
__global__ void __launch_bounds__(Traits::threads)
    pool_queries_kernel(__grid_constant__ DeviceProblem<typename Traits::Element> const p,
                        __grid_constant__ BlockRows const rows, std::int32_t row_count, bool true_counts,
                        bfloat16* out) {
  std::int32_t const slot = static_cast<std::int32_t>(blockIdx.x) * Traits::warps + warp_id();
  std::int32_t const head = static_cast<std::int32_t>(blockIdx.y);
  if (slot >= row_count) return;
  BlockRows::Row const row = rows.find(slot);
  if (!row.there) return;
  std::int32_t const first_position = row.len_k - row.len_q;
  std::int32_t const first_token = rows.first_query(row.sequence);
  pool_rows<Traits>(
      first_position, row.len_k, row.block * rows.block_tokens, rows.block_tokens, true_counts,
      [&](std::int32_t at) { return p.query(first_token + at - first_position, head); },
      out + (std::int64_t{head} * row_count + slot) * 2 * Traits::dim);
}

template <class Traits>
Status launch_pool_blocks(Cuda exec, PoolBlocksBatchArgs<typename Traits::Element> const& args) {
  DeviceProblem<typename Traits::Element> const problem(args.problem);
  auto const blocks = static_cast<std::int32_t>(args.keys.extent(1));
  auto const rows = static_cast<std::int32_t>(args.queries.extent(1));
  auto const warps_for = [](std::int32_t count) {
    return static_cast<unsigned>((count + Traits::warps - 1) / Traits::warps);
  };
  Status s = launch(exec, {warps_for(blocks), static_cast<unsigned>(args.keys.extent(0)), 1}, Traits::threads, 0,
                    pool_keys_kernel<Traits>, problem, static_cast<std::int32_t>(args.block_tokens), blocks,
                    args.true_counts, args.keys.data);
  if (!s) return s;
  return launch(exec, {warps_for(rows), static_cast<unsigned>(args.queries.extent(0)), 1}, Traits::threads, 0,
                pool_queries_kernel<Traits>, problem, BlockRows(args.problem, args.block_tokens), rows,
                args.true_counts, args.queries.data);
}

}  // namespace lacuna::cuda

namespace lacuna {

template <Storage T>
Status pool_blocks(Cuda exec, PoolBlocksBatchArgs<T> const& args) {
  if (Status s = args.check(); !s) return s;
  if (Status s = cuda::check_aligned(args.problem, "pool_blocks: rows must begin at multiples of 16 bytes"); !s)
    return s;
  if (args.problem.batch == 0 || args.problem.tokens_q() == 0) return {};
  switch (args.problem.dim()) {
    case 64: return cuda::launch_pool_blocks<cuda::PoolBlocksTraits<T, 64>>(exec, args);
    case 128: return cuda::launch_pool_blocks<cuda::PoolBlocksTraits<T, 128>>(exec, args);
    case 256: return cuda::launch_pool_blocks<cuda::PoolBlocksTraits<T, 256>>(exec, args);
    default: return Status::invalid("pool_blocks: dim must be 64, 128 or 256", args.problem.dim(), 0);
  }
}

}  // namespace lacuna
