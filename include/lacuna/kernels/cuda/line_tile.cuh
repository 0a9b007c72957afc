#pragma once

#include <cstdint>

#include "lacuna/kernels/cuda/primitives/async_copy.cuh"
#include "lacuna/kernels/cuda/primitives/warp.cuh"
#include "lacuna/kernels/cuda/primitives/wgmma.cuh"

namespace lacuna::cuda {

// Tiles of rows in shared memory as wgmma reads them: lines of 64 elements, 16-byte chunk c of line r at c xor r mod 8;
// first all rows' elements 0 to 63, then all rows' next 64. A tile begins at a multiple of 1024 bytes.

/// Begins to copy `rows` rows of Dim 16-bit elements; source(i) points to row i, or is null where zeros shall stand.
template <int Dim, int Threads, class Source>
__device__ __forceinline__ void copy_lines(std::uint32_t tile, int rows, int thread, Source const& source) {
  constexpr int kChunks = Dim / 8;
  static_assert(Threads % kChunks == 0);
  int const chunk = thread % kChunks;
  std::uint32_t const part = tile + static_cast<std::uint32_t>(chunk / 8 * rows * 128);
#pragma unroll 4
  for (int row = thread / kChunks; row < rows; row += Threads / kChunks) {
    auto const* const from = source(row);
    copy16_or_zero(part + static_cast<std::uint32_t>(row * 128 + ((chunk ^ row) & 7) * 16),
                   from == nullptr ? nullptr : from + chunk * 8, from == nullptr ? 0 : 16);
  }
}

/// The next place of a ring, and the parity of its barriers there.
template <int Stages>
__device__ __forceinline__ void next_slot(std::uint32_t& slot, std::uint32_t& parity) {
  if (++slot == Stages) {
    slot = 0;
    parity ^= 1;
  }
}

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
/// products = 64 rows of one tile x Columns rows of another (+ products, if `add`), as one warpgroup.
template <class T, int Dim, int Columns>
__device__ __forceinline__ void multiply_lines(std::uint32_t rows, std::uint32_t columns,
                                               float (&products)[Columns / 2], bool add = false) {
  std::uint64_t const a = matrix_descriptor(rows, 1024, 0), b = matrix_descriptor(columns, 1024, 0);
  products_begin();
#pragma unroll
  for (int k = 0; k < Dim / 16; ++k)
    Wgmma<T>::template multiply<false>(products, advanced(a, k % 4 * 32 + k / 4 * (64 * 128)),
                                       advanced(b, k % 4 * 32 + k / 4 * (Columns * 128)), add || k > 0);
  products_close();
  wait_products<0>();
  settle(products);
}
#endif

}  // namespace lacuna::cuda
