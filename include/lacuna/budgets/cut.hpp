#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace lacuna::detail {

/// Scores as integers in the same order; NaN is -inf, and both zeros are one.
inline std::int32_t rank_of(float score) {
  if (std::isnan(score)) score = -std::numeric_limits<float>::infinity();
  auto const bits = std::bit_cast<std::int32_t>(score + 0.0F);
  return bits >= 0 ? bits : bits ^ 0x7fffffff;
}

/// The highest rank at which enough(rank) holds, or that of -inf. Once it holds, it must hold for every lower rank.
/// A cut through many rows, without memory to sort them in: at most 32 passes, and the scores are few beside the keys.
template <class F>
std::int32_t highest_cut(F const& enough) {
  std::int64_t low = rank_of(-std::numeric_limits<float>::infinity());
  std::int64_t high = rank_of(std::numeric_limits<float>::infinity());
  while (low < high) {
    std::int64_t const middle = low + (high - low + 1) / 2;
    if (enough(static_cast<std::int32_t>(middle)))
      low = middle;
    else
      high = middle - 1;
  }
  return static_cast<std::int32_t>(low);
}

/// How many of a row's first `count` scores rank at or above the cut.
inline std::int64_t count_from(float const* row, std::int64_t count, std::int32_t cut) {
  std::int64_t above = 0;
  for (std::int64_t i = 0; i < count; ++i) above += rank_of(row[i]) >= cut;
  return above;
}

}  // namespace lacuna::detail
