#pragma once

#include <cstdint>
#include <type_traits>

#include "lacuna/kernels/cuda/page_plan.cuh"
#include "lacuna/kernels/cuda/primitives/async_copy.cuh"
#include "lacuna/kernels/cuda/primitives/fp8.cuh"
#include "lacuna/kernels/cuda/primitives/mma.cuh"
#include "lacuna/kernels/cuda/primitives/warp.cuh"

namespace lacuna::cuda {

/// Tall: all 16 rows of a product are in use, else the first 8. Keys and values are of the queries' type, or e4m3.
template <class Element, int Dim, bool Tall, class KvElement = Element>
struct AttendPagesTraits {
  using T = Element;
  using Kv = KvElement;
  static constexpr bool fp8 = std::is_same_v<Kv, e4m3>;
  static constexpr int dim = Dim, rows = Tall ? 16 : 8;
  static constexpr int warps = Dim > 128 ? 2 : 4, threads = 32 * warps;
  static constexpr int blocks = Dim > 128 ? 3 : 2;  // of an SM with 228 KB
  // 192 KB in flight with all blocks; of e4m3 128
  static constexpr int stages = fp8 ? (Dim > 128 ? 3 : 512 / Dim) : Dim > 128 ? 2 : 384 / Dim;
  static constexpr int row_bytes = Dim * static_cast<int>(sizeof(Kv));
  static constexpr int pieces = row_bytes / 16;                // in a row of k or v
  static constexpr int tile_bytes = kChunkTokens * row_bytes;  // 16 rows of k, or of v
  static constexpr int ring_bytes = stages * 2 * tile_bytes;   // a warp's own
  static constexpr bool queries_in_smem = Dim > 128;           // registers hold no more than the answer
  static constexpr int queries_bytes = queries_in_smem ? Dim / 16 * 32 * 16 : 0;
  static constexpr int smem_bytes = warps * ring_bytes + queries_bytes;
  static constexpr int pitch = Dim + 8;            // floats between rows that warps merge
  static constexpr int state_bytes = ring_bytes;   // a warp leaves its sums in its own ring
  static constexpr int states_bytes = smem_bytes;  // where those of all warps lie, and later the parts' weights
  static constexpr int parts = 264;                // whatever the device: bits must not depend on it
  static constexpr int merge_bytes = (parts + 1) * rows * 4 + 1024;  // of shared memory, to merge a row's parts
  static_assert(rows * (pitch + 2) * 4 <= state_bytes);
};

/// One warp's running answer: lane 4 g + t holds of rows g and g + 8 the channels 8 c + 2t, 2t+1, with e4m3 of 16 c the
/// channels 4t, 4t+2 in out[2 c] and 4t+1, 4t+3 in out[2 c + 1]. Base 2.
template <class Traits>
struct WarpState {
  float out[Traits::dim / 8][4];
  float highest[2], sum[2];  // sum: of this lane's columns

  __device__ __forceinline__ void clear() {
#pragma unroll
    for (int c = 0; c < Traits::dim / 8; ++c) out[c][0] = out[c][1] = out[c][2] = out[c][3] = 0.0F;
    highest[0] = highest[1] = -INFINITY;
    sum[0] = sum[1] = 0.0F;
  }
};

/// 16-byte piece `piece` of row `row` of a tile: parts of 128 bytes a row, each row's pieces permuted against
/// conflicts. Rows of 64 bytes share a line with their neighbour.
template <class Traits>
__device__ __forceinline__ std::uint32_t piece_offset(int row, int piece) {
  if constexpr (Traits::row_bytes == 64)
    return static_cast<std::uint32_t>((row >> 1) * 128 + ((((row & 1) << 2 | piece) ^ ((row >> 1) & 3)) << 4));
  else
    return static_cast<std::uint32_t>((piece >> 3) * (kChunkTokens * 128) + row * 128 + (((piece ^ row) & 7) << 4));
}

template <class Traits>
__device__ __forceinline__ auto const* stored_keys(PageRows<typename Traits::T> const& rows) {
  if constexpr (Traits::fp8)
    return rows.k8;
  else
    return rows.problem.k;
}
template <class Traits>
__device__ __forceinline__ auto const* stored_values(PageRows<typename Traits::T> const& rows) {
  if constexpr (Traits::fp8)
    return rows.v8;
  else
    return rows.problem.v;
}

/// Where the tokens of a row lie. List entry, page table and keys depend on each other: what is called for one chunk
/// should have been loaded with the chunk before. Lanes j and j + 16 look after token j of a chunk.
template <class T>
struct RowTokens {
  PageRows<T> const& rows;
  PageRow const& row;
  std::int32_t const* list;

  /// -1: there is none.
  __device__ std::int32_t token(std::int32_t chunk) const {
    std::int32_t const place = chunk * kChunkTokens + (lane_id() & 15);
    if (place >= row.tokens) return -1;
    std::int32_t at = place + row.start;
    if (list != nullptr) {
      auto const unit = static_cast<unsigned>(place) / static_cast<unsigned>(rows.unit_tokens);
      at = list[unit] * rows.unit_tokens + (place - static_cast<std::int32_t>(unit) * rows.unit_tokens);
    }
    return at >= row.oldest && at < row.len_k ? at : -1;
  }

  __device__ std::int32_t page(std::int32_t token) const {
    DeviceProblem<T> const& p = rows.problem;
    if (token < 0 || p.page_table == nullptr) return 0;
    return p.page_table[row.sequence * p.table_stride_sequence + row.head_kv * p.table_stride_head +
                        static_cast<unsigned>(token) / static_cast<unsigned>(p.page_tokens)];
  }

  /// Elements from the beginning of k and of v; -1 for no token.
  __device__ std::int64_t offset(std::int32_t token, std::int32_t page) const {
    DeviceProblem<T> const& p = rows.problem;
    if (token < 0) return -1;
    if (p.page_table == nullptr) {
      std::int64_t const first = p.first_token != nullptr ? p.first_token[row.sequence] : 0;
      return row.head_kv * p.stride_head + (first + token) * p.stride_token;
    }
    return page * p.stride_page + row.head_kv * p.stride_head +
           static_cast<unsigned>(token) % static_cast<unsigned>(p.page_tokens) * p.stride_token;
  }
};

/// Starts copying a chunk into a stage. Tokens that do not exist become zeros, and are named -1.
template <class Traits>
__device__ __forceinline__ void copy_chunk(RowTokens<typename Traits::T> const& of, std::int32_t token,
                                           std::int32_t page, std::uint32_t stage, std::int32_t* tokens) {
  std::int64_t const own = of.offset(token, page);
  if (lane_id() < kChunkTokens) tokens[lane_id()] = token;
  constexpr int kPiecesAtOnce = Traits::pieces < 32 ? Traits::pieces : 32, kRowsAtOnce = 32 / kPiecesAtOnce;
  int const sub_row = lane_id() / kPiecesAtOnce, piece = lane_id() % kPiecesAtOnce;
#pragma unroll
  for (int i = 0; i < kChunkTokens; i += kRowsAtOnce) {
    std::int64_t const from = __shfl_sync(kAllLanes, own, i + sub_row);
    std::uint32_t const to = stage + piece_offset<Traits>(i + sub_row, piece);
    std::int64_t const at = from >= 0 ? from + piece * (16 / static_cast<int>(sizeof(typename Traits::Kv))) : 0;
    copy16_or_zero(to, stored_keys<Traits>(of.rows) + at, from >= 0 ? 16 : 0);
    copy16_or_zero(to + Traits::tile_bytes, stored_values<Traits>(of.rows) + at, from >= 0 ? 16 : 0);
  }
}

/// The queries of a row of work as A of the products with k, in registers or where the block keeps them for all its
/// warps: for each step of 16 channels rows g and g + 8. The order of a step's channels is free, as long as keys have
/// the same: of e4m3 a lane gets four neighbours at once.
template <class Traits>
struct Queries {
  float scale;  // of this row's logits
  uint4 held[Traits::queries_in_smem ? 1 : Traits::dim / 16];
  uint4* shared;  // [dim / 16, 32]

  __device__ __forceinline__ void load(PageRows<typename Traits::T> const& rows, PageRow const& row) {
    scale = rows.problem.scale;
    if constexpr (Traits::fp8) scale *= rows.k_scales[row.head_kv];
    int const g = lane_id() / 4;
    std::uint16_t const* from[2];
    std::uint32_t there[2];  // all bits, or none
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      int const pair = row.first_pair + min(g + 8 * half, row.pairs - 1);
      int const query = rows.problem.max_len_q == 1 ? 0 : pair / rows.group;
      from[half] = reinterpret_cast<std::uint16_t const*>(rows.problem.query(
                       row.first_query + query, row.head * rows.group + (pair - query * rows.group))) +
                   (Traits::fp8 ? 4 : 2) * (lane_id() % 4);
      there[half] = g + 8 * half < row.pairs ? ~std::uint32_t{0} : 0;
    }
    bool const paired = (reinterpret_cast<std::uintptr_t>(rows.problem.q) % 4 | rows.problem.q_stride_token % 2 |
                         rows.problem.q_stride_head % 2) == 0;
    auto const step = [&](int k) {
      auto const pick = [&](int half, int side) {
        if (half == 1 && Traits::rows == 8) return std::uint32_t{0};
        std::uint16_t const* const at = from[half] + 16 * k + (Traits::fp8 ? 2 : 8) * side;
        std::uint32_t const both =
            paired ? *reinterpret_cast<std::uint32_t const*>(at) : at[0] | std::uint32_t{at[1]} << 16;
        return both & there[half];
      };
      return uint4{pick(0, 0), pick(1, 0), pick(0, 1), pick(1, 1)};
    };
    if constexpr (Traits::queries_in_smem) {
      for (int k = warp_id(); k < Traits::dim / 16; k += Traits::warps) shared[k * 32 + lane_id()] = step(k);
      __syncthreads();
    } else {
#pragma unroll
      for (int k = 0; k < Traits::dim / 16; ++k) held[k] = step(k);
    }
  }
  __device__ __forceinline__ uint4 operator[](int k) const {
    if constexpr (Traits::queries_in_smem)
      return shared[k * 32 + lane_id()];
    else
      return held[k];
  }
};

/// What a row of a tile may see, and what all of its rows see: that needs no mask.
struct Visible {
  std::int32_t oldest[2], newest[2], all_oldest, all_newest;

  template <class T>
  __device__ Visible(PageRows<T> const& rows, PageRow const& row) {
    std::int32_t const before = rows.problem.window_tokens - 1;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      int const pair = row.first_pair + min(lane_id() / 4 + 8 * half, row.pairs - 1);
      newest[half] = rows.position(row, pair);
      oldest[half] = max(0, newest[half] - before);
    }
    all_newest = rows.position(row, row.first_pair);
    all_oldest = max(0, rows.position(row, row.first_pair + row.pairs - 1) - before);
  }
};

/// token_of(i): which token the chunk's row i is, asked only where `masked`.
template <class Traits, class TokenOf>
__device__ __forceinline__ void add_chunk(PageRows<typename Traits::T> const& rows, Queries<Traits> const& q,
                                          std::uint32_t stage, TokenOf const& token_of, bool masked,
                                          Visible const& visible, WarpState<Traits>& state) {
  using T = typename Traits::T;
  constexpr int kHalves = Traits::rows / 8;
  int const lane = lane_id(), t = lane % 4;
  float s[2][4] = {};
  int const k_row = (lane & 7) + ((lane >> 4) & 1) * 8, k_side = (lane >> 3) & 1;
  auto const product = [&](int k, int half, std::uint32_t b0, std::uint32_t b1) {
    uint4 const a4 = q[k];
    std::uint32_t const a[4] = {a4.x, a4.y, a4.z, a4.w};
    mma<T>(s[half], a, b0, b1);
  };
#pragma unroll(Traits::queries_in_smem ? 4 : Traits::pieces / 2)
  for (int k = 0; k < Traits::pieces / 2; ++k) {
    std::uint32_t tiles[4];
    load_matrices(tiles, stage + piece_offset<Traits>(k_row, 2 * k + k_side));
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      if constexpr (Traits::fp8) {
#pragma unroll
        for (int side = 0; side < 2; ++side) {
          std::uint32_t const four = tiles[2 * half + side];
          product(2 * k + side, half, widen_e4m3<T>(four, kBytes01), widen_e4m3<T>(four, kBytes23));
        }
      } else {
        product(k, half, tiles[2 * half], tiles[2 * half + 1]);
      }
    }
  }

  float factor = q.scale * kLog2E;
  if (rows.problem.soft_cap > 0.0F) {
    float const inner = q.scale / rows.problem.soft_cap;
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
        std::int32_t const token = token_of(8 * j + 2 * t + (e & 1));
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
  for (int c = 0; c < Traits::pieces / 2; ++c) {
    std::uint32_t tiles[4];
    load_matrices_transposed(tiles, stage + Traits::tile_bytes + piece_offset<Traits>(v_row, 2 * c + v_side));
#pragma unroll
    for (int side = 0; side < 2; ++side) {
      std::uint32_t const low = tiles[2 * side], high = tiles[2 * side + 1];
      if constexpr (Traits::fp8) {  // even channels, odd channels
        mma<T>(state.out[4 * c + 2 * side], p, widen_e4m3<T>(low, kBytes02), widen_e4m3<T>(high, kBytes02));
        mma<T>(state.out[4 * c + 2 * side + 1], p, widen_e4m3<T>(low, kBytes13), widen_e4m3<T>(high, kBytes13));
      } else {
        mma<T>(state.out[2 * c + side], p, low, high);
      }
    }
  }
}

/// A warp's share of chunks [first, end) of a row: every `warps`-th. `ring` is the warp's own.
template <class Traits>
__device__ __forceinline__ void walk_chunks(PageRows<typename Traits::T> const& rows, PageRow const& row,
                                            std::int32_t first, std::int32_t end, unsigned char* ring,
                                            std::int32_t (*tokens)[kChunkTokens], Queries<Traits>& q,
                                            WarpState<Traits>& state) {
  std::uint32_t const base = smem_address(ring);
  state.clear();

  RowTokens<typename Traits::T> const of{rows, row, rows.list(row)};
  constexpr int kStages = Traits::stages, kStep = Traits::warps;
  std::int32_t token[kStages + 2], page[kStages + 1];  // the first loads of all stages wait for each other just twice
#pragma unroll
  for (int i = 0; i < kStages + 2; ++i) token[i] = first + i * kStep < end ? of.token(first + i * kStep) : -1;
#pragma unroll
  for (int i = 0; i < kStages + 1; ++i) page[i] = of.page(token[i]);
#pragma unroll
  for (int i = 0; i < kStages; ++i) {
    if (first + i * kStep < end)
      copy_chunk<Traits>(of, token[i], page[i], base + i * 2 * Traits::tile_bytes, tokens[i]);
    close_copy_group();
  }
  std::int32_t next_token = token[kStages], next_page = page[kStages], token_after = token[kStages + 1];
  q.load(rows, row);
  Visible const visible(rows, row);

  int stage = 0;
  for (std::int32_t chunk = first; chunk < end; chunk += kStep) {
    wait_copy_groups<Traits::stages - 1>();
    __syncwarp();
    std::int32_t const held = tokens[stage][lane_id() & 15];
    bool const masked = __any_sync(kAllLanes, held < visible.all_oldest || held > visible.all_newest);
    std::uint32_t const at = base + stage * 2 * Traits::tile_bytes;
    add_chunk<Traits>(
        rows, q, at, [&](int i) { return tokens[stage][i]; }, masked, visible, state);
    __syncwarp();
    if (chunk + kStages * kStep < end) copy_chunk<Traits>(of, next_token, next_page, at, tokens[stage]);
    close_copy_group();
    next_page = of.page(token_after);
    next_token = token_after;
    std::int32_t const after = chunk + (kStages + 2) * kStep;
    token_after = after < end ? of.token(after) : -1;
    stage = stage + 1 == Traits::stages ? 0 : stage + 1;
  }
  wait_copy_groups<0>();
  __syncwarp();
}

}  // namespace lacuna::cuda
