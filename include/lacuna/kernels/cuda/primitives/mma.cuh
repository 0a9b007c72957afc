#pragma once

#include <cstdint>

#include "lacuna/core/dtype.hpp"

namespace lacuna::cuda {

// One warp, m16n8k16, sums in float. Lane l = 4 g + t holds of the accumulator (row g, columns 2t, 2t+1) and (row g+8,
// the same); of A the pairs (g, 2t), (g+8, 2t), (g, 2t+8), (g+8, 2t+8); of B (k = 2t, 2t+1, column g) and k + 8. So two
// neighbouring accumulators, rounded in pairs, are A of the next product: no shuffle between scores and values.

template <class T>
__device__ __forceinline__ void mma(float (&sum)[4], std::uint32_t const (&a)[4], std::uint32_t b0, std::uint32_t b1);
template <>
__device__ __forceinline__ void mma<bfloat16>(float (&sum)[4], std::uint32_t const (&a)[4], std::uint32_t b0,
                                              std::uint32_t b1) {
#if __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#endif
}
template <>
__device__ __forceinline__ void mma<half>(float (&sum)[4], std::uint32_t const (&a)[4], std::uint32_t b0,
                                          std::uint32_t b1) {
#if __CUDA_ARCH__ >= 800
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#endif
}

/// Four 8 x 8 tiles of 16-bit elements: lane 8 i + r names row r of tile i, lane 4 g + t receives (g, 2t), (g, 2t+1).
__device__ __forceinline__ void load_matrices(std::uint32_t (&tiles)[4], std::uint32_t row_address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(tiles[0]), "=r"(tiles[1]), "=r"(tiles[2]), "=r"(tiles[3])
               : "r"(row_address)
               : "memory");
}
/// The same, each tile transposed: lane 4 g + t receives (2t, g), (2t+1, g).
__device__ __forceinline__ void load_matrices_transposed(std::uint32_t (&tiles)[4], std::uint32_t row_address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(tiles[0]), "=r"(tiles[1]), "=r"(tiles[2]), "=r"(tiles[3])
               : "r"(row_address)
               : "memory");
}

}  // namespace lacuna::cuda
