#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "lacuna/core/dtype.hpp"

// Not inlined, so that callers stay small: what is large enough not to notice the call, and what is rarely called.
#define LACUNA_APART inline __attribute__((noinline))
#define LACUNA_RARE inline __attribute__((noinline, cold))
#define LACUNA_INLINE inline __attribute__((always_inline))
#define LACUNA_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define LACUNA_UNROLL(count) LACUNA_PRAGMA(clang loop unroll(full))
#else
#define LACUNA_UNROLL(count) LACUNA_PRAGMA(GCC unroll count)
#endif

namespace lacuna::cpu {

/// `bytes` of them, zeros behind up to `whole`.
LACUNA_APART void copy_padded(void const* from, std::size_t bytes, void* to, std::size_t whole) {
  std::memset(to, 0, whole);
  std::memcpy(to, from, bytes);
}

}  // namespace lacuna::cpu

#define LACUNA_EACH_TARGET "lacuna/kernels/cpu/simd.inl"
#include "lacuna/kernels/cpu/each_target.inl"

// For kernels that are compiled once, for every machine of the architecture.
namespace lacuna::simd {
using namespace cpu::baseline;
}
