#pragma once

#include <algorithm>
#include <cstdint>

#include "lacuna/core/dtype.hpp"
#include "lacuna/kernels/cpu/simd.hpp"

namespace lacuna::cpu {

inline constexpr std::int64_t kPanelKeys = 64;  // keys that are read at once
inline constexpr int kStripRows = 6;            // rows whose accumulators fit the registers

/// Channels of a row, rounded up to whole vectors.
constexpr std::int64_t padded(std::int64_t channels) {
  return (channels + simd::kLanes - 1) / simd::kLanes * simd::kLanes;
}

/// Calls f(integral_constant<int, rows>) for rows in 1..kStripRows.
template <class F>
LACUNA_INLINE void with_rows(std::int64_t rows, F&& f) {
  switch (rows) {
    case 6: return f(std::integral_constant<int, 6>{});
    case 5: return f(std::integral_constant<int, 5>{});
    case 4: return f(std::integral_constant<int, 4>{});
    case 3: return f(std::integral_constant<int, 3>{});
    case 2: return f(std::integral_constant<int, 2>{});
    default: return f(std::integral_constant<int, 1>{});
  }
}

namespace detail {

template <int Rows, int Vecs, bool Add, class B>
LACUNA_INLINE void multiply_columns(std::int64_t depth, float const* a, std::int64_t lda, B const& b,
                                    std::int64_t column, float* c, std::int64_t ldc, std::int64_t valid) {
  using simd::unroll, simd::Vec;
  Vec sums[Rows][Vecs];
  unroll<Rows>([&](auto r) __attribute__((always_inline)) {
    unroll<Vecs>([&](auto v) __attribute__((always_inline)) {
      sums[r][v] = Add ? simd::load(c + r * ldc + column + v * simd::kLanes) : Vec{};
    });
  });
  for (std::int64_t k = 0; k < depth; ++k) {
    Vec right[Vecs];
    auto const* const row = b(k) + column;
    unroll<Vecs>([&](auto v) __attribute__((always_inline)) {
      right[v] = valid < simd::kLanes ? simd::load_first(row, valid) : simd::load(row + v * simd::kLanes);
    });
    unroll<Rows>([&](auto r) __attribute__((always_inline)) {
      Vec const left = simd::splat(a[r * lda + k]);
      unroll<Vecs>([&](auto v) __attribute__((always_inline)) { sums[r][v] += left * right[v]; });
    });
  }
  unroll<Rows>([&](auto r) __attribute__((always_inline)) {
    unroll<Vecs>([&](auto v) __attribute__((always_inline)) {
      simd::store(c + r * ldc + column + v * simd::kLanes, sums[r][v]);
    });
  });
}

}  // namespace detail

/// c[r][x] = (Add ? c[r][x] : 0) + sum over k < depth of a[r][k] * b(k)[x], for r < Rows and x < columns. b(k) gives
/// row k of the right side. c is padded to whole vectors; b need not be.
template <int Rows, bool Add, class B>
inline void multiply(std::int64_t depth, float const* a, std::int64_t lda, B const& b, std::int64_t columns, float* c,
                     std::int64_t ldc) {
  constexpr std::int64_t kWide = std::int64_t{simd::kAccumulators} * simd::kLanes;
  std::int64_t x = 0;
  for (; x + kWide <= columns; x += kWide)
    detail::multiply_columns<Rows, simd::kAccumulators, Add>(depth, a, lda, b, x, c, ldc, simd::kLanes);
  for (; x + simd::kLanes <= columns; x += simd::kLanes)
    detail::multiply_columns<Rows, 1, Add>(depth, a, lda, b, x, c, ldc, simd::kLanes);
  if (x < columns) detail::multiply_columns<Rows, 1, Add>(depth, a, lda, b, x, c, ldc, columns - x);
}

/// Keys side by side: panel[x][j] = rows[j][x], zeros for j >= count up to the next whole vector. // [dim, kPanelKeys]
template <Storage T>
void pack_keys(T const* const* rows, std::int64_t count, std::int64_t dim, float* panel) {
  using simd::unroll, simd::Vec;
  for (std::int64_t j = 0; j < count; j += simd::kLanes)
    for (std::int64_t x = 0; x < dim; x += simd::kLanes) {
      Vec block[simd::kLanes];
      bool const whole = x + simd::kLanes <= dim && j + simd::kLanes <= count;
      unroll<simd::kLanes>([&](auto i) __attribute__((always_inline)) {
        if (whole)
          block[i] = simd::load(rows[j + i] + x);
        else
          block[i] =
              j + i < count ? simd::load_first(rows[j + i] + x, std::min<std::int64_t>(simd::kLanes, dim - x)) : Vec{};
      });
      simd::transpose(block);
      unroll<simd::kLanes>([&](auto i) __attribute__((always_inline)) {
        if (x + i < dim) simd::store(panel + (x + i) * kPanelKeys + j, block[i]);
      });
    }
}

/// Values as float rows, zero padded to whole vectors. // [count, padded(dim)]
template <Storage T>
void pack_values(T const* const* rows, std::int64_t count, std::int64_t dim, float* panel) {
  std::int64_t const whole = dim / simd::kLanes * simd::kLanes;
  for (std::int64_t j = 0; j < count; ++j, panel += padded(dim)) {
    for (std::int64_t x = 0; x < whole; x += simd::kLanes) simd::store(panel + x, simd::load(rows[j] + x));
    if (whole < dim) simd::store(panel + whole, simd::load_first(rows[j] + whole, dim - whole));
  }
}

/// scores[r][j] = <a[r], rows[j]> from keys that lie in rows, for few rows a: packing would cost more than it saves.
/// a is zero padded to whole vectors; scores is written up to the next whole vector of keys. // [Rows, kPanelKeys]
inline void dot_rows(float const* a, std::int64_t lda, std::int64_t a_rows, float const* const* rows,
                     std::int64_t count, std::int64_t dim, float* scores) {
  using simd::unroll, simd::Vec;
  std::int64_t const whole = dim / simd::kLanes * simd::kLanes;
  for (std::int64_t j = 0; j < count; j += simd::kLanes) {
    float const* keys[simd::kLanes];
    for (std::int64_t i = 0; i < simd::kLanes; ++i) keys[i] = rows[std::min(j + i, count - 1)];
    for (std::int64_t r = 0; r < a_rows; ++r) {
      Vec sums[simd::kLanes] = {};
      for (std::int64_t x = 0; x < whole; x += simd::kLanes) {
        Vec const left = simd::load(a + r * lda + x);
        unroll<simd::kLanes>([&](auto i) __attribute__((always_inline)) { sums[i] += left * simd::load(keys[i] + x); });
      }
      if (whole < dim) {
        Vec const left = simd::load(a + r * lda + whole);
        unroll<simd::kLanes>([&](auto i) __attribute__((always_inline)) {
          sums[i] += left * simd::load_first(keys[i] + whole, dim - whole);
        });
      }
      simd::store(scores + r * kPanelKeys + j, simd::sum_each(sums));
    }
  }
}

/// A row of any storage type as floats, zero padded to whole vectors.
template <Storage T>
void widen_row(T const* row, std::int64_t dim, float* out) {
  T const* const one[1] = {row};
  pack_values(one, 1, dim, out);
}

}  // namespace lacuna::cpu
