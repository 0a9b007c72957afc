#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "lacuna/core/dtype.hpp"

#define LACUNA_INLINE inline __attribute__((always_inline))
#define LACUNA_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define LACUNA_UNROLL(count) LACUNA_PRAGMA(clang loop unroll(full))
#else
#define LACUNA_UNROLL(count) LACUNA_PRAGMA(GCC unroll count)
#endif

#define LACUNA_EACH_TARGET "lacuna/kernels/cpu/simd.inl"
#include "lacuna/kernels/cpu/each_target.inl"

// For kernels that are compiled once, for every machine of the architecture.
namespace lacuna::simd {
using namespace cpu::baseline;
}
