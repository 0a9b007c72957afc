#pragma once

#include <cstdint>

#include "lacuna/kernels/cuda/window_mass.cuh"

namespace lacuna::cuda {

/// A tile is 64 queries of one head by `keys` keys; warps stand two by two on it. Softmax weights pass through shared
/// memory, so that a thread can add up along a diagonal.
/// What a call asks for.
enum class WindowOut { columns, columns_and_diagonals, highest };

template <Storage T, int Dim, WindowOut Out>
struct WindowSumsTraits {
  using Element = T;
  static constexpr bool diagonals = Out == WindowOut::columns_and_diagonals, highest = Out == WindowOut::highest;
  static constexpr int dim = Dim, rows = 64, keys = static_cast<int>(window_tile_keys(Dim)), threads = 128;
  static constexpr int columns = keys / 16;  // of 8 keys, per warp
  static constexpr int row_bytes = 2 * Dim;
  static constexpr int pitch = keys + 8;  // floats; two neighbours by four rows meet 32 banks
  static constexpr std::int64_t smem_bytes(WindowSizes const& sizes) {
    return std::int64_t{row_bytes} * (keys + rows) + 4 * (rows * pitch + 2 * keys + sizes.diagonal_width() + keys);
  }
};

template <class T>
struct WindowSumsParameters {
  DeviceProblem<T> problem;
  WindowSizes sizes;
  float const* lse;  // [batch * heads_q, window], base 2
  float* columns;
  std::int64_t columns_stride;
  float* diagonals;            // [rows, key tiles, diagonal width] or null
  std::int32_t heads_per_row;  // 1, or the group
};

template <class Traits>
struct WindowSumsSmem {
  std::uint32_t keys, queries;
  float *weights, *columns, *diagonals;  // [rows, pitch], [2, keys], [diagonal width + keys]

  __device__ explicit WindowSumsSmem(unsigned char* memory)
      : keys(smem_address(memory)), queries(keys + Traits::keys * Traits::row_bytes) {
    weights = reinterpret_cast<float*>(memory + Traits::row_bytes * (Traits::keys + Traits::rows));
    columns = weights + Traits::rows * Traits::pitch;
    diagonals = columns + 2 * Traits::keys;
  }
};

template <class Traits>
__device__ __forceinline__ float join_weights(float a, float b) {
  if constexpr (!Traits::highest) return a + b;
  return a > b || a != a ? a : b;  // a NaN wins
}

/// Adds the tile's weights along its diagonals. Thread x walks down the rows, one key to the right each time, and comes
/// in again at the left: it meets `rows` weights of two diagonals, whatever x.
template <class Traits>
__device__ void add_diagonals(WindowSumsSmem<Traits> const& smem, std::int32_t first_query) {
  int const x = static_cast<int>(threadIdx.x);
  if (x >= Traits::keys) return;
  float before = 0.0F, after = 0.0F;
#pragma unroll 8
  for (int row = 0; row < Traits::rows; ++row) {
    float const weight = smem.weights[row * Traits::pitch + (x + row) % Traits::keys];
    if (x + row < Traits::keys)
      before += weight;
    else
      after += weight;
  }
  smem.diagonals[first_query + Traits::keys - 1 - x] += before;
  smem.diagonals[first_query + 2 * Traits::keys - 1 - x] += after;
}

template <class Traits>
__device__ void write_sums(WindowSumsParameters<typename Traits::Element> const& p, WindowSumsSmem<Traits> const& smem,
                           float (&columns)[Traits::columns][2], std::int64_t row, std::int32_t tile,
                           std::int32_t len) {
  int const warp = warp_id(), half = warp / 2, key0 = warp % 2 * Traits::keys / 2;
#pragma unroll
  for (int n = 0; n < Traits::columns; ++n)
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      float sum = columns[n][e];
      for (int lanes = 4; lanes < 32; lanes *= 2)
        sum = join_weights<Traits>(sum, __shfl_xor_sync(kAllLanes, sum, lanes));
      if (lane_id() < 4) smem.columns[half * Traits::keys + key0 + n * 8 + lane_id() * 2 + e] = sum;
      columns[n][e] = 0.0F;
    }
  __syncthreads();
  int const x = static_cast<int>(threadIdx.x);
  std::int32_t const key = tile * Traits::keys + x;
  if (x < Traits::keys && key < len) {
    float const sum = join_weights<Traits>(smem.columns[x], smem.columns[Traits::keys + x]);
    p.columns[row * p.columns_stride + key] = Traits::highest ? sum : sum / static_cast<float>(p.heads_per_row);
  }
  if constexpr (Traits::diagonals) {
    std::int64_t const width = p.sizes.diagonal_width();
    float* const out = p.diagonals + (row * p.sizes.key_tiles + tile) * width;
    for (std::int64_t i = x; i < width; i += Traits::threads)
      out[i] = smem.diagonals[i] / static_cast<float>(p.heads_per_row);
    __syncthreads();
    for (std::int64_t i = x; i < width + Traits::keys; i += Traits::threads) smem.diagonals[i] = 0.0F;
  }
  __syncthreads();
}

/// Grid: (tiles of keys, batch * heads_kv). A block owns one tile of keys, which it reads once, and meets all queries
/// of the group's windows; it writes 4 bytes per key and row, and 4 per distance, tile and row.
template <class Traits>
__global__ void __launch_bounds__(Traits::threads, Traits::dim > 128 ? 1 : 2)
    window_sums_kernel(__grid_constant__ WindowSumsParameters<typename Traits::Element> const p) {
  using T = typename Traits::Element;
  extern __shared__ __align__(128) unsigned char memory[];
  WindowSumsSmem<Traits> const smem(memory);
  QueryWindow<T> const window(p.problem, p.sizes, static_cast<std::int32_t>(blockIdx.y));
  std::int32_t const tile = static_cast<std::int32_t>(blockIdx.x), first_key = tile * Traits::keys;
  if (first_key >= window.len) return;
  int const warp = warp_id(), row0 = warp / 2 * 32, key0 = warp % 2 * Traits::keys / 2;
  bool const masked = window.hides(first_key, Traits::keys);

  copy_tile_rows<Traits::row_bytes, Traits::threads>(smem.keys, Traits::keys,
                                                     [&](int i) { return window.key_row(first_key + i); });
  auto const fetch = [&](std::int32_t head, std::int32_t first_query) {
    copy_tile_rows<Traits::row_bytes, Traits::threads>(smem.queries, Traits::rows, [&](int i) {
      return window.query_row(first_query + i, window.head_kv * p.problem.group + head);
    });
    close_copy_group();
  };
  if constexpr (Traits::diagonals)
    for (std::int64_t i = threadIdx.x; i < p.sizes.diagonal_width() + Traits::keys; i += Traits::threads)
      smem.diagonals[i] = 0.0F;
  if (window.count > 0) fetch(0, 0);

  float columns[Traits::columns][2] = {};
  for (std::int32_t head = 0; head < p.problem.group; ++head) {
    std::int64_t const query_head =
        std::int64_t{window.sequence} * p.problem.heads_q + window.head_kv * p.problem.group + head;
    for (std::int32_t first_query = 0; first_query < window.count; first_query += Traits::rows) {
      wait_copy_groups<0>();
      __syncthreads();
      float sums[2][Traits::columns][4] = {};
      multiply_tiles<T, Traits::dim>(smem.queries, smem.keys, row0, key0, sums);
      __syncthreads();
      if (first_query + Traits::rows < window.count)
        fetch(head, first_query + Traits::rows);
      else if (head + 1 < p.problem.group)
        fetch(head + 1, 0);
      make_logits(p.problem, sums);
      bool const hides = masked || first_query + Traits::rows > window.count;
#pragma unroll
      for (int part = 0; part < 4; ++part) {
        int const row = row0 + part * 8 + lane_id() / 4;
        WindowQuery const query = window.query(first_query + row);
        float const lse = query.there ? p.lse[query_head * p.sizes.window + first_query + row] : 0.0F;
#pragma unroll
        for (int n = 0; n < Traits::columns; ++n)
#pragma unroll
          for (int e = 0; e < 2; ++e) {
            float& weight = sums[part / 2][n][part % 2 * 2 + e];
            weight = exp2_fast(weight - lse);
          }
        if (hides) {
#pragma unroll
          for (int n = 0; n < Traits::columns; ++n)
#pragma unroll
            for (int e = 0; e < 2; ++e) {
              std::int32_t const key = first_key + key0 + n * 8 + lane_id() % 4 * 2 + e;
              if (!query.there || key > query.position || key < query.oldest)
                sums[part / 2][n][part % 2 * 2 + e] = 0.0F;
            }
        }
#pragma unroll
        for (int n = 0; n < Traits::columns; ++n) {
          float2 const weight{sums[part / 2][n][part % 2 * 2], sums[part / 2][n][part % 2 * 2 + 1]};
          columns[n][0] = join_weights<Traits>(columns[n][0], weight.x);
          columns[n][1] = join_weights<Traits>(columns[n][1], weight.y);
          if constexpr (Traits::diagonals)
            *reinterpret_cast<float2*>(smem.weights + row * Traits::pitch + key0 + n * 8 + lane_id() % 4 * 2) = weight;
        }
      }
      if constexpr (Traits::diagonals) {
        __syncthreads();
        add_diagonals(smem, first_query);
      }
    }
    if ((head + 1) % p.heads_per_row != 0) continue;
    __syncthreads();
    write_sums(p, smem, columns, query_head / p.heads_per_row, tile, window.len);
  }
}

}  // namespace lacuna::cuda
