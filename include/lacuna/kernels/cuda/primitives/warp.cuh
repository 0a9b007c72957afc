#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#include "lacuna/core/dtype.hpp"

namespace lacuna::cuda {

inline constexpr unsigned kAllLanes = 0xffffffffU;

__device__ __forceinline__ int lane_id() { return static_cast<int>(threadIdx.x & 31U); }
/// The same number in every lane, and the compiler knows it.
__device__ __forceinline__ int warp_id() { return __shfl_sync(kAllLanes, static_cast<int>(threadIdx.x / 32U), 0); }

inline constexpr float kLog2E = 1.44269504088896340736F;  // exponents inside are of 2, outside of e
inline constexpr float kLn2 = 0.69314718055994530942F;

/// 2^x; -inf gives 0.
__device__ __forceinline__ float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
__device__ __forceinline__ float tanh_fast(float x) {
  float y;
  asm("tanh.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/// Over the warp, 32-bit integers. Nothing below sm_80, where no kernel runs.
template <class Integer>
__device__ __forceinline__ Integer warp_max(Integer x) {
#if __CUDA_ARCH__ >= 800
  return __reduce_max_sync(kAllLanes, x);
#else
  return x;
#endif
}
template <class Integer>
__device__ __forceinline__ Integer warp_min(Integer x) {
#if __CUDA_ARCH__ >= 800
  return __reduce_min_sync(kAllLanes, x);
#else
  return x;
#endif
}
template <class Integer>
__device__ __forceinline__ Integer warp_sum(Integer x) {
#if __CUDA_ARCH__ >= 800
  return __reduce_add_sync(kAllLanes, x);
#else
  return x;
#endif
}

/// Over the four lanes that hold one row of an mma accumulator.
__device__ __forceinline__ float quad_max(float x) {
  x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, 1));
  return fmaxf(x, __shfl_xor_sync(kAllLanes, x, 2));
}
__device__ __forceinline__ float quad_sum(float x) {
  x += __shfl_xor_sync(kAllLanes, x, 1);
  return x + __shfl_xor_sync(kAllLanes, x, 2);
}

/// Two floats rounded to storage type, the first in the lower half.
template <class T>
__device__ __forceinline__ std::uint32_t pack2(float low, float high);
template <>
__device__ __forceinline__ std::uint32_t pack2<bfloat16>(float low, float high) {
  std::uint32_t packed = 0;
#if __CUDA_ARCH__ >= 800
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
#endif
  return packed;
}
template <>
__device__ __forceinline__ std::uint32_t pack2<half>(float low, float high) {
  std::uint32_t packed;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  return packed;
}

template <class T>
__device__ __forceinline__ float2 unpack2(std::uint32_t packed);
template <>
__device__ __forceinline__ float2 unpack2<bfloat16>(std::uint32_t packed) {
  return {__uint_as_float(packed << 16), __uint_as_float(packed & 0xffff0000U)};
}
template <>
__device__ __forceinline__ float2 unpack2<half>(std::uint32_t packed) {
  return __half22float2(*reinterpret_cast<__half2 const*>(&packed));
}

__device__ __forceinline__ float load_float(float const* p) { return *p; }
__device__ __forceinline__ float load_float(bfloat16 const* p) {
  return __uint_as_float(std::uint32_t{reinterpret_cast<std::uint16_t const&>(*p)} << 16);
}
__device__ __forceinline__ float load_float(half const* p) { return __half2float(reinterpret_cast<__half const&>(*p)); }

/// Rounds to the storage type.
__device__ __forceinline__ void store_float(float* to, float x) { *to = x; }
template <class T>
__device__ __forceinline__ void store_float(T* to, float x) {
  *reinterpret_cast<std::uint16_t*>(to) = static_cast<std::uint16_t>(pack2<T>(x, 0.0F));
}

}  // namespace lacuna::cuda
