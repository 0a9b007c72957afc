#pragma once

#include <cstdint>

#include "lacuna/kernels/cuda/page_plan.cuh"
#include "lacuna/kernels/cuda/primitives/async_copy.cuh"
#include "lacuna/kernels/cuda/primitives/mma.cuh"
#include "lacuna/kernels/cuda/primitives/warp.cuh"

namespace lacuna::cuda {

/// Tall: all 16 rows of a product are in use, else the first 8.
template <class Element, int Dim, bool Tall>
struct AttendPagesTraits {
  using T = Element;
  static constexpr int dim = Dim, rows = Tall ? 16 : 8;
  static constexpr int warps = Dim > 128 ? 2 : 4, threads = 32 * warps;
  static constexpr int stages = Dim == 64 ? 6 : 3;            // 96 KB a block: two fit an SM of 228 KB
  static constexpr int pieces = Dim / 8;                      // of 16 bytes in a row of k or v
  static constexpr int tile_bytes = kChunkTokens * Dim * 2;   // 16 rows of k, or of v
  static constexpr int ring_bytes = stages * 2 * tile_bytes;  // a warp's own
  static constexpr int smem_bytes = warps * ring_bytes;
  static constexpr int pitch = Dim + 8;  // floats between rows that warps merge
  static constexpr int parts = 264;      // whatever the device: bits must not depend on it
  static_assert(rows * (pitch + 2) * 4 <= ring_bytes, "a warp leaves its sums in its own ring");
};

/// One warp's running answer: lane 4 g + t holds of rows g and g + 8 the channels 8 c + 2t, 2t+1. Base 2.
template <class Traits>
struct WarpState {
  float out[Traits::dim / 8][4];
  float highest[2], sum[2];
};

/// 16-byte piece `piece` of row `row` of a tile: halves of 64 channels, each row's pieces permuted against conflicts.
__device__ __forceinline__ std::uint32_t piece_offset(int row, int piece) {
  return static_cast<std::uint32_t>((piece >> 3) * (kChunkTokens * 128) + row * 128 + (((piece ^ row) & 7) << 4));
}

/// Where a warp stands in its share of a row's tokens. List entry, page table and keys depend on each other, so that
/// each is read one chunk ahead of the next: no load waits for the one before it in the same step. Lanes j and j + 16
/// look after token j of a chunk.
template <class T>
struct ChunkWalk {
  PageRows<T> const& rows;
  PageRow const& row;
  std::int32_t const* list;
  std::int64_t next, end, step;  // chunks: the one whose list entry is read next
  std::int32_t token_ahead = -1, token = -1;
  std::int32_t page = 0;
  std::int32_t entry = -1;

  __device__ ChunkWalk(PageRows<T> const& rows, PageRow const& row, std::int64_t first, std::int64_t end, int step)
      : rows(rows), row(row), list(rows.list(row)), next(first), end(end), step(step) {
    advance();
    advance();
  }

  /// After this `token` is that of the chunk which was ahead, and `page` its entry of the page table.
  __device__ void advance() {
    token = token_ahead;
    if (token >= 0 && rows.problem.page_table != nullptr)
      page = rows.problem.page_table[row.sequence * rows.problem.table_stride_sequence +
                                     row.head_kv * rows.problem.table_stride_head + token / rows.problem.page_tokens];
    token_ahead = -1;
    if (next < end) {
      std::int64_t const place = next * kChunkTokens + (lane_id() & 15);
      std::int64_t at = place + row.start;
      if (list != nullptr && place < row.tokens) {
        std::int32_t const unit = static_cast<std::int32_t>(place / rows.unit_tokens);
        at = std::int64_t{list[unit]} * rows.unit_tokens + place % rows.unit_tokens;
      }
      token_ahead = place < row.tokens && at >= row.oldest && at < row.len_k ? static_cast<std::int32_t>(at) : -1;
    }
    next += step;
  }

  /// Elements from the beginning of k and of v.
  __device__ std::int64_t offset() const {
    DeviceProblem<T> const& p = rows.problem;
    if (p.page_table == nullptr) {
      std::int64_t const first = p.first_token != nullptr ? p.first_token[row.sequence] : 0;
      return row.head_kv * p.stride_head + (first + token) * p.stride_token;
    }
    return page * p.stride_page + row.head_kv * p.stride_head + token % p.page_tokens * p.stride_token;
  }
};

/// Starts copying the walk's chunk into a stage. Tokens that do not exist become zeros, and are named -1.
template <class Traits>
__device__ __forceinline__ void copy_chunk(ChunkWalk<typename Traits::T> const& walk, std::uint32_t stage,
                                           std::int32_t* tokens) {
  using T = typename Traits::T;
  std::int64_t const own = walk.token >= 0 ? walk.offset() : -1;
  if (lane_id() < kChunkTokens) tokens[lane_id()] = walk.token;
  constexpr int kRowsAtOnce = 32 / Traits::pieces > 0 ? 32 / Traits::pieces : 1;
  constexpr int kPiecesAtOnce = Traits::pieces < 32 ? Traits::pieces : 32;
  int const sub_row = lane_id() / kPiecesAtOnce, piece = lane_id() % kPiecesAtOnce;
#pragma unroll
  for (int i = 0; i < kChunkTokens; i += kRowsAtOnce) {
    std::int64_t const from = __shfl_sync(kAllLanes, own, i + sub_row);
    std::uint32_t const to = stage + piece_offset(i + sub_row, piece);
    std::int64_t const at = from >= 0 ? from + piece * 8 : 0;
    copy16_or_zero(to, walk.rows.problem.k + at, from >= 0 ? 16 : 0);
    copy16_or_zero(to + Traits::tile_bytes, walk.rows.problem.v + at, from >= 0 ? 16 : 0);
  }
  static_assert(sizeof(T) == 2);
}

/// Rows g and g + 8 of the queries, as A of the products with k.
template <class Traits>
__device__ __forceinline__ void load_queries(PageRows<typename Traits::T> const& rows, PageRow const& row,
                                             std::uint32_t (&q)[Traits::dim / 16][4]) {
  int const g = lane_id() / 4, t = lane_id() % 4;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    int const r = g + 8 * half, pair = row.first_pair + r;
    bool const there = (half == 0 || Traits::rows > 8) && r < row.pairs;
    auto const* const from = reinterpret_cast<std::uint16_t const*>(
        there ? rows.problem.query(row.first_query + pair / rows.group, row.head * rows.group + pair % rows.group)
              : rows.problem.q);
#pragma unroll
    for (int k = 0; k < Traits::dim / 16; ++k)
#pragma unroll
      for (int side = 0; side < 2; ++side) {
        int const x = 16 * k + 8 * side + 2 * t;
        q[k][2 * side + half] = there ? from[x] | std::uint32_t{from[x + 1]} << 16 : 0;
      }
  }
}

/// What a row of a tile may see.
struct Visible {
  std::int32_t oldest[2], newest[2];
};

template <class Traits>
__device__ __forceinline__ void add_chunk(PageRows<typename Traits::T> const& rows,
                                          std::uint32_t const (&q)[Traits::dim / 16][4], std::uint32_t stage,
                                          std::int32_t const* tokens, bool masked, Visible const& visible,
                                          WarpState<Traits>& state) {
  using T = typename Traits::T;
  constexpr int kHalves = Traits::rows / 8;
  int const lane = lane_id(), t = lane % 4;
  float s[2][4] = {};
  int const k_row = (lane & 7) + ((lane >> 4) & 1) * 8, k_side = (lane >> 3) & 1;
#pragma unroll
  for (int k = 0; k < Traits::dim / 16; ++k) {
    std::uint32_t tiles[4];
    load_matrices(tiles, stage + piece_offset(k_row, 2 * k + k_side));
    mma<T>(s[0], q[k], tiles[0], tiles[1]);
    mma<T>(s[1], q[k], tiles[2], tiles[3]);
  }

  constexpr float kLog2E = 1.4426950408889634F;
  float factor = rows.problem.scale * kLog2E;
  if (rows.problem.soft_cap > 0.0F) {
    float const inner = rows.problem.scale / rows.problem.soft_cap;
#pragma unroll
    for (int j = 0; j < 2; ++j)
#pragma unroll
      for (int e = 0; e < 2 * kHalves; ++e) s[j][e] = tanhf(s[j][e] * inner);
    factor = rows.problem.soft_cap * kLog2E;
  }
  if (masked) {
#pragma unroll
    for (int j = 0; j < 2; ++j)
#pragma unroll
      for (int e = 0; e < 2 * kHalves; ++e) {
        std::int32_t const token = tokens[8 * j + 2 * t + (e & 1)];
        if (token < visible.oldest[e / 2] || token > visible.newest[e / 2]) s[j][e] = -INFINITY;
      }
  }

  std::uint32_t p[4] = {0, 0, 0, 0};
  float shrink[2] = {1.0F, 1.0F};
#pragma unroll
  for (int half = 0; half < kHalves; ++half) {
    float const here = fmaxf(fmaxf(s[0][2 * half], s[0][2 * half + 1]), fmaxf(s[1][2 * half], s[1][2 * half + 1]));
    float const highest = fmaxf(state.highest[half], quad_max(here) * factor);
    float const base = highest == -INFINITY ? 0.0F : highest;
    shrink[half] = exp2_fast(state.highest[half] - base);
    state.highest[half] = highest;
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      float const a = exp2_fast(fmaf(s[j][2 * half], factor, -base));
      float const b = exp2_fast(fmaf(s[j][2 * half + 1], factor, -base));
      state.sum[half] = (j == 0 ? state.sum[half] * shrink[half] : state.sum[half]) + (a + b);
      p[2 * j + half] = pack2<T>(a, b);
    }
  }
  if (__any_sync(kAllLanes, shrink[0] != 1.0F || shrink[1] != 1.0F)) {
#pragma unroll
    for (int c = 0; c < Traits::dim / 8; ++c)
#pragma unroll
      for (int e = 0; e < 2 * kHalves; ++e) state.out[c][e] *= shrink[e / 2];
  }

  int const v_row = (lane & 7) + ((lane >> 3) & 1) * 8, v_side = lane >> 4;
#pragma unroll
  for (int c = 0; c < Traits::dim / 16; ++c) {
    std::uint32_t tiles[4];
    load_matrices_transposed(tiles, stage + Traits::tile_bytes + piece_offset(v_row, 2 * c + v_side));
    mma<T>(state.out[2 * c], p, tiles[0], tiles[1]);
    mma<T>(state.out[2 * c + 1], p, tiles[2], tiles[3]);
  }
}

/// A warp's share of chunks [first, end) of a row: every `warps`-th. `ring` is the warp's own.
template <class Traits>
__device__ __forceinline__ void walk_chunks(PageRows<typename Traits::T> const& rows, PageRow const& row,
                                            std::int64_t first, std::int64_t end, unsigned char* ring,
                                            std::int32_t (*tokens)[kChunkTokens], WarpState<Traits>& state) {
  std::uint32_t const base = smem_address(ring);
  int const g = lane_id() / 4;
#pragma unroll
  for (int c = 0; c < Traits::dim / 8; ++c)
    state.out[c][0] = state.out[c][1] = state.out[c][2] = state.out[c][3] = 0.0F;
  state.highest[0] = state.highest[1] = -INFINITY;
  state.sum[0] = state.sum[1] = 0.0F;

  ChunkWalk<typename Traits::T> walk(rows, row, first, end, Traits::warps);
#pragma unroll
  for (int stage = 0; stage < Traits::stages; ++stage) {
    copy_chunk<Traits>(walk, base + stage * 2 * Traits::tile_bytes, tokens[stage]);
    close_copy_group();
    walk.advance();
  }
  std::uint32_t q[Traits::dim / 16][4];
  load_queries<Traits>(rows, row, q);
  Visible visible;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    int const pair = row.first_pair + min(g + 8 * half, row.pairs - 1);
    visible.newest[half] = rows.position(row, pair);
    visible.oldest[half] = max(0, visible.newest[half] - rows.problem.window_tokens + 1);
  }
  // What every row of the tile sees needs no mask.
  std::int32_t const all_newest = rows.position(row, row.first_pair);
  std::int32_t const all_oldest =
      max(0, rows.position(row, row.first_pair + row.pairs - 1) - rows.problem.window_tokens + 1);

  int stage = 0;
  for (std::int64_t chunk = first; chunk < end; chunk += Traits::warps) {
    wait_copy_groups<Traits::stages - 1>();
    __syncwarp();
    std::int32_t const token = tokens[stage][lane_id() & 15];
    bool const masked = __any_sync(kAllLanes, token < all_oldest || token > all_newest);
    std::uint32_t const at = base + stage * 2 * Traits::tile_bytes;
    add_chunk<Traits>(rows, q, at, tokens[stage], masked, visible, state);
    __syncwarp();
    copy_chunk<Traits>(walk, at, tokens[stage]);
    close_copy_group();
    walk.advance();
    stage = stage + 1 == Traits::stages ? 0 : stage + 1;
  }
  wait_copy_groups<0>();
  __syncwarp();
  state.sum[0] = quad_sum(state.sum[0]);
  state.sum[1] = quad_sum(state.sum[1]);
}

}  // namespace lacuna::cuda
