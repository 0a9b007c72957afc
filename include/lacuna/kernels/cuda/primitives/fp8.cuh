#pragma once

#include <cstdint>
#include <type_traits>

#include "lacuna/core/dtype.hpp"

namespace lacuna::cuda {

/// Which two of four e4m3 to widen: the first in the lower half.
inline constexpr std::uint32_t kBytes01 = 0x1404, kBytes23 = 0x3424, kBytes02 = 0x2404, kBytes13 = 0x3414;

/// Two e4m3 of four as two T, exactly: the bits moved to where T has them, then the exponent's bias mended by one
/// product, which also normalises subnormals.
template <class T>
__device__ __forceinline__ std::uint32_t widen_e4m3(std::uint32_t four, std::uint32_t which) {
  std::uint32_t const x = __byte_perm(four, 0, which);
  std::uint32_t widened = x & 0x80008000U;
#if __CUDA_ARCH__ >= 800
  if constexpr (std::is_same_v<T, bfloat16>) {
    widened |= (x >> 4) & 0x07f007f0U;
    asm("fma.rn.bf16x2 %0, %0, %1, %2;" : "+r"(widened) : "r"(0x7b807b80U), "r"(0x80008000U));  // 2^120, -0
  } else {
    widened |= (x >> 1) & 0x3f803f80U;
    asm("mul.rn.f16x2 %0, %0, %1;" : "+r"(widened) : "r"(0x5c005c00U));  // 2^8
  }
#endif
  return widened;
}

}  // namespace lacuna::cuda
