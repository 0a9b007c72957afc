#pragma once

#include <cstdint>

#include "lacuna/kernels/cuda/primitives/async_copy.cuh"
#include "lacuna/kernels/cuda/primitives/mma.cuh"
#include "lacuna/kernels/cuda/primitives/warp.cuh"

namespace lacuna::cuda {

/// Where 16-byte chunk `chunk` of a row of a tile stands in shared memory: at chunk xor (row mod 8), so that ldmatrix
/// meets no bank twice.
template <int RowBytes>
__device__ __forceinline__ std::uint32_t tile_address(std::uint32_t tile, int row, int chunk) {
  return tile + static_cast<std::uint32_t>(row * RowBytes + (chunk ^ (row & 7)) * 16);
}

/// Begins to copy `rows` rows; source(i) points to row i, or is null where zeros shall stand.
template <int RowBytes, int Threads, class Source>
__device__ __forceinline__ void copy_tile_rows(std::uint32_t tile, int rows, Source const& source) {
  constexpr int kChunks = RowBytes / 16, kAcross = kChunks < Threads ? kChunks : Threads;
  static_assert(kChunks % kAcross == 0 && Threads % kAcross == 0);
  int const first = static_cast<int>(threadIdx.x) % kAcross;
#pragma unroll 4
  for (int row = static_cast<int>(threadIdx.x) / kAcross; row < rows; row += Threads / kAcross) {
    auto const* const from = source(row);
#pragma unroll
    for (int chunk = first; chunk < kChunks; chunk += kAcross)
      // Nothing is read for zeros, but the address must be one.
      copy16_or_zero(tile_address<RowBytes>(tile, row, chunk), from == nullptr ? nullptr : from + chunk * 8,
                     from == nullptr ? 0 : 16);
  }
}

/// sums += rows [row0, row0 + 32) of one tile x rows [key0, key0 + 8 * Columns) of another, as one warp; tiles of Dim
/// 16-bit elements a row.
template <class T, int Dim, int Columns>
__device__ __forceinline__ void multiply_tiles(std::uint32_t queries, std::uint32_t keys, int row0, int key0,
                                               float (&sums)[2][Columns][4]) {
  int const lane = lane_id();
  int const a_row = row0 + lane % 16, a_chunk = lane / 16;
  int const b_row = key0 + lane / 16 * 8 + lane % 8, b_chunk = lane / 8 % 2;
#pragma unroll 4
  for (int step = 0; step < Dim / 16; ++step) {
    std::uint32_t a[2][4];
    load_matrices(a[0], tile_address<2 * Dim>(queries, a_row, step * 2 + a_chunk));
    load_matrices(a[1], tile_address<2 * Dim>(queries, a_row + 16, step * 2 + a_chunk));
#pragma unroll
    for (int n = 0; n < Columns / 2; ++n) {
      std::uint32_t b[4];
      load_matrices(b, tile_address<2 * Dim>(keys, b_row + n * 16, step * 2 + b_chunk));
#pragma unroll
      for (int m = 0; m < 2; ++m) {
        mma<T>(sums[m][2 * n], a[m], b[0], b[1]);
        mma<T>(sums[m][2 * n + 1], a[m], b[2], b[3]);
      }
    }
  }
}

}  // namespace lacuna::cuda
