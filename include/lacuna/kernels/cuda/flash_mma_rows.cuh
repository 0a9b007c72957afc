#pragma once

#include <cstdint>

#include "lacuna/kernels/cuda/primitives/async_copy.cuh"
#include "lacuna/kernels/cuda/primitives/mma.cuh"
#include "lacuna/kernels/cuda/primitives/warp.cuh"

namespace lacuna::cuda {

// What one warp does with its 16 query rows: products with tiles of keys and values in shared memory, and the softmax
// between them. Tiles lie as the copy engine's 128-byte swizzle lays them: [dim / 64][rows][64 elements], the 16-byte
// chunk c of row r at place c xor r % 8, so that the eight rows of an 8 x 8 matrix never meet in a bank.

/// Bytes from a tile's begin to 8 elements of a row. The tile begins at a multiple of 1024.
template <int TileRows>
__device__ __forceinline__ std::uint32_t chunk_offset(int row, int chunk) {
  return static_cast<std::uint32_t>(chunk / 8 * (TileRows * 128) + row * 128 + ((chunk ^ row) % 8) * 16);
}

inline constexpr float kMinusInfinity = -__builtin_huge_valf();

/// 16 query rows as A operands: in registers, or read anew for each product.
template <int Dim, int TileRows, bool InRegisters>
struct QueryRows {
  static constexpr bool kInRegisters = InRegisters;
  std::uint32_t fragments[kInRegisters ? Dim / 16 : 1][4];
  std::uint32_t tile;
  int row;

  __device__ __forceinline__ void load(std::uint32_t tile_address, int first_row) {
    tile = tile_address;
    row = first_row + lane_id() % 16;
    if constexpr (kInRegisters) {
#pragma unroll
      for (int k = 0; k < Dim / 16; ++k)
        load_matrices(fragments[k], tile + chunk_offset<TileRows>(row, 2 * k + lane_id() / 16));
    }
  }
  __device__ __forceinline__ void get(std::uint32_t (&a)[4], int k) const {
    if constexpr (kInRegisters) {
#pragma unroll
      for (int i = 0; i < 4; ++i) a[i] = fragments[k][i];
    } else {
      load_matrices(a, tile + chunk_offset<TileRows>(row, 2 * k + lane_id() / 16));
    }
  }
};

/// Products of some times 16 query rows with a tile of 8 * Tiles keys, each operand of keys read once for all of them.
template <class T, int Dim, int RowTiles, int Tiles, class Queries>
__device__ __forceinline__ void multiply_keys(float (&s)[RowTiles][Tiles][4], Queries const (&queries)[RowTiles],
                                              std::uint32_t tile) {
  int const row = lane_id() % 8 + lane_id() / 16 * 8, half = lane_id() / 8 % 2;
#pragma unroll
  for (int m = 0; m < RowTiles; ++m)
#pragma unroll
    for (int n = 0; n < Tiles; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) s[m][n][i] = 0.0F;
#pragma unroll
  for (int k = 0; k < Dim / 16; ++k) {
    std::uint32_t a[RowTiles][4];
#pragma unroll
    for (int m = 0; m < RowTiles; ++m) queries[m].get(a[m], k);
#pragma unroll
    for (int n = 0; n < Tiles / 2; ++n) {
      std::uint32_t b[4];
      load_matrices(b, tile + chunk_offset<Tiles * 8>(row + 16 * n, 2 * k + half));
#pragma unroll
      for (int m = 0; m < RowTiles; ++m) {
        mma<T>(s[m][2 * n], a[m], b[0], b[1]);
        mma<T>(s[m][2 * n + 1], a[m], b[2], b[3]);
      }
    }
  }
}

/// Softmax state and weighted sums of 16 rows; a lane has parts of rows lane / 4 and lane / 4 + 8.
template <class T, int Dim>
struct RowSums {
  float values[Dim / 8][4];
  float highest[2];  // logit in base 2, of all keys so far or up to kSlack below it
  float total[2];    // this lane's part

  // Sums are rescaled only when a row's highest logit grew by more than this: the stale maximum cancels, and what is
  // up to 2^8 still fits half. Decided row by row, so that the bits of a row never depend on its neighbours.
  static constexpr float kSlack = 8.0F;

  __device__ __forceinline__ RowSums() : highest{kMinusInfinity, kMinusInfinity}, total{0.0F, 0.0F} {
#pragma unroll
    for (int n = 0; n < Dim / 8; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) values[n][i] = 0.0F;
  }

  /// The highest of each row's products here, before the four lanes of a row have compared theirs.
  template <int Tiles>
  __device__ __forceinline__ void highest_here(float (&above)[2], float const (&s)[Tiles][4], float scale_log2) const {
    above[0] = fmaxf(s[0][0], s[0][1]);
    above[1] = fmaxf(s[0][2], s[0][3]);
#pragma unroll
    for (int n = 1; n < Tiles; ++n) {
      above[0] = fmaxf(above[0], fmaxf(s[n][0], s[n][1]));
      above[1] = fmaxf(above[1], fmaxf(s[n][2], s[n][3]));
    }
    above[0] *= scale_log2;
    above[1] *= scale_log2;
  }
  /// Whether some row of the warp has to be rescaled for these; the same answer in every lane.
  __device__ __forceinline__ bool outgrown(float const (&above)[2]) const {
    return __any_sync(kAllLanes, above[0] > highest[0] + kSlack || above[1] > highest[1] + kSlack) != 0;
  }
  __device__ __forceinline__ void grow_to(float const (&above)[2]) {
    float factor[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      float const top = quad_max(above[r]);
      bool const grows = top > highest[r] + kSlack;
      factor[r] = grows ? exp2_fast(highest[r] - top) : 1.0F;
      if (grows) highest[r] = top;
      total[r] *= factor[r];
    }
#pragma unroll
    for (int n = 0; n < Dim / 8; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) values[n][i] *= factor[i / 2];
  }
  /// Products become weights: 2^(product * scale_log2 - highest). A masked product is -inf.
  template <int Tiles>
  __device__ __forceinline__ void weigh(float (&s)[Tiles][4], float scale_log2) {
    float base[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) base[r] = highest[r] == kMinusInfinity ? 0.0F : highest[r];
#pragma unroll
    for (int n = 0; n < Tiles; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        s[n][i] = exp2_fast(fmaf(s[n][i], scale_log2, -base[i / 2]));
        total[i / 2] += s[n][i];
      }
  }

  /// After the last key: values become the row's mean. Returns the natural log-sum-exp of row r (0 or 1).
  __device__ __forceinline__ float finish(int r, float sink_log2) {
    float sum = quad_sum(total[r]), top = highest[r], factor = 1.0F;
    if (sink_log2 > kMinusInfinity) {
      top = fmaxf(top, sink_log2);
      factor = highest[r] == kMinusInfinity ? 0.0F : exp2_fast(highest[r] - top);
      sum = sum * factor + exp2_fast(sink_log2 - top);
    }
    factor = sum == 0.0F ? 0.0F : factor / sum;
#pragma unroll
    for (int n = 0; n < Dim / 8; ++n) {
      values[n][2 * r] *= factor;
      values[n][2 * r + 1] *= factor;
    }
    return sum == 0.0F ? kMinusInfinity : kLn2 * (top + log2f(sum));
  }
};

/// Adds weights times a tile of 8 * Tiles values, each operand of values read once for all rows.
template <class T, int Dim, int RowTiles, int Tiles>
__device__ __forceinline__ void add_values(RowSums<T, Dim> (&sums)[RowTiles], float const (&s)[RowTiles][Tiles][4],
                                           std::uint32_t tile) {
  int const row = lane_id() % 16, half = lane_id() / 16;
#pragma unroll
  for (int k = 0; k < Tiles / 2; ++k) {
    std::uint32_t a[RowTiles][4];
#pragma unroll
    for (int m = 0; m < RowTiles; ++m)
#pragma unroll
      for (int i = 0; i < 4; ++i)
        a[m][i] = pack2<T>(s[m][2 * k + i / 2][i % 2 * 2], s[m][2 * k + i / 2][i % 2 * 2 + 1]);
#pragma unroll
    for (int n = 0; n < Dim / 16; ++n) {
      std::uint32_t b[4];
      load_matrices_transposed(b, tile + chunk_offset<Tiles * 8>(row + 16 * k, 2 * n + half));
#pragma unroll
      for (int m = 0; m < RowTiles; ++m) {
        mma<T>(sums[m].values[2 * n], a[m], b[0], b[1]);
        mma<T>(sums[m].values[2 * n + 1], a[m], b[2], b[3]);
      }
    }
  }
}

/// A logit in base 2, for problems that need more of it than one factor: a soft cap, or a scale that is not positive.
__device__ __forceinline__ float capped_log2(float product, float scale, float soft_cap) {
  float const logit = product * scale;
  return (soft_cap > 0.0F ? soft_cap * tanhf(logit / soft_cap) : logit) * kLog2E;
}

}  // namespace lacuna::cuda
