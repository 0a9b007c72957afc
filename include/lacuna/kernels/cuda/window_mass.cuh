#pragma once

#include <algorithm>
#include <cstdint>

#include "lacuna/core/batch_problem.hpp"
#include "lacuna/kernels/cuda/dot_tile.cuh"
#include "lacuna/kernels/cuda/primitives/sequence.cuh"
#include "lacuna/kernels/cuda/primitives/warp.cuh"

namespace lacuna::cuda {

/// Keys of a tile of columns.
constexpr std::int64_t window_tile_keys(std::int64_t dim) { return dim > 128 ? 64 : 128; }

/// Capacities of a call, computed once for host and device.
struct WindowSizes {
  static constexpr std::int64_t keys_per_split = 2048;  // fixed, so that a sequence's sums do not depend on its batch

  std::int64_t heads;   // query heads of all sequences
  std::int64_t window;  // queries of a head, the most that any sequence has
  std::int64_t splits, key_tiles;
  std::int32_t keys;  // of a tile

  WindowSizes(BatchShape const& shape, std::int64_t most_queries, std::int64_t tile_keys)
      : heads(shape.batch * shape.each.heads_q),
        window(std::min(most_queries, shape.each.len_q)),
        splits((shape.each.len_k + keys_per_split - 1) / keys_per_split),
        key_tiles((shape.each.len_k + tile_keys - 1) / tile_keys),
        keys(static_cast<std::int32_t>(tile_keys)) {}

  /// Distances that a tile of keys and the window meet, and room for a tile more.
  LACUNA_HD std::int64_t diagonal_width() const { return (window + 63) / 64 * 64 + keys; }
};

/// A query of the window, and the keys that it sees: [oldest, position].
struct WindowQuery {
  bool there;
  std::int32_t position, oldest;
};

/// The last queries of one sequence, before one KV head.
template <class T>
struct QueryWindow {
  DeviceProblem<T> const& p;
  std::int32_t sequence, head_kv, len, count, first_position, first_token;
  T const* keys;  // of the head, unless in pages

  __device__ QueryWindow(DeviceProblem<T> const& problem, WindowSizes const& sizes, std::int32_t pair)
      : p(problem),
        sequence(pair / problem.heads_kv),
        head_kv(pair % problem.heads_kv),
        len(problem.len_k(sequence, head_kv)),
        count(min(problem.len_q(sequence), static_cast<std::int32_t>(sizes.window))),
        first_position(len - count),
        first_token(problem.first_query(sequence) + problem.len_q(sequence) - count),
        keys(problem.page_table == nullptr ? problem.k + problem.offset(sequence, head_kv, 0) : nullptr) {}

  __device__ std::int32_t oldest_key(std::int32_t position) const {
    return position < p.window_tokens ? 0 : position + 1 - p.window_tokens;
  }
  __device__ WindowQuery query(std::int32_t t) const {
    return {t < count, first_position + t, oldest_key(first_position + t)};
  }
  __device__ T const* key_row(std::int32_t key) const {
    if (key >= len) return nullptr;
    return keys != nullptr ? keys + key * p.stride_token : p.k + p.offset(sequence, head_kv, key);
  }
  __device__ T const* query_row(std::int32_t t, std::int32_t head) const {
    return t < count ? p.query(first_token + t, head) : nullptr;
  }
  /// Whether some query of the window does not see some of these keys.
  __device__ bool hides(std::int32_t first_key, std::int32_t keys) const {
    return first_key + keys - 1 > first_position || first_key < oldest_key(len - 1);
  }
};

/// Products become logits in base 2. The cap is asked for once, not for every product.
template <class T, int Count>
__device__ __forceinline__ void make_logits(DeviceProblem<T> const& p, float (&products)[Count]) {
  float const scale = p.soft_cap > 0.0F ? p.scale : p.scale * kLog2E;
#pragma unroll
  for (float& x : products) x *= scale;
  if (!(p.soft_cap > 0.0F)) return;
  float const steep = 2.0F * kLog2E / p.soft_cap, cap = p.soft_cap * kLog2E;
#pragma unroll
  for (float& x : products) {
    float const power = x * steep > 64.0F ? 64.0F : x * steep;  // a NaN stays
    x = cap - __fdividef(2.0F * cap, 1.0F + exp2_fast(power));
  }
}
template <class T, int Columns>
__device__ __forceinline__ void make_logits(DeviceProblem<T> const& p, float (&products)[2][Columns][4]) {
#pragma unroll
  for (auto& tiles : products)
#pragma unroll
    for (auto& tile : tiles) make_logits(p, tile);
}

template <Storage T, int Dim>
struct WindowMassTraits {
  using Element = T;
  static constexpr int dim = Dim, rows = Dim == 256 ? 64 : 128, keys = 64;
  static constexpr int threads = rows, row_bytes = 2 * Dim;  // a warp has 32 rows
  static constexpr std::int64_t smem_bytes = std::int64_t{row_bytes} * (rows + 2 * keys);
};

/// Grid: (splits of the keys, tiles of the group's queries, batch * heads_kv). A block owns `rows` queries, neighbours
/// in (head of the group, query), and the keys of one split, which it reads once; it writes 8 bytes per query.
template <class Traits>
__global__ void __launch_bounds__(Traits::threads)
    window_mass_kernel(__grid_constant__ DeviceProblem<typename Traits::Element> const p,
                       __grid_constant__ WindowSizes const sizes, float2* masses) {
  using T = typename Traits::Element;
  extern __shared__ __align__(128) unsigned char memory[];
  std::uint32_t const queries = smem_address(memory), keys = queries + Traits::rows * Traits::row_bytes;
  QueryWindow<T> const window(p, sizes, static_cast<std::int32_t>(blockIdx.z));
  auto const width = static_cast<std::int32_t>(sizes.window);
  std::int32_t const split = static_cast<std::int32_t>(blockIdx.x);
  std::int32_t const first = max(split * static_cast<std::int32_t>(WindowSizes::keys_per_split),
                                 window.oldest_key(window.first_position) / Traits::keys * Traits::keys);
  std::int32_t const end = min((split + 1) * static_cast<std::int32_t>(WindowSizes::keys_per_split), window.len);
  std::int32_t const row0 = static_cast<std::int32_t>(blockIdx.y) * Traits::rows;
  int const warp_row = warp_id() * 32;

  copy_tile_rows<Traits::row_bytes, Traits::threads>(queries, Traits::rows, [&](int i) -> T const* {
    std::int32_t const head = (row0 + i) / width;
    return head < p.group ? window.query_row((row0 + i) % width, window.head_kv * p.group + head) : nullptr;
  });
  auto const fetch = [&](std::int32_t key, int stage) {
    copy_tile_rows<Traits::row_bytes, Traits::threads>(
        keys + static_cast<std::uint32_t>(stage * Traits::keys * Traits::row_bytes), Traits::keys,
        [&](int i) { return window.key_row(key + i); });
    close_copy_group();
  };
  if (first < end) fetch(first, 0);

  // Each lane keeps the masses of its own columns; lanes join at the end.
  float highest[4], mass[4];
  WindowQuery query[4];
#pragma unroll
  for (int part = 0; part < 4; ++part) {
    highest[part] = -INFINITY;
    mass[part] = 0.0F;
    std::int32_t const row = row0 + warp_row + part * 8 + lane_id() / 4;
    query[part] = window.query(row % width);
    query[part].there &= row / width < p.group;
  }
  for (std::int32_t key = first; key < end; key += Traits::keys) {
    int const stage = (key - first) / Traits::keys % 2;
    if (key + Traits::keys < end) {
      fetch(key + Traits::keys, stage ^ 1);
      wait_copy_groups<1>();
    } else {
      wait_copy_groups<0>();
    }
    __syncthreads();
    float sums[2][Traits::keys / 8][4] = {};
    multiply_tiles<T, Traits::dim>(queries, keys + static_cast<std::uint32_t>(stage * Traits::keys * Traits::row_bytes),
                                   warp_row, 0, sums);
    make_logits(p, sums);
    if (window.hides(key, Traits::keys)) {
#pragma unroll
      for (int part = 0; part < 4; ++part)
#pragma unroll
        for (int n = 0; n < Traits::keys / 8; ++n)
#pragma unroll
          for (int e = 0; e < 2; ++e) {
            std::int32_t const at = key + n * 8 + lane_id() % 4 * 2 + e;
            if (at > query[part].position || at < query[part].oldest) sums[part / 2][n][part % 2 * 2 + e] = -INFINITY;
          }
    }
#pragma unroll
    for (int part = 0; part < 4; ++part) {
      float peak = highest[part];
#pragma unroll
      for (int n = 0; n < Traits::keys / 8; ++n)
        peak = fmaxf(peak, fmaxf(sums[part / 2][n][part % 2 * 2], sums[part / 2][n][part % 2 * 2 + 1]));
      float const base = peak == -INFINITY ? 0.0F : peak;
      float sum = mass[part] * exp2_fast(highest[part] - base);
#pragma unroll
      for (int n = 0; n < Traits::keys / 8; ++n)
#pragma unroll
        for (int e = 0; e < 2; ++e) sum += exp2_fast(sums[part / 2][n][part % 2 * 2 + e] - base);
      mass[part] = sum;
      highest[part] = peak;
    }
    __syncthreads();
  }
#pragma unroll
  for (int part = 0; part < 4; ++part) {
    float const peak = quad_max(highest[part]);
    float const sum = quad_sum(peak == -INFINITY ? mass[part] : mass[part] * exp2_fast(highest[part] - peak));
    std::int32_t const row = row0 + warp_row + part * 8 + lane_id() / 4;
    std::int64_t const head = std::int64_t{window.sequence} * p.heads_q + window.head_kv * p.group + row / width;
    if (query[part].there && lane_id() % 4 == 0)
      masses[(head * width + row % width) * sizes.splits + split] = {peak, sum};
  }
}

/// Grid: (256 queries). A thread joins the splits of one query in order, and the head's sink.
template <Storage T>
__global__ void __launch_bounds__(256)
    join_masses_kernel(__grid_constant__ DeviceProblem<T> const p, __grid_constant__ WindowSizes const sizes,
                       float2 const* masses, float* lse) {
  std::int64_t const at = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (at >= sizes.heads * sizes.window) return;
  auto const head = static_cast<std::int32_t>(at / sizes.window % p.heads_q);
  auto const sequence = static_cast<std::int32_t>(at / sizes.window / p.heads_q);
  std::int32_t const len = p.len_k(sequence, head / p.group);
  std::int64_t const splits = (len + WindowSizes::keys_per_split - 1) / WindowSizes::keys_per_split;
  if (at % sizes.window >= p.len_q(sequence)) return;
  float peak = -INFINITY;
  if (p.sink_logits != nullptr) peak = p.sink_logits[head] * kLog2E;
  float const sink = peak;
  for (std::int64_t split = 0; split < splits; ++split) peak = fmaxf(peak, masses[at * sizes.splits + split].x);
  float const base = peak == -INFINITY ? 0.0F : peak;
  float sum = exp2_fast(sink - base);
  for (std::int64_t split = 0; split < splits; ++split) {
    float2 const part = masses[at * sizes.splits + split];
    sum += part.y * exp2_fast(part.x - base);
  }
  lse[at] = base + log2f(sum);
}

}  // namespace lacuna::cuda
