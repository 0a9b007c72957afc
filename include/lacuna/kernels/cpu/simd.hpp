#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "lacuna/core/dtype.hpp"

#define LACUNA_INLINE inline __attribute__((always_inline))

namespace lacuna::simd {

// Vector extensions of GCC and Clang: no intrinsics, no flags, and the width is what the compiler may use. Wider
// vectors than the target has would compile too, but then live in memory.
#if defined(__AVX512F__)
inline constexpr int kLanes = 16;
inline constexpr int kAccumulators = 4;  // vectors per row of a micro-kernel; with 6 rows 24 of the 32 registers
#elif defined(__AVX__)
inline constexpr int kLanes = 8;
inline constexpr int kAccumulators = 2;  // 12 of 16 registers
#else
inline constexpr int kLanes = 4;
inline constexpr int kAccumulators = 2;
#endif

using Vec = float __attribute__((vector_size(kLanes * sizeof(float))));
using Words = std::uint32_t __attribute__((vector_size(kLanes * sizeof(float))));
using Shorts = std::uint16_t __attribute__((vector_size(kLanes * sizeof(std::uint16_t))));

/// Calls f(std::integral_constant<int, 0>), ..., f(<Count - 1>): a loop that is unrolled at every optimisation level,
/// so that arrays of vectors live in registers.
template <int Count, class F>
LACUNA_INLINE void unroll(F&& f) {
  auto const all = [&]<int... I>(std::integer_sequence<int, I...>) __attribute__((always_inline)) {
    (f(std::integral_constant<int, I>{}), ...);
  };
  all(std::make_integer_sequence<int, Count>{});
}

LACUNA_INLINE Vec splat(float x) { return x - Vec{}; }  // x + 0 would cost an addition: it changes -0

LACUNA_INLINE Vec load(float const* p) {
  Vec v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

LACUNA_INLINE Vec load(bfloat16 const* p) {
  Shorts bits;
  std::memcpy(&bits, p, sizeof bits);
  return reinterpret_cast<Vec>(__builtin_convertvector(bits, Words) << 16);
}

LACUNA_INLINE Vec load(half const* p) {
  Shorts bits;
  std::memcpy(&bits, p, sizeof bits);
  Words const wide = __builtin_convertvector(bits, Words);
  Words const sign = (wide & 0x8000U) << 16;
  Words const magnitude = (wide & 0x7fffU) << 13;
  Words const scaled = reinterpret_cast<Words>(reinterpret_cast<Vec>(magnitude) * 0x1p112F);
  Words const special = reinterpret_cast<Words>(magnitude >= 0x0f800000U);  // infinity and NaN
  return reinterpret_cast<Vec>(sign | (special & (magnitude | 0x7f800000U)) | (~special & scaled));
}

/// The first `count` elements, zeros behind them; reads nothing else.
template <Storage T>
LACUNA_INLINE Vec load_first(T const* p, std::int64_t count) {
  T padded[kLanes] = {};
  std::memcpy(padded, p, static_cast<std::size_t>(count) * sizeof(T));
  return load(padded);
}

LACUNA_INLINE void store(float* p, Vec const& v) { std::memcpy(p, &v, sizeof v); }

LACUNA_INLINE Vec max(Vec const& a, Vec const& b) { return a > b ? a : b; }  // b where a is NaN

namespace detail {

// Lanes whose numbers differ in bit `Bit` are partners: one step of a butterfly, in two halves.
constexpr int low_lane(int bit, int lane) { return (lane & bit) != 0 ? kLanes + (lane ^ bit) : lane; }
constexpr int high_lane(int bit, int lane) { return (lane & bit) != 0 ? kLanes + lane : (lane ^ bit); }

template <int Bit>
LACUNA_INLINE Vec low_of(Vec const& a, Vec const& b) {
  auto const shuffle = [&]<int... Lane>(std::integer_sequence<int, Lane...>) __attribute__((always_inline)) {
    return __builtin_shufflevector(a, b, low_lane(Bit, Lane)...);
  };
  return shuffle(std::make_integer_sequence<int, kLanes>{});
}

template <int Bit>
LACUNA_INLINE Vec high_of(Vec const& a, Vec const& b) {
  auto const shuffle = [&]<int... Lane>(std::integer_sequence<int, Lane...>) __attribute__((always_inline)) {
    return __builtin_shufflevector(a, b, high_lane(Bit, Lane)...);
  };
  return shuffle(std::make_integer_sequence<int, kLanes>{});
}

}  // namespace detail

/// rows[i][j] becomes rows[j][i].
template <int Bit = 1>
LACUNA_INLINE void transpose(Vec (&rows)[kLanes]) {
  if constexpr (Bit < kLanes) {
    unroll<kLanes>([&](auto i) __attribute__((always_inline)) {
      if constexpr ((i & Bit) == 0) {
        Vec const low = detail::low_of<Bit>(rows[i], rows[i | Bit]);
        rows[i | Bit] = detail::high_of<Bit>(rows[i], rows[i | Bit]);
        rows[i] = low;
      }
    });
    transpose<Bit * 2>(rows);
  }
}

/// Lane i of the result is the sum of the lanes of rows[i]; destroys rows.
template <int Bit = 1>
LACUNA_INLINE Vec sum_each(Vec (&rows)[kLanes]) {
  if constexpr (Bit < kLanes) {
    unroll<kLanes>([&](auto i) __attribute__((always_inline)) {
      if constexpr (i % (2 * Bit) == 0)
        rows[i] = detail::low_of<Bit>(rows[i], rows[i + Bit]) + detail::high_of<Bit>(rows[i], rows[i + Bit]);
    });
    return sum_each<Bit * 2>(rows);
  } else {
    return rows[0];
  }
}

template <int Bit = kLanes / 2>
LACUNA_INLINE float largest(Vec const& v) {
  if constexpr (Bit == 0) {
    return v[0];
  } else {
    return largest<Bit / 2>(max(v, detail::high_of<Bit>(v, v)));
  }
}

template <int Bit = kLanes / 2>
LACUNA_INLINE float sum(Vec const& v) {
  if constexpr (Bit == 0) {
    return v[0];
  } else {
    return sum<Bit / 2>(v + detail::high_of<Bit>(v, v));
  }
}

/// 2^x for x <= 0, relative error below 2.5e-7; 0 below the normal range, NaN for NaN. Polynomial: Cephes exp2f.
LACUNA_INLINE Vec exp2(Vec const& x) {
  constexpr float kRound = 12582912.0F;  // 1.5 * 2^23: adding it rounds to an integer, held in the low mantissa bits
  Vec const shifted = x + kRound;
  Vec const fraction = x - (shifted - kRound);
  Vec p = fraction * 1.535336188319500e-4F + 1.339887440266574e-3F;
  p = p * fraction + 9.618437357674640e-3F;
  p = p * fraction + 5.550332471162809e-2F;
  p = p * fraction + 2.402264791363012e-1F;
  p = p * fraction + 6.931472028550421e-1F;
  p = p * fraction + 1.0F;
  Vec const power = reinterpret_cast<Vec>((reinterpret_cast<Words>(shifted) + 127U) << 23);
  return x < -126.0F ? Vec{} : p * power;
}

}  // namespace lacuna::simd
