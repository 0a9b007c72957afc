#pragma once

#include <cstdint>

#include "lacuna/kernels/cuda/group_rows.cuh"
#include "lacuna/kernels/cuda/line_tile.cuh"

namespace lacuna::cuda {

/// Group mass on Hopper: a warpgroup for every 64 groups of queries, one more that copies. Pieces are of 8 groups or a
/// multiple, so that a thread and its three neighbours hold them whole.
template <Storage T, int Dim>
struct GroupMassWgmmaTraits {
  using Element = T;
  static constexpr int dim = Dim, consumers = Dim == 256 ? 2 : 3, rows = consumers * 64, keys = Dim == 256 ? 64 : 128;
  static constexpr int stages = Dim == 64 ? 4 : 2, threads = (consumers + 1) * 128;
  static constexpr int producer_registers = 56, consumer_registers = Dim == 256 ? 216 : 152;
  static constexpr int tiles_per_block = 4;                                            // of keys
  static constexpr int query_bytes = 64 * 2 * Dim, keys_at = consumers * query_bytes;  // inside a stage
  static constexpr int stage_bytes = keys_at + keys * 2 * Dim, barriers_at = stages * stage_bytes;
  static constexpr int rows_at = barriers_at + 16 * stages;
  static constexpr std::int64_t smem_bytes = rows_at + 12 * rows;
};

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
/// Highest logit and sum of each piece of Chunks * 8 groups of keys, for the two rows of this thread.
template <class Traits, int Chunks>
__device__ __forceinline__ void write_pieces_of(GroupMassParameters<typename Traits::Element> const& p,
                                                float const (&logits)[Traits::keys / 2], std::int32_t const* rows,
                                                std::int32_t sequence, int row, std::int64_t at,
                                                std::int32_t first_key) {
#pragma unroll
  for (int part = 0; part < 2; ++part) {
    int const i = row + part * 8;
    std::int32_t const group = rows[i] == sequence ? rows[Traits::rows + i] : -1, oldest = rows[2 * Traits::rows + i];
#pragma unroll
    for (int first = 0; first < Traits::keys / 8; first += Chunks) {
      float peak = -INFINITY, sum = 0.0F;
      auto const each = [&](auto const& f) {
#pragma unroll
        for (int n = first; n < first + Chunks; ++n)
#pragma unroll
          for (int e = 0; e < 2; ++e) {
            std::int32_t const key = first_key + n * 8 + lane_id() % 4 * 2 + e;
            f(key > group || key < oldest ? -INFINITY : logits[n * 4 + part * 2 + e]);
          }
      };
      each([&](float x) { peak = fmaxf(peak, x); });
      peak = quad_max(peak);
      float const base = peak == -INFINITY ? 0.0F : peak;
      each([&](float x) { sum += exp2_fast(x - base); });
      sum = quad_sum(sum);
      std::int32_t const key = first_key + first * 8;
      if (key <= group && lane_id() % 4 == 0)
        p.masses[(at + part * 8) * p.sizes.pieces + key / (Chunks * 8)] = {peak, sum};
    }
  }
}
#endif

/// Grid: (tiles of key groups / tiles_per_block, tiles of the chunk's query groups, heads_q). Reads stride * dim
/// elements per group and tile, and writes 8 bytes per query group and piece.
template <class Traits>
__global__ void __launch_bounds__(Traits::threads, 1)
    group_mass_wgmma_kernel(__grid_constant__ GroupMassParameters<typename Traits::Element> const p) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  using T = typename Traits::Element;
  extern __shared__ __align__(1024) unsigned char group_lines[];
  std::uint32_t const lines = smem_address(group_lines);
  auto* const full = reinterpret_cast<std::uint64_t*>(group_lines + Traits::barriers_at);
  std::uint64_t* const empty = full + Traits::stages;
  auto* const rows = reinterpret_cast<std::int32_t*>(group_lines + Traits::rows_at);
  std::int32_t *const sequences = rows, *const groups = rows + Traits::rows, *const oldest = groups + Traits::rows;
  std::int32_t const first_tile = static_cast<std::int32_t>(blockIdx.x) * Traits::tiles_per_block;
  std::int32_t const row0 = static_cast<std::int32_t>(blockIdx.y) * Traits::rows;
  std::int32_t const head = static_cast<std::int32_t>(blockIdx.z), stride = p.sizes.stride;
  for (int i = static_cast<int>(threadIdx.x); i < Traits::rows; i += Traits::threads) {
    QueryGroup const query(p, row0 + i);
    sequences[i] = query.sequence;
    groups[i] = query.group;
    oldest[i] = query.oldest;
  }
  if (threadIdx.x == 0) {
    for (int stage = 0; stage < Traits::stages; ++stage) {
      barrier_init(&full[stage], 128);
      barrier_init(&empty[stage], Traits::consumers * 4);
    }
    barrier_init_done();
  }
  __syncthreads();
  int first_sequence = INT32_MAX, last_sequence = -1;
  for (int i = lane_id(); i < Traits::rows; i += 32)
    if (sequences[i] >= 0 && groups[i] >= first_tile * Traits::keys) {
      first_sequence = min(first_sequence, sequences[i]);
      last_sequence = max(last_sequence, sequences[i]);
    }
  first_sequence = warp_min(first_sequence);
  last_sequence = warp_max(last_sequence);
  auto const tiles_of = [&](std::int32_t sequence) {  // of this block, up to the last that a row sees
    std::int32_t last = -1;
    for (int i = lane_id(); i < Traits::rows; i += 32)
      if (sequences[i] == sequence) last = max(last, groups[i]);
    return min(warp_max(last) / Traits::keys + 1, first_tile + Traits::tiles_per_block);
  };

  int const part = warp_id() / 4;
  std::uint32_t slot = 0;
  if (part == Traits::consumers) {
    give_registers<Traits::producer_registers>();
    int const thread = static_cast<int>(threadIdx.x) % 128;
    std::uint32_t parity = 1;
    for (std::int32_t sequence = first_sequence; sequence <= last_sequence; ++sequence) {
      std::int32_t const len_k = p.problem.len_k(sequence, head / p.problem.group);
      std::int32_t const first_position = len_k - p.problem.len_q(sequence);
      std::int32_t const first_token = p.problem.first_query(sequence) - first_position;
      std::int32_t const end = tiles_of(sequence);
      for (std::int32_t tile = first_tile; tile < end; ++tile)
        for (int u = 0; u < stride; ++u) {
          barrier_wait(&empty[slot], parity);
          std::uint32_t const stage = lines + slot * Traits::stage_bytes;
          for (int of = 0; of < Traits::consumers; ++of)
            copy_lines<Traits::dim, 128>(
                stage + static_cast<std::uint32_t>(of * Traits::query_bytes), 64, thread, [&](int i) -> T const* {
                  int const row = of * 64 + i;
                  std::int32_t const position = (groups[row] + 1) * stride - 1 - u;
                  bool const there = sequences[row] == sequence && position >= first_position && position < len_k;
                  return there ? p.problem.query(first_token + position, head) : nullptr;
                });
          copy_lines<Traits::dim, 128>(stage + Traits::keys_at, Traits::keys, thread, [&](int i) -> T const* {
            std::int32_t const key = (tile * Traits::keys + i) * stride + u;
            return key < len_k ? p.problem.k + p.problem.offset(sequence, head / p.problem.group, key) : nullptr;
          });
          barrier_arrive_after_copies(&full[slot]);
          next_slot<Traits::stages>(slot, parity);
        }
    }
    wait_copy_groups<0>();
    return;
  }
  take_registers<Traits::consumer_registers>();
  int const row = part * 64 + warp_id() % 4 * 16 + lane_id() / 4;
  std::int64_t const at = std::int64_t{head} * p.chunk_rows * p.sizes.per_block + row0 + row;
  std::uint32_t parity = 0;
  float const share = 1.0F / static_cast<float>(stride);
  for (std::int32_t sequence = first_sequence; sequence <= last_sequence; ++sequence) {
    std::int32_t const end = tiles_of(sequence);
    for (std::int32_t tile = first_tile; tile < end; ++tile) {
      float sums[Traits::keys / 2];
      for (int u = 0; u < stride; ++u) {
        barrier_wait(&full[slot], parity);
        fence_async_proxy();
        std::uint32_t const stage = lines + slot * Traits::stage_bytes;
        multiply_lines<T, Traits::dim, Traits::keys>(stage + static_cast<std::uint32_t>(part * Traits::query_bytes),
                                                     stage + Traits::keys_at, sums, u > 0);
        __syncwarp();
        if (lane_id() == 0) barrier_arrive(&empty[slot]);
        next_slot<Traits::stages>(slot, parity);
      }
#pragma unroll
      for (float& x : sums) x *= share;
      make_logits(p.problem, sums);
      std::int32_t const first_key = tile * Traits::keys;
      switch (p.sizes.piece) {
        case 8: write_pieces_of<Traits, 1>(p, sums, rows, sequence, row, at, first_key); break;
        case 16: write_pieces_of<Traits, 2>(p, sums, rows, sequence, row, at, first_key); break;
        case 32: write_pieces_of<Traits, 4>(p, sums, rows, sequence, row, at, first_key); break;
        default: write_pieces_of<Traits, 8>(p, sums, rows, sequence, row, at, first_key); break;
      }
    }
  }
#endif
}

/// Whether pieces are such that the kernel serves them.
inline bool group_mass_wgmma_serves(GroupSizes const& sizes) {
  return sizes.piece == 8 || sizes.piece == 16 || sizes.piece == 32 || sizes.piece == 64;
}

}  // namespace lacuna::cuda
