#pragma once

#include <bit>
#include <cmath>
#include <concepts>
#include <cstdint>

namespace lacuna {

/// Eight bits of the OCP format E4M3: 4 significant bits, largest finite value 448, NaN but no infinity.
struct float8_e4m3 {
  std::uint8_t bits;
  friend constexpr bool operator==(float8_e4m3, float8_e4m3) = default;  // compares bits, not values
};

/// What keys and values may be quantised to. A value is scale * decode(code); the scale is kept elsewhere.
template <class C>
concept Code = std::same_as<C, std::int8_t> || std::same_as<C, float8_e4m3>;

/// The largest finite number that decode() yields: scale = largest magnitude / kLargestCode uses the whole range.
template <Code C>
inline constexpr float kLargestCode = std::same_as<C, std::int8_t> ? 127.0F : 448.0F;

constexpr float decode(std::int8_t code) { return static_cast<float>(code); }

constexpr float decode(float8_e4m3 code) {
  std::uint32_t const sign = std::uint32_t{code.bits & 0x80U} << 24;
  std::uint32_t const magnitude = code.bits & 0x7fU;
  if (magnitude == 0x7fU) return std::bit_cast<float>(sign | 0x7fc00000U);
  // One exact product re-biases the exponent, and normalises subnormals on the way.
  float const scaled = std::bit_cast<float>(magnitude << 20) * 0x1p120F;
  return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(scaled));
}

/// Rounds to nearest, ties to even; what is too large becomes the largest. An int8 has no NaN and takes 0 for it.
template <Code C>
C encode(float x) {
  if constexpr (std::same_as<C, std::int8_t>) {
    if (std::isnan(x)) return 0;
    float const clamped = x < -127.0F ? -127.0F : x > 127.0F ? 127.0F : x;
    return static_cast<std::int8_t>(clamped + 0x1.8p23F - 0x1.8p23F);  // the sum has no bits below 1: it rounds
  } else {
    std::uint32_t const bits = std::bit_cast<std::uint32_t>(x);
    auto const sign = static_cast<std::uint8_t>(bits >> 24 & 0x80U);
    if (std::isnan(x)) return {static_cast<std::uint8_t>(sign | 0x7fU)};
    std::uint32_t const magnitude = bits & 0x7fffffffU;
    if (magnitude >= std::bit_cast<std::uint32_t>(448.0F)) return {static_cast<std::uint8_t>(sign | 0x7eU)};
    if (magnitude < std::bit_cast<std::uint32_t>(0x1p-6F)) {  // the sum rounds at the subnormal's last bit, 2^-9
      float const aligned = std::bit_cast<float>(magnitude) + 0x1p14F;
      return {static_cast<std::uint8_t>(sign | (std::bit_cast<std::uint32_t>(aligned) & 0xfU))};
    }
    std::uint32_t const rounded = magnitude - 0x3c000000U + 0x7ffffU + (magnitude >> 20 & 1U);
    return {static_cast<std::uint8_t>(sign | (rounded >> 20))};
  }
}

}  // namespace lacuna
