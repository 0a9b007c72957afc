#pragma once

#include <algorithm>
#include <cstdint>

#include "lacuna/kernels/cuda/block_rows.cuh"
#include "lacuna/kernels/cuda/dot_tile.cuh"
#include "lacuna/kernels/cuda/launch.cuh"
#include "lacuna/kernels/cuda/path.cuh"
#include "lacuna/kernels/cuda/pooled_scores_wgmma.cuh"
#include "lacuna/kernels/cuda/primitives/warp.cuh"
#include "lacuna/kernels/pooled_scores.hpp"

namespace lacuna::cuda {

/// A tile is Rows pooled queries of one KV head's group, neighbours in (row, head of the group), by Keys pooled keys.
template <int Dim, int Rows, int Keys, int Stages = 2, int Across = Keys >= 128 ? 2 : 1, int Tiles = 4>
struct PooledScoresTraits {
  static constexpr int dim = Dim, rows = Rows, keys = Keys;
  static constexpr int warps_down = Rows / 32, warps_across = Across;
  static constexpr int warps = warps_down * warps_across, threads = warps * 32;
  static constexpr int keys_per_warp = Keys / warps_across;
  static constexpr int tiles_per_block = Tiles;  // of keys, for one tile of queries
  static constexpr int row_bytes = 4 * Dim;      // a pooled vector: high halves, then low ones
  static constexpr int stages = Stages;
  static constexpr std::int64_t smem_bytes = std::int64_t{row_bytes} * (Rows + stages * Keys) + 12 * Rows;
  static constexpr int blocks_per_sm = smem_bytes > 100 * 1024 || threads > 128 ? 1 : 2;  // two of 256 threads spill
};

template <class Traits>
struct PooledScoresSmem {
  std::uint32_t queries, keys;                   // shared addresses
  std::int32_t *sequence, *candidates, *oldest;  // of each row of the tile

  __device__ explicit PooledScoresSmem(unsigned char* memory)
      : queries(smem_address(memory)), keys(queries + Traits::rows * Traits::row_bytes) {
    sequence =
        reinterpret_cast<std::int32_t*>(memory + Traits::row_bytes * (Traits::rows + Traits::stages * Traits::keys));
    candidates = sequence + Traits::rows;
    oldest = candidates + Traits::rows;
  }
};

/// sums += queries x keys for the warp's 32 rows: high x high, high x low, low x high. What low x low would add is
/// below 2^-17 of the products.
template <class Traits>
__device__ void multiply_pooled(std::uint32_t queries, std::uint32_t keys, int row0, int key0,
                                float (&sums)[2][Traits::keys_per_warp / 8][4]) {
  constexpr int kRow = Traits::row_bytes, kLow = kRow / 32;
  int const lane = lane_id();
  int const a_row = lane % 16, a_chunk = lane / 16, b_key = lane / 16 * 8 + lane % 8, b_chunk = lane / 8 % 2;
#pragma unroll 1
  for (int step = 0; step < Traits::dim / 16; ++step) {
    std::uint32_t high[2][4], low[2][4];
#pragma unroll
    for (int m = 0; m < 2; ++m) {
      load_matrices(high[m], tile_address<kRow>(queries, row0 + m * 16 + a_row, step * 2 + a_chunk));
      load_matrices(low[m], tile_address<kRow>(queries, row0 + m * 16 + a_row, kLow + step * 2 + a_chunk));
    }
    std::uint32_t key_high[Traits::keys_per_warp / 16][4], key_low[Traits::keys_per_warp / 16][4];
#pragma unroll
    for (int n = 0; n < Traits::keys_per_warp / 16; ++n) {
      load_matrices(key_high[n], tile_address<kRow>(keys, key0 + n * 16 + b_key, step * 2 + b_chunk));
      load_matrices(key_low[n], tile_address<kRow>(keys, key0 + n * 16 + b_key, kLow + step * 2 + b_chunk));
    }
    // Product by product, so that no sum is asked for again before all others have had their turn.
#pragma unroll
    for (int product = 0; product < 3; ++product)
#pragma unroll
      for (int n = 0; n < Traits::keys_per_warp / 8; ++n)
#pragma unroll
        for (int m = 0; m < 2; ++m) {
          std::uint32_t const(&b)[4] = product == 1 ? key_low[n / 2] : key_high[n / 2];
          mma<bfloat16>(sums[m][n], product == 2 ? low[m] : high[m], b[n % 2 * 2], b[n % 2 * 2 + 1]);
        }
  }
}

/// Grid: (key blocks / (keys * tiles_per_block), chunk rows * group / rows, heads_kv). A block owns one tile of queries
/// and up to tiles_per_block tiles of keys of each sequence that the tile touches, mostly one. Reads 4 * dim bytes per
/// query row and key, writes 4 bytes per score.
template <class Traits>
__global__ void __launch_bounds__(Traits::threads, Traits::blocks_per_sm)
    pooled_scores_kernel(__grid_constant__ PooledScoresParameters const p) {
  extern __shared__ __align__(128) unsigned char memory[];
  PooledScoresSmem<Traits> const smem(memory);
  int const warp = warp_id(), row0 = warp / Traits::warps_across * 32;
  int const key0 = warp % Traits::warps_across * Traits::keys_per_warp;
  std::int32_t const tile0 = static_cast<std::int32_t>(blockIdx.y) * Traits::rows;
  std::int32_t const head_kv = static_cast<std::int32_t>(blockIdx.z);
  std::int32_t const rows = min(Traits::rows, p.chunk_rows * p.group - tile0);
  auto const slot_of = [&](int i) { return p.first_row + (tile0 + i) / p.group; };
  auto const head_of = [&](int i) { return head_kv * p.group + (tile0 + i) % p.group; };

  std::int32_t const first_key = static_cast<std::int32_t>(blockIdx.x) * Traits::tiles_per_block * Traits::keys;
  bool needed = false;
  for (int i = static_cast<int>(threadIdx.x); i < Traits::rows; i += Traits::threads) {
    BlockRows::Row row{};
    if (i < rows) row = p.rows.find(slot_of(i));
    smem.sequence[i] = row.there ? row.sequence : -1;
    smem.candidates[i] = row.there ? row.candidates() : 0;
    smem.oldest[i] = row.oldest;
    needed |= row.there && row.candidates() > first_key;
  }
  if (!__syncthreads_or(needed)) return;
  copy_tile_rows<Traits::row_bytes, Traits::threads>(smem.queries, Traits::rows, [&](int i) -> bfloat16 const* {
    return i < rows ? p.queries + (std::int64_t{head_of(i)} * p.query_rows + slot_of(i)) * 2 * Traits::dim : nullptr;
  });

  // Rows that are not there stand between sequences or at the end, so that the first and the last which are bound them.
  std::int32_t const first_sequence = p.rows.find(slot_of(0)).sequence;
  std::int32_t const last_sequence = p.rows.find(slot_of(rows - 1)).sequence;
  for (std::int32_t sequence = first_sequence; sequence <= last_sequence; ++sequence) {
    std::int32_t most = 0;
    for (int i = lane_id(); i < rows; i += 32)
      if (smem.sequence[i] == sequence) most = max(most, smem.candidates[i]);
    most = warp_max(most);
    int const tiles = min((most - first_key + Traits::keys - 1) / Traits::keys, Traits::tiles_per_block);
    bfloat16 const* const keys =
        p.keys + (std::int64_t{sequence} * p.heads_kv + head_kv) * p.key_blocks * 2 * Traits::dim;
    auto const fetch = [&](int tile) {
      std::int32_t const key = first_key + tile * Traits::keys;
      copy_tile_rows<Traits::row_bytes, Traits::threads>(
          smem.keys + static_cast<std::uint32_t>(tile % Traits::stages * Traits::keys * Traits::row_bytes),
          Traits::keys, [&](int i) -> bfloat16 const* {
            return key + i < most ? keys + std::int64_t{key + i} * 2 * Traits::dim : nullptr;
          });
      close_copy_group();
    };
    if (tiles > 0) fetch(0);
    for (int tile = 0; tile < tiles; ++tile) {
      if (tile + 1 < tiles && Traits::stages > 1) {
        fetch(tile + 1);
        wait_copy_groups<1>();
      } else {
        wait_copy_groups<0>();
      }
      __syncthreads();
      float sums[2][Traits::keys_per_warp / 8][4] = {};
      multiply_pooled<Traits>(
          smem.queries,
          smem.keys + static_cast<std::uint32_t>(tile % Traits::stages * Traits::keys * Traits::row_bytes), row0, key0,
          sums);
      __syncthreads();
      if (Traits::stages == 1 && tile + 1 < tiles) fetch(tile + 1);
      std::int32_t const key = first_key + tile * Traits::keys + key0 + lane_id() % 4 * 2;
#pragma unroll
      for (int part = 0; part < 4; ++part) {
        int const i = row0 + part * 8 + lane_id() / 4;
        if (smem.sequence[i] != sequence) continue;
        std::int32_t const end = smem.candidates[i], oldest = smem.oldest[i];
        float* const row = p.scores + head_of(i) * p.stride_head + (slot_of(i) - p.first_row) * p.stride_row;
#pragma unroll
        for (int n = 0; n < Traits::keys_per_warp / 8; ++n) {
          std::int32_t const at = key + n * 8;
          float low = sums[part / 2][n][part % 2 * 2], high = sums[part / 2][n][part % 2 * 2 + 1];
          if (at < oldest) low = -INFINITY;
          if (at + 1 < oldest) high = -INFINITY;
          if (at + 1 < end)
            *reinterpret_cast<float2*>(row + at) = {low, high};
          else if (at < end)
            row[at] = low;
        }
      }
    }
  }
}

template <class Traits>
Status launch_pooled_scores(Cuda exec, PooledScoresParameters const& p) {
  std::int64_t const keys = Traits::keys * Traits::tiles_per_block, rows = std::int64_t{p.chunk_rows} * p.group;
  dim3 const grid(static_cast<unsigned>((p.key_blocks + keys - 1) / keys),
                  static_cast<unsigned>((rows + Traits::rows - 1) / Traits::rows), static_cast<unsigned>(p.heads_kv));
  return launch(exec, grid, Traits::threads, Traits::smem_bytes, pooled_scores_kernel<Traits>, p);
}

/// Hopper's kernel where there is one; else large tiles where a block may have 200 KB of shared memory, and small ones
/// elsewhere, whose sums are the same.
template <int Dim, Storage T>
Status choose_pooled_scores(Cuda exec, PooledScoresBatchArgs<T> const& args) {
  using Hopper = PooledScoresWgmmaTraits<Dim>;
  using Large = PooledScoresTraits<Dim, Dim == 256 ? 64 : 128, Dim == 256 ? 64 : 128>;
  using Small = PooledScoresTraits<Dim, Dim == 256 ? 32 : 64, Dim == 256 ? 32 : 64>;
  auto const narrow = [](std::int64_t x) { return static_cast<std::int32_t>(x); };
  PooledScoresParameters const p{BlockRows(args.problem, args.block_tokens),
                                 args.queries.data,
                                 args.keys.data,
                                 args.scores.data,
                                 args.scores.stride(0),
                                 args.scores.stride(1),
                                 narrow(args.queries.extent(1)),
                                 narrow(args.keys.extent(1)),
                                 narrow(args.problem.heads_kv()),
                                 narrow(args.problem.group()),
                                 narrow(args.first_row),
                                 narrow(args.scores.extent(1))};
  if (path() != Path::generic && has_hopper_body(pooled_scores_wgmma_kernel<Hopper>))
    return launch_pooled_scores_wgmma<Hopper>(exec, p);
  int device = 0, most = 0;
  if (cudaGetDevice(&device) != cudaSuccess ||
      cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device) != cudaSuccess)
    return launched();
  return most >= Large::smem_bytes ? launch_pooled_scores<Large>(exec, p) : launch_pooled_scores<Small>(exec, p);
}

}  // namespace lacuna::cuda

namespace lacuna {

template <Storage T>
Status pooled_scores(Cuda exec, PooledScoresBatchArgs<T> const& args) {
  if (Status s = args.check(); !s) return s;
  if (args.problem.batch == 0 || args.scores.extent(1) == 0 || args.keys.extent(1) == 0) return {};
  switch (args.problem.dim()) {
    case 64: return cuda::choose_pooled_scores<64>(exec, args);
    case 128: return cuda::choose_pooled_scores<128>(exec, args);
    case 256: return cuda::choose_pooled_scores<256>(exec, args);
    default: return Status::invalid("pooled_scores: dim must be 64, 128 or 256", args.problem.dim(), 0);
  }
}

}  // namespace lacuna
