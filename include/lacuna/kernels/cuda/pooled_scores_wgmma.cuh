#pragma once

#include <algorithm>
#include <cstdint>

#include "lacuna/kernels/cuda/block_rows.cuh"
#include "lacuna/kernels/cuda/launch.cuh"
#include "lacuna/kernels/cuda/line_tile.cuh"

namespace lacuna::cuda {

struct PooledScoresParameters {
  BlockRows rows;
  bfloat16 const* queries;  // [heads_q, query_rows, 2, dim]
  bfloat16 const* keys;     // [batch * heads_kv, key_blocks, 2, dim]
  float* scores;
  std::int64_t stride_head, stride_row;
  std::int32_t query_rows, key_blocks, heads_kv, group, first_row, chunk_rows;
};

/// Pooled scores on Hopper. Two warpgroups multiply 64 pooled queries each, neighbouring rows of one head, by the same
/// pooled keys, which a third one copies. The scores of one tile are stored while the next is multiplied.
template <int Dim>
struct PooledScoresWgmmaTraits {
  static constexpr int dim = Dim, consumers = 2, rows = consumers * 64;
  static constexpr int keys = Dim == 256 ? 32 : 128, stages = Dim == 256 ? 3 : 2;
  static constexpr int threads = (consumers + 1) * 128;
  static constexpr int producer_registers = 56, consumer_registers = 216;
  static constexpr int row_bytes = 4 * Dim;  // a pooled vector: high halves, then low ones
  static constexpr int keys_at = rows * row_bytes, stage_bytes = keys * row_bytes;
  static constexpr int barriers_at = keys_at + stages * stage_bytes, found_at = barriers_at + 16 * stages;
  static constexpr std::int64_t smem_bytes = found_at + 12 * rows;
};

/// What the rows of a block are: which sequence's (-1: none), up to which key block they see, and from which on.
template <class Traits>
struct PooledRows {
  std::int32_t sequence[Traits::rows], candidates[Traits::rows], oldest[Traits::rows];

  /// The most candidates of any row of a sequence; every lane has it.
  __device__ std::int32_t most(std::int32_t of_sequence) const {
    std::int32_t found = 0;
    for (int i = lane_id(); i < Traits::rows; i += 32)
      if (sequence[i] == of_sequence) found = max(found, candidates[i]);
    return warp_max(found);
  }
};

/// The tiles of keys that a block multiplies for one sequence: its share of those that some row sees.
struct KeyTiles {
  std::int32_t begin, end;
  __device__ KeyTiles(std::int32_t candidates, std::int32_t keys) {
    std::int32_t const tiles = (candidates + keys - 1) / keys, shares = static_cast<std::int32_t>(gridDim.x);
    begin = tiles * static_cast<std::int32_t>(blockIdx.x) / shares;
    end = tiles * (static_cast<std::int32_t>(blockIdx.x) + 1) / shares;
  }
};

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
/// One warpgroup of consumers: 64 rows of one head.
template <class Traits>
class PooledScoresConsumer {
 public:
  using Sums = float[Traits::keys / 2];

  __device__ PooledScoresConsumer(PooledScoresParameters const& p, unsigned char* memory, int group, float* out,
                                  bool there)
      : p_(p),
        found_(*reinterpret_cast<PooledRows<Traits> const*>(memory + Traits::found_at)),
        full_(reinterpret_cast<std::uint64_t*>(memory + Traits::barriers_at)),
        queries_(smem_address(memory) + static_cast<std::uint32_t>(group * 64 * Traits::row_bytes)),
        keys_(smem_address(memory) + Traits::keys_at),
        row_(group * 64 + warp_id() % 4 * 16 + lane_id() / 4),
        out_(out),
        there_(there) {}

  __device__ void run(std::int32_t sequence, KeyTiles const tiles) {
    if (tiles.begin >= tiles.end) return;
    Sums even, odd;
    std::int32_t tile = tiles.begin;
    begin(even);
    finish(even);
    while (true) {
      if (tile + 1 == tiles.end) return store(even, sequence, tile);
      begin(odd);
      store(even, sequence, tile++);
      finish(odd);
      if (tile + 1 == tiles.end) return store(odd, sequence, tile);
      begin(even);
      store(odd, sequence, tile++);
      finish(even);
    }
  }

 private:
  /// High x high, high x low, low x high. What low x low would add is below 2^-17 of the products.
  __device__ __forceinline__ void begin(Sums& sums) {
    barrier_wait(&full_[slot_], parity_);
    fence_async_proxy();
    constexpr int kLowRow = Traits::dim / 64 * (64 * 128), kLowKey = Traits::dim / 64 * (Traits::keys * 128);
    std::uint64_t const a = matrix_descriptor(queries_, 1024, 0);
    std::uint64_t const b = matrix_descriptor(keys_ + slot_ * Traits::stage_bytes, 1024, 0);
    products_begin();
#pragma unroll
    for (int product = 0; product < 3; ++product)
#pragma unroll
      for (int k = 0; k < Traits::dim / 16; ++k)
        Wgmma<bfloat16>::template multiply<false>(
            sums, advanced(a, k % 4 * 32 + k / 4 * (64 * 128) + (product == 2 ? kLowRow : 0)),
            advanced(b, k % 4 * 32 + k / 4 * (Traits::keys * 128) + (product == 1 ? kLowKey : 0)),
            product > 0 || k > 0);
    products_close();
  }
  __device__ __forceinline__ void finish(Sums& sums) {
    wait_products<0>();
    settle(sums);
    __syncwarp();
    if (lane_id() == 0) barrier_arrive(&full_[Traits::stages + slot_]);
    next_slot<Traits::stages>(slot_, parity_);
  }
  __device__ __forceinline__ void store(Sums const& sums, std::int32_t sequence, std::int32_t tile) const {
    std::int32_t const first = tile * Traits::keys;
#pragma unroll
    for (int part = 0; part < 2; ++part) {
      int const i = row_ + part * 8;
      if (!there_ || found_.sequence[i] != sequence) continue;
      std::int32_t const end = found_.candidates[i] - first, oldest = found_.oldest[i] - first;
      float* const row = out_ + i % 64 * p_.stride_row + first;
      bool const whole = end >= Traits::keys && oldest <= 0;
#pragma unroll
      for (int n = 0; n < Traits::keys / 8; ++n) {
        int const at = n * 8 + lane_id() % 4 * 2;
        float low = sums[n * 4 + part * 2], high = sums[n * 4 + part * 2 + 1];
        if (whole) {
          *reinterpret_cast<float2*>(row + at) = {low, high};
          continue;
        }
        if (at < oldest) low = -INFINITY;
        if (at + 1 < oldest) high = -INFINITY;
        if (at < end) row[at] = low;
        if (at + 1 < end) row[at + 1] = high;
      }
    }
  }

  PooledScoresParameters const& p_;
  PooledRows<Traits> const& found_;
  std::uint64_t* const full_;
  std::uint32_t const queries_, keys_;
  int const row_;
  float* const out_;
  bool const there_;
  std::uint32_t slot_ = 0, parity_ = 0;
};
#endif

/// Grid: (shares of the keys, pairs of (64 rows, head of the group), heads_kv). A block owns 64 rows of each of two
/// heads, or twice as many of one, and its share of the keys that they see. Reads 4 * dim bytes per query row and key,
/// writes 4 bytes per score.
template <class Traits>
__global__ void __launch_bounds__(Traits::threads, 1)
    pooled_scores_wgmma_kernel(__grid_constant__ PooledScoresParameters const p) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ __align__(1024) unsigned char pooled_lines[];
  std::uint32_t const queries = smem_address(pooled_lines);
  auto* const full = reinterpret_cast<std::uint64_t*>(pooled_lines + Traits::barriers_at);
  auto& found = *reinterpret_cast<PooledRows<Traits>*>(pooled_lines + Traits::found_at);
  std::int32_t const head_kv = static_cast<std::int32_t>(blockIdx.z);
  std::int32_t const units = (p.chunk_rows + 63) / 64 * p.group;
  auto const unit = [&](int part) { return static_cast<std::int32_t>(blockIdx.y) * Traits::consumers + part; };
  auto const slot_of = [&](int part, int i) { return unit(part) / p.group * 64 + i; };  // of the chunk
  auto const head_of = [&](int part) { return head_kv * p.group + unit(part) % p.group; };
  for (int i = static_cast<int>(threadIdx.x); i < Traits::rows; i += Traits::threads) {
    std::int32_t const slot = slot_of(i / 64, i % 64);
    BlockRows::Row row{};
    if (unit(i / 64) < units && slot < p.chunk_rows) row = p.rows.find(p.first_row + slot);
    found.sequence[i] = row.there ? row.sequence : -1;
    found.candidates[i] = row.candidates();
    found.oldest[i] = row.oldest;
  }
  if (threadIdx.x == 0) {
    for (int stage = 0; stage < Traits::stages; ++stage) {
      barrier_init(&full[stage], 128);
      barrier_init(&full[Traits::stages + stage], Traits::consumers * 4);
    }
    barrier_init_done();
  }
  for (int part = 0; part < Traits::consumers; ++part)
    copy_lines<2 * Traits::dim, Traits::threads / 128 * 128>(
        queries + static_cast<std::uint32_t>(part * 64 * Traits::row_bytes), 64, static_cast<int>(threadIdx.x),
        [&](int i) -> bfloat16 const* {
          std::int32_t const slot = slot_of(part, i);
          if (unit(part) >= units || slot >= p.chunk_rows) return nullptr;
          return p.queries + (std::int64_t{head_of(part)} * p.query_rows + p.first_row + slot) * 2 * Traits::dim;
        });
  close_copy_group();
  wait_copy_groups<0>();
  __syncthreads();
  std::int32_t first_sequence = INT32_MAX, last_sequence = -1;
  for (int i = lane_id(); i < Traits::rows; i += 32)
    if (found.sequence[i] >= 0) {
      first_sequence = min(first_sequence, found.sequence[i]);
      last_sequence = max(last_sequence, found.sequence[i]);
    }
  first_sequence = warp_min(first_sequence);
  last_sequence = warp_max(last_sequence);
  int const group = warp_id() / 4;
  if (group == Traits::consumers) {
    give_registers<Traits::producer_registers>();
    std::uint32_t slot = 0, parity = 1;
    for (std::int32_t sequence = first_sequence; sequence <= last_sequence; ++sequence) {
      std::int32_t const most = found.most(sequence);
      KeyTiles const tiles(most, Traits::keys);
      bfloat16 const* const keys =
          p.keys + (std::int64_t{sequence} * p.heads_kv + head_kv) * p.key_blocks * 2 * Traits::dim;
      for (std::int32_t tile = tiles.begin; tile < tiles.end; ++tile) {
        barrier_wait(&full[Traits::stages + slot], parity);
        copy_lines<2 * Traits::dim, 128>(queries + Traits::keys_at + slot * Traits::stage_bytes, Traits::keys,
                                         static_cast<int>(threadIdx.x) % 128, [&](int i) -> bfloat16 const* {
                                           std::int32_t const key = tile * Traits::keys + i;
                                           return key < most ? keys + std::int64_t{key} * 2 * Traits::dim : nullptr;
                                         });
        barrier_arrive_after_copies(&full[slot]);
        next_slot<Traits::stages>(slot, parity);
      }
    }
    wait_copy_groups<0>();
  } else {
    take_registers<Traits::consumer_registers>();
    bool const there = unit(group) < units;
    float* const out = p.scores + head_of(group) * p.stride_head + slot_of(group, 0) * p.stride_row;
    PooledScoresConsumer<Traits> consumer(p, pooled_lines, group, out, there);
    for (std::int32_t sequence = first_sequence; sequence <= last_sequence; ++sequence)
      consumer.run(sequence, KeyTiles(found.most(sequence), Traits::keys));
  }
#endif
}

/// As many shares of the keys as fill the device once, or several times where rows alone already do.
template <class Traits>
Status launch_pooled_scores_wgmma(Cuda exec, PooledScoresParameters const& p) {
  int device = 0, processors = 1;
  if (cudaGetDevice(&device) == cudaSuccess)
    cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device);
  std::int32_t const pairs = ((p.chunk_rows + 63) / 64 * p.group + Traits::consumers - 1) / Traits::consumers;
  std::int32_t const blocks = pairs * p.heads_kv, tiles = (p.key_blocks + Traits::keys - 1) / Traits::keys;
  std::int32_t const shares = blocks <= processors ? processors / blocks : 4 * processors / blocks;
  dim3 const grid(static_cast<unsigned>(std::clamp(shares, 1, std::max(tiles, 1))), static_cast<unsigned>(pairs),
                  static_cast<unsigned>(p.heads_kv));
  return launch(exec, grid, Traits::threads, Traits::smem_bytes, pooled_scores_wgmma_kernel<Traits>, p);
}

}  // namespace lacuna::cuda
