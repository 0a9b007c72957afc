#pragma once

#include <cstdint>

#include "lacuna/kernels/cuda/line_tile.cuh"
#include "lacuna/kernels/cuda/window_mass.cuh"

namespace lacuna::cuda {

/// The first pass of window scores on Hopper: 256 rows, a warpgroup for every 64, whose exponentials hide each other's
/// products; a warpgroup more copies keys.
template <Storage T, int Dim>
struct WindowMassWgmmaTraits {
  using Element = T;
  static constexpr int dim = Dim, consumers = 4, rows = consumers * 64, keys = Dim == 256 ? 64 : 128, stages = 3;
  static constexpr int threads = (consumers + 1) * 128;
  static constexpr int producer_registers = 32, consumer_registers = 112;
  static constexpr int query_bytes = 64 * 2 * Dim, stage_bytes = keys * 2 * Dim;  // of a warpgroup, of a stage
  static constexpr int barriers_at = consumers * query_bytes + stages * stage_bytes;
  static constexpr std::int64_t smem_bytes = barriers_at + 16 * stages;
};

/// Running softmax mass of two rows, over the columns that this thread holds.
struct TwoMasses {
  float highest[2] = {-INFINITY, -INFINITY};  // of the products
  float mass[2] = {0.0F, 0.0F};

  /// `per`: powers of two for one of a product's units.
  template <int Count>
  __device__ __forceinline__ void add(float const (&products)[Count], float per) {
#pragma unroll
    for (int part = 0; part < 2; ++part) {
      float peak = highest[part];
#pragma unroll
      for (int i = part * 2; i < Count; i += 4) peak = fmaxf(peak, fmaxf(products[i], products[i + 1]));
      float const base = peak == -INFINITY ? 0.0F : peak * per;
      float sums[2] = {mass[part] * exp2_fast(fmaf(highest[part], per, -base)), 0.0F};
#pragma unroll
      for (int i = part * 2; i < Count; i += 4) {
        sums[0] += exp2_fast(fmaf(products[i], per, -base));
        sums[1] += exp2_fast(fmaf(products[i + 1], per, -base));
      }
      mass[part] = sums[0] + sums[1];
      highest[part] = peak;
    }
  }
};

/// Grid: (splits of the keys, tiles of the group's queries, batch * heads_kv). A block owns `rows` queries, neighbours
/// in (head of the group, query), and the keys of one split, which it reads once; it writes 8 bytes per query.
template <class Traits>
__global__ void __launch_bounds__(Traits::threads, 1)
    window_mass_wgmma_kernel(__grid_constant__ DeviceProblem<typename Traits::Element> const p,
                             __grid_constant__ WindowSizes const sizes, float2* masses) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  using T = typename Traits::Element;
  extern __shared__ __align__(1024) unsigned char window_lines[];
  std::uint32_t const queries = smem_address(window_lines);
  std::uint32_t const keys = queries + Traits::consumers * Traits::query_bytes;
  auto* const full = reinterpret_cast<std::uint64_t*>(window_lines + Traits::barriers_at);
  std::uint64_t* const empty = full + Traits::stages;
  QueryWindow<T> const window(p, sizes, static_cast<std::int32_t>(blockIdx.z));
  auto const width = static_cast<std::int32_t>(sizes.window);
  std::int32_t const split = static_cast<std::int32_t>(blockIdx.x);
  std::int32_t const first = max(split * static_cast<std::int32_t>(WindowSizes::keys_per_split),
                                 window.oldest_key(window.first_position) / Traits::keys * Traits::keys);
  std::int32_t const end = min((split + 1) * static_cast<std::int32_t>(WindowSizes::keys_per_split), window.len);
  std::int32_t const row0 = static_cast<std::int32_t>(blockIdx.y) * Traits::rows;
  if (window.count == 0 || split * WindowSizes::keys_per_split >= window.len) return;  // nobody reads of it
  if (threadIdx.x == 0) {
    for (int stage = 0; stage < Traits::stages; ++stage) {
      barrier_init(&full[stage], 128);
      barrier_init(&empty[stage], Traits::consumers * 4);
    }
    barrier_init_done();
  }
  for (int part = 0; part < Traits::consumers; ++part)
    copy_lines<Traits::dim, Traits::threads>(
        queries + part * Traits::query_bytes, 64, static_cast<int>(threadIdx.x), [&](int i) -> T const* {
          std::int32_t const row = row0 + part * 64 + i, head = row / width;
          return head < p.group ? window.query_row(row % width, window.head_kv * p.group + head) : nullptr;
        });
  close_copy_group();
  wait_copy_groups<0>();
  __syncthreads();
  int const group = warp_id() / 4;
  if (group == Traits::consumers) {
    give_registers<Traits::producer_registers>();
    std::uint32_t slot = 0, parity = 1;
    for (std::int32_t key = first; key < end; key += Traits::keys) {
      barrier_wait(&empty[slot], parity);
      copy_lines<Traits::dim, 128>(keys + slot * Traits::stage_bytes, Traits::keys, static_cast<int>(threadIdx.x) % 128,
                                   [&](int i) { return window.key_row(key + i); });
      barrier_arrive_after_copies(&full[slot]);
      next_slot<Traits::stages>(slot, parity);
    }
    wait_copy_groups<0>();
    return;
  }
  take_registers<Traits::consumer_registers>();
  bool const capped = p.soft_cap > 0.0F;
  float const per = capped ? 1.0F : p.scale * kLog2E;
  std::int32_t const row = row0 + group * 64 + warp_id() % 4 * 16 + lane_id() / 4;
  TwoMasses masses_of_thread;
  std::uint32_t slot = 0, parity = 0;
  for (std::int32_t key = first; key < end; key += Traits::keys) {
    barrier_wait(&full[slot], parity);
    fence_async_proxy();
    float products[Traits::keys / 2];
    multiply_lines<T, Traits::dim, Traits::keys>(queries + group * Traits::query_bytes,
                                                 keys + slot * Traits::stage_bytes, products);
    __syncwarp();
    if (lane_id() == 0) barrier_arrive(&empty[slot]);
    next_slot<Traits::stages>(slot, parity);
    if (capped) make_logits(p, products);
    if (window.hides(key, Traits::keys)) {
#pragma unroll
      for (int part = 0; part < 2; ++part) {
        WindowQuery const query = window.query((row + part * 8) % width);
#pragma unroll
        for (int i = part * 2; i < Traits::keys / 2; i += 4)
#pragma unroll
          for (int e = 0; e < 2; ++e) {
            std::int32_t const at = key + i / 4 * 8 + lane_id() % 4 * 2 + e;
            if (at > query.position || at < query.oldest) products[i + e] = -INFINITY;
          }
      }
    }
    masses_of_thread.add(products, per);
  }
#pragma unroll
  for (int part = 0; part < 2; ++part) {
    float const highest = masses_of_thread.highest[part], peak = quad_max(highest);
    float const mass = masses_of_thread.mass[part];
    float const sum = quad_sum(peak == -INFINITY ? mass : mass * exp2_fast((highest - peak) * per));
    std::int32_t const at = row + part * 8;
    if (at / width >= p.group || !window.query(at % width).there || lane_id() % 4 != 0) continue;
    std::int64_t const head = std::int64_t{window.sequence} * p.heads_q + window.head_kv * p.group + at / width;
    masses[(head * width + at % width) * sizes.splits + split] = {peak * per, sum};
  }
#endif
}

}  // namespace lacuna::cuda
