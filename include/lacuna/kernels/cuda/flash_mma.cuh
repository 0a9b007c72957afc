#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "lacuna/core/batch_problem.hpp"
#include "lacuna/kernels/cuda/flash_mma_rows.cuh"
#include "lacuna/kernels/cuda/launch.cuh"
#include "lacuna/kernels/cuda/primitives/answer.cuh"
#include "lacuna/kernels/cuda/primitives/async_copy.cuh"
#include "lacuna/kernels/cuda/primitives/sequence.cuh"
#include "lacuna/kernels/cuda/primitives/warp.cuh"

namespace lacuna::cuda {

// Attention of blocks of queries over whatever keys an index names, on sm_80: rows of keys are gathered one by one with
// cp.async, so that pages, blocks, tiles at any offset, columns and bands are one loader with different indices.

/// RowTiles: times 16 rows a warp. With two of them every operand of keys and values is read half as often from shared
/// memory, which is what bounds this kernel; with one, lists of up to 64 rows waste less.
template <class Element, int Dim, int RowTiles>
struct FlashMmaTraits {
  using T = Element;
  static constexpr int dim = Dim, row_tiles = RowTiles, warps = 4, threads = 32 * warps, rows = 16 * RowTiles * warps;
  static constexpr int keys = RowTiles > 1 || Dim > 128 ? 32 : 64, stages = 2, blocks_per_sm = 2;  // more would spill
  static constexpr bool queries_in_registers = Dim * RowTiles <= 128;
  static constexpr int query_bytes = rows * Dim * 2, tile_bytes = keys * Dim * 2;
  static constexpr int tiles_bytes = query_bytes + 2 * stages * tile_bytes;
  // Of three key tiles: one that is computed with, one that is copied, one that is looked up.
  static constexpr int looked_up = 3;
  static constexpr int smem_bytes = tiles_bytes + looked_up * keys * 12;
};

inline constexpr std::int32_t kNoKey = std::numeric_limits<std::int32_t>::max();  // after every query: always masked

/// Which queries share a list of keys: `positions` neighbours of `heads` neighbouring query heads, in chunks of
/// Traits::rows.
struct FlashRows {
  std::int32_t positions, heads, chunks, blocks;  // blocks: the most that a sequence has

  FlashRows(std::int64_t positions, std::int64_t heads, std::int64_t blocks, int chunk_rows)
      : positions(static_cast<std::int32_t>(positions)),
        heads(static_cast<std::int32_t>(heads)),
        chunks(static_cast<std::int32_t>((positions * heads + chunk_rows - 1) / chunk_rows)),
        blocks(static_cast<std::int32_t>(blocks)) {}
};

/// Blocks of `block_tokens` positions, counted from the sequence's start, that `queries` neighbouring queries touch.
constexpr std::int64_t most_blocks(std::int64_t queries, std::int64_t block_tokens) {
  return queries == 0 ? 0 : (queries + block_tokens - 2) / block_tokens + 1;
}

/// The rows of one thread block: row i is query head first_head + i / positions at block_begin + i % positions.
struct FlashTile {
  std::int32_t sequence, list, block, head_kv, len_q, len_k;
  std::int32_t block_begin, first_row, rows_end;  // rows of the chunk

  template <class T, class Index>
  __device__ FlashTile(DeviceProblem<T> const& p, Index const& index, FlashRows const& rows, int chunk_rows)
      : sequence(static_cast<std::int32_t>(blockIdx.z)),
        list(static_cast<std::int32_t>(blockIdx.y)),
        // The last blocks have the most keys: they begin first.
        block(rows.blocks - 1 - static_cast<std::int32_t>(blockIdx.x) / rows.chunks),
        head_kv(list * rows.heads / p.group),
        len_q(p.len_q(sequence)),
        len_k(p.len_k(sequence, head_kv)),
        block_begin(index.block_begin(block, rows.positions, len_k - len_q)),
        first_row(static_cast<std::int32_t>(blockIdx.x) % rows.chunks * chunk_rows),
        rows_end(min(first_row + chunk_rows, rows.positions * rows.heads)) {}

  __device__ bool empty() const { return block_begin >= len_k || len_q == 0; }
  __device__ std::int32_t head(FlashRows const& rows, std::int32_t row) const {
    return list * rows.heads + row / rows.positions;
  }
  /// Where the row's query stands; -1 where there is none.
  __device__ std::int32_t position(FlashRows const& rows, std::int32_t row) const {
    std::int32_t const at = block_begin + row % rows.positions;
    return row < rows_end && at >= len_k - len_q && at < len_k ? at : -1;
  }
  __device__ std::int32_t first_position() const { return max(block_begin, len_k - len_q); }
  __device__ std::int32_t last_position(FlashRows const& rows) const {
    return min(block_begin + rows.positions, len_k) - 1;
  }
};

/// Eight elements, or zeros, one by one: for rows without 16-byte alignment.
template <class T>
__device__ void copy_chunk_slowly(std::uint32_t to_smem, T const* from, bool present) {
  std::uint32_t words[4] = {};
  if (present)
#pragma unroll
    for (int i = 0; i < 4; ++i) words[i] = from[2 * i].bits | static_cast<std::uint32_t>(from[2 * i + 1].bits) << 16;
  asm volatile("st.shared.v4.b32 [%0], {%1,%2,%3,%4};" ::"r"(to_smem), "r"(words[0]), "r"(words[1]), "r"(words[2]),
               "r"(words[3])
               : "memory");
}

/// The key rows of one tile, looked up once and read by the copies and by the masks.
template <class Traits>
struct KeyRows {
  std::int64_t offset[Traits::looked_up][Traits::keys];    // in elements; negative: no such key
  std::int32_t position[Traits::looked_up][Traits::keys];  // kNoKey where there is none
};

/// Rows of `Traits::dim` elements from base + offsets[row], zeros where an offset is negative.
template <class Traits, int Rows>
__device__ __forceinline__ void copy_rows(typename Traits::T const* base, std::int64_t const (&offsets)[Rows],
                                          std::uint32_t tile, bool aligned) {
  constexpr int chunks = Traits::dim / 8, at_once = Traits::threads / chunks;
  int const first = static_cast<int>(threadIdx.x) / chunks, chunk = static_cast<int>(threadIdx.x) % chunks;
  auto const from = [&](std::int64_t offset) { return base + (offset < 0 ? 0 : offset + chunk * 8); };
  if (aligned) {
#pragma unroll
    for (int i = 0; i < Rows; ++i)
      copy16_or_zero(tile + chunk_offset<Rows * at_once>(first + i * at_once, chunk), from(offsets[i]),
                     offsets[i] < 0 ? 0 : 16);
  } else {
#pragma unroll
    for (int i = 0; i < Rows; ++i)
      copy_chunk_slowly(tile + chunk_offset<Rows * at_once>(first + i * at_once, chunk), from(offsets[i]),
                        offsets[i] >= 0);
  }
}

/// Grid: (blocks x chunks, lists, sequences). A block owns up to 64 rows that share one list of keys; it reads them
/// once, 4 dim bytes a key, and writes its rows of the answer. Index: block_begin() as above, and
/// keys(problem, tile, rows) that has count, at(i) (ascending; kNoKey allowed) and sees(query, key).
template <class Traits, class Index>
__global__ void __launch_bounds__(Traits::threads, Traits::blocks_per_sm)
    flash_mma_kernel(DeviceProblem<typename Traits::T> const p, DeviceAnswer<typename Traits::T> const answer,
                     Index const index, FlashRows const rows, bool const aligned) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
  using T = typename Traits::T;
  constexpr int dim = Traits::dim, tile_keys = Traits::keys;
  extern __shared__ __align__(1024) unsigned char smem[];
  FlashTile const tile(p, index, rows, Traits::rows);
  if (tile.empty()) return;
  std::uint32_t const queries = smem_address(smem), keys_at = queries + Traits::query_bytes,
                      values_at = keys_at + Traits::stages * Traits::tile_bytes;
  auto& key_rows = *reinterpret_cast<KeyRows<Traits>*>(smem + Traits::tiles_bytes);
  int const thread = static_cast<int>(threadIdx.x), lane = lane_id(), warp = warp_id();
  std::int32_t const first_token = p.first_query(tile.sequence) - (tile.len_k - tile.len_q);

  constexpr int copied_at_once = Traits::threads / (dim / 8);
  int const copied_first = thread / (dim / 8);
  std::int64_t query_offsets[Traits::rows / copied_at_once];
#pragma unroll
  for (int i = 0; i < Traits::rows / copied_at_once; ++i) {
    std::int32_t const row = tile.first_row + copied_first + i * copied_at_once, at = tile.position(rows, row);
    query_offsets[i] = at < 0 ? -1 : p.query(first_token + at, tile.head(rows, row)) - p.q;
  }
  copy_rows<Traits>(p.q, query_offsets, queries, aligned);
  close_copy_group();

  auto const keys = index.keys(p, tile, rows);
  std::int32_t const tiles = (keys.count + tile_keys - 1) / tile_keys, last_position = tile.last_position(rows);
  struct Looked {
    std::int64_t offset;
    std::int32_t position;
  };
  auto const look_up = [&](std::int32_t t) {
    std::int32_t const i = t * tile_keys + thread;
    Looked found{-1, kNoKey};
    if (thread < tile_keys && i < keys.count) found.position = keys.at(i);
    if (found.position > last_position) found.position = kNoKey;
    if (found.position != kNoKey) found.offset = p.offset(tile.sequence, tile.head_kv, found.position);
    return found;
  };
  auto const note = [&](std::int32_t t, Looked const& found) {
    if (thread >= tile_keys) return;
    key_rows.offset[t % Traits::looked_up][thread] = found.offset;
    key_rows.position[t % Traits::looked_up][thread] = found.position;
  };
  auto const copy = [&](std::int32_t t) {
    std::uint32_t const stage = t % Traits::stages * Traits::tile_bytes;
    if (t < tiles) {
      std::int64_t offsets[tile_keys / copied_at_once];
#pragma unroll
      for (int i = 0; i < tile_keys / copied_at_once; ++i)
        offsets[i] = key_rows.offset[t % Traits::looked_up][copied_first + i * copied_at_once];
      copy_rows<Traits>(p.k, offsets, keys_at + stage, aligned);
      copy_rows<Traits>(p.v, offsets, values_at + stage, aligned);
    }
    close_copy_group();
  };
  note(0, look_up(0));
  note(1, look_up(1));
  __syncthreads();
  copy(0);

  // Of each 16 rows this lane holds parts of two; the warp's rows span the positions from oldest to newest.
  constexpr int row_tiles = Traits::row_tiles;
  int const row = tile.first_row + warp * 16 * row_tiles + lane / 4;
  std::int32_t position[row_tiles][2], newest = -1, oldest = kNoKey;
#pragma unroll
  for (int m = 0; m < row_tiles; ++m)
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      std::int32_t const at = position[m][r] = tile.position(rows, row + 16 * m + 8 * r);
      newest = max(newest, at);
      if (at >= 0) oldest = min(oldest, at);
    }
  newest = __reduce_max_sync(kAllLanes, newest);
  oldest = __reduce_min_sync(kAllLanes, oldest);
  bool const plain = p.soft_cap == 0.0F && p.scale > 0.0F;
  float const scale_log2 = plain ? p.scale * kLog2E : 1.0F;

  RowSums<T, dim> sums[row_tiles];
  wait_copy_groups<1>();
  __syncthreads();
  using Queries = QueryRows<dim, Traits::rows, Traits::queries_in_registers>;
  Queries query_rows[row_tiles];
#pragma unroll
  for (int m = 0; m < row_tiles; ++m) query_rows[m].load(queries, (warp * row_tiles + m) * 16);

  for (std::int32_t t = 0; t < tiles; ++t) {
    wait_copy_groups<0>();
    __syncthreads();  // tile t is there, and nobody computes with tile t - 1 any more
    copy(t + 1);
    Looked const found = look_up(t + 2);
    std::int32_t const* const key_position = key_rows.position[t % Traits::looked_up];

    std::int32_t first_key = kNoKey, last_key = 0;
#pragma unroll
    for (int i = 0; i < tile_keys / 32; ++i) {
      first_key = min(first_key, key_position[lane + 32 * i]);
      last_key = max(last_key, key_position[lane + 32 * i]);
    }
    first_key = __reduce_min_sync(kAllLanes, first_key);
    last_key = __reduce_max_sync(kAllLanes, last_key);
    bool const too_old = last_key != kNoKey && oldest - last_key >= p.window_tokens;
    if (first_key <= newest && !too_old) {  // else no row of this warp sees any key of the tile
      std::uint32_t const stage = t % Traits::stages * Traits::tile_bytes;
      float s[row_tiles][tile_keys / 8][4];
      multiply_keys<T, dim>(s, query_rows, keys_at + stage);
      bool const masked =
          last_key > oldest || !keys.all_see(first_key, last_key, newest) || newest - first_key >= p.window_tokens;
#pragma unroll
      for (int m = 0; m < row_tiles; ++m) {
        if (masked || !plain)
#pragma unroll
          for (int n = 0; n < tile_keys / 8; ++n)
#pragma unroll
            for (int i = 0; i < 4; ++i) {
              if (!plain) s[m][n][i] = capped_log2(s[m][n][i], p.scale, p.soft_cap);
              std::int32_t const key = key_position[8 * n + lane % 4 * 2 + i % 2], query = position[m][i / 2];
              if (!(key <= query && query - key < p.window_tokens && keys.sees(query, key)))
                s[m][n][i] = kMinusInfinity;
            }
        float above[2];
        sums[m].highest_here(above, s[m], scale_log2);
        if (sums[m].outgrown(above)) sums[m].grow_to(above);
        sums[m].weigh(s[m], scale_log2);
      }
      add_values<T, dim>(sums, s, values_at + stage);
    }
    note(t + 2, found);
  }

#pragma unroll
  for (int m = 0; m < row_tiles; ++m)
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      std::int32_t const at = position[m][r], head = tile.head(rows, row + 16 * m + 8 * r);
      float const sink = at >= 0 && p.sink_logits != nullptr ? p.sink_logits[head] * kLog2E : kMinusInfinity;
      float const lse = sums[m].finish(r, sink);
      if (at < 0) continue;
      if (lane % 4 == 0) answer.set_lse(first_token + at, head, lse);
      T* const out = answer.row(first_token + at, head) + lane % 4 * 2;
#pragma unroll
      for (int n = 0; n < dim / 8; ++n) {
        std::uint32_t const pair = pack2<T>(sums[m].values[n][2 * r], sums[m].values[n][2 * r + 1]);
        if (aligned) {
          *reinterpret_cast<std::uint32_t*>(out + n * 8) = pair;
        } else {
          out[n * 8].bits = static_cast<std::uint16_t>(pair);
          out[n * 8 + 1].bits = static_cast<std::uint16_t>(pair >> 16);
        }
      }
    }
#endif
}

/// Whether rows of queries, keys, values and answers all begin at multiples of 16 bytes.
template <class T>
bool rows_are_aligned(BatchProblem<T> const& p, AttentionOut<T> const& out) {
  auto const address = [](void const* x) { return static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(x)) / 2; };
  std::int64_t const bits = address(p.q.data) | address(p.kv.k) | address(p.kv.v) | address(out.out.data) |
                            p.q.stride(0) | p.q.stride(1) | p.kv.stride_head | p.kv.stride_token | p.kv.stride_page |
                            out.out.stride(0) | out.out.stride(1);
  return bits % 8 == 0;
}

template <class Traits, class Index>
Status launch_flash_mma(Cuda exec, BatchProblem<typename Traits::T> const& problem,
                        AttentionOut<typename Traits::T> const& out, Index const& index, FlashRows const& rows) {
  if (problem.batch == 0 || problem.tokens_q() == 0 || rows.blocks == 0) return {};
  dim3 const grid(static_cast<unsigned>(rows.blocks * rows.chunks),
                  static_cast<unsigned>(problem.heads_q() / rows.heads), static_cast<unsigned>(problem.batch));
  return launch(exec, grid, dim3(Traits::threads), Traits::smem_bytes, flash_mma_kernel<Traits, Index>,
                DeviceProblem<typename Traits::T>(problem), DeviceAnswer<typename Traits::T>(out), index, rows,
                rows_are_aligned(problem, out));
}

/// f.operator()<Dim>() for a head size that kernels are compiled for.
template <class F>
Status for_dim(std::int64_t dim, F&& f) {
  switch (dim) {
    case 64: return f.template operator()<64>();
    case 128: return f.template operator()<128>();
    case 256: return f.template operator()<256>();
    default: return Status::invalid("cuda: dim must be 64, 128 or 256", dim, 128);
  }
}

/// The kernel for blocks of `positions` queries of `heads` neighbouring heads that share a list of keys.
template <class T, class Index>
Status attend_gathered(Cuda exec, BatchProblem<T> const& problem, AttentionOut<T> const& out, Index const& index,
                       std::int64_t positions, std::int64_t heads, std::int64_t blocks) {
  return for_dim(problem.dim(), [&]<int Dim>() {
    if constexpr (Dim <= 128) {
      using Wide = FlashMmaTraits<T, Dim, 2>;
      if (positions * heads >= Wide::rows)
        return launch_flash_mma<Wide>(exec, problem, out, index, {positions, heads, blocks, Wide::rows});
    }
    using Narrow = FlashMmaTraits<T, Dim, 1>;
    return launch_flash_mma<Narrow>(exec, problem, out, index, {positions, heads, blocks, Narrow::rows});
  });
}

/// The same for blocks that begin with the first query: 128 queries of a head, or as many as fill 64 rows together with
/// all heads of a group where there are so few.
template <class T, class Index>
Status attend_gathered(Cuda exec, BatchProblem<T> const& problem, AttentionOut<T> const& out, Index const& index) {
  std::int64_t const heads = problem.max_len_q * problem.group() <= 64 ? problem.group() : 1;
  std::int64_t const positions = heads > 1 ? 64 / heads : problem.max_len_q <= 64 ? 64 : 128;
  return attend_gathered(exec, problem, out, index, positions, heads, (problem.max_len_q + positions - 1) / positions);
}

}  // namespace lacuna::cuda
