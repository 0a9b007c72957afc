#pragma once

#include <bit>
#include <concepts>
#include <cstdint>

namespace lacuna {

/// The upper half of a float: its range, 8 significant bits.
struct bfloat16 {
  std::uint16_t bits;
  friend constexpr bool operator==(bfloat16, bfloat16) = default;  // compares bits, not values
};

/// IEEE 754 binary16: 11 significant bits, largest finite value 65504.
struct half {
  std::uint16_t bits;
  friend constexpr bool operator==(half, half) = default;  // compares bits, not values
};

/// Eight bits: sign, 4 of exponent (bias 7), 3 of significand; no infinities, largest value 448. Keys and values only,
/// with a scale per head: not a Storage.
struct e4m3 {
  std::uint8_t bits;
  friend constexpr bool operator==(e4m3, e4m3) = default;  // compares bits, not values
};

/// What queries, keys, values and outputs may be stored as. Arithmetic is always in float.
template <class T>
concept Storage = std::same_as<T, float> || std::same_as<T, bfloat16> || std::same_as<T, half>;

constexpr float to_float(float x) { return x; }

constexpr float to_float(bfloat16 x) { return std::bit_cast<float>(std::uint32_t{x.bits} << 16); }

constexpr float to_float(half x) {
  std::uint32_t const sign = std::uint32_t{x.bits & 0x8000U} << 16;
  std::uint32_t const magnitude = std::uint32_t{x.bits & 0x7fffU} << 13;
  if (magnitude >= 0x0f800000U) return std::bit_cast<float>(sign | magnitude | 0x7f800000U);  // infinity and NaN
  // One exact product re-biases the exponent, and normalises subnormals on the way.
  float const scaled = std::bit_cast<float>(magnitude) * 0x1p112F;
  return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(scaled));
}

/// Rounds to nearest, ties to even; what is too large becomes infinity, a NaN stays a (quiet) NaN.
template <Storage T>
constexpr T from_float(float x);

template <>
constexpr float from_float<float>(float x) {
  return x;
}

template <>
constexpr bfloat16 from_float<bfloat16>(float x) {
  std::uint32_t const bits = std::bit_cast<std::uint32_t>(x);
  if ((bits & 0x7fffffffU) > 0x7f800000U) return {static_cast<std::uint16_t>((bits >> 16) | 0x0040U)};
  return {static_cast<std::uint16_t>((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16)};
}

template <>
constexpr half from_float<half>(float x) {
  std::uint32_t const bits = std::bit_cast<std::uint32_t>(x);
  std::uint32_t const sign = (bits >> 16) & 0x8000U;
  std::uint32_t const magnitude = bits & 0x7fffffffU;
  if (magnitude > 0x7f800000U) return {static_cast<std::uint16_t>(sign | 0x7e00U)};
  if (magnitude >= 0x477ff000U) return {static_cast<std::uint16_t>(sign | 0x7c00U)};  // 65520 and above
  if (magnitude < 0x38800000U) {  // below the smallest normal: the sum with 0.5 rounds at the subnormal's last bit
    float const aligned = std::bit_cast<float>(magnitude) + 0.5F;
    return {static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(aligned) - 0x3f000000U))};
  }
  std::uint32_t const rounded = magnitude - 0x38000000U + 0x0fffU + ((magnitude >> 13) & 1U);
  return {static_cast<std::uint16_t>(sign | (rounded >> 13))};
}

/// Exact. The format's NaN, all ones but the sign, reads as 480: what quantise() writes never holds it.
constexpr float to_float(e4m3 x) {
  std::uint32_t const sign = std::uint32_t{x.bits & 0x80U} << 24;
  std::uint32_t const magnitude = std::uint32_t{x.bits & 0x7fU} << 20;
  float const scaled = std::bit_cast<float>(magnitude) * 0x1p120F;  // as for half
  return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(scaled));
}

/// The nearest e4m3, ties to even; what is too large, infinite or NaN becomes 448 with its sign.
constexpr e4m3 quantise(float x) {
  std::uint32_t const bits = std::bit_cast<std::uint32_t>(x);
  auto const sign = static_cast<std::uint8_t>((bits >> 24) & 0x80U);
  std::uint32_t const magnitude = bits & 0x7fffffffU;
  if (magnitude >= 0x43e00000U) return {static_cast<std::uint8_t>(sign | 0x7eU)};  // 448
  if (magnitude < 0x3c800000U) {  // below the smallest normal, 2^-6: the sum with 2^14 rounds at 2^-9
    float const aligned = std::bit_cast<float>(magnitude) + 16384.0F;
    return {static_cast<std::uint8_t>(sign | (std::bit_cast<std::uint32_t>(aligned) - 0x46800000U))};
  }
  std::uint32_t const rounded = magnitude - 0x3c000000U + 0x0007ffffU + ((magnitude >> 20) & 1U);
  return {static_cast<std::uint8_t>(sign | (rounded >> 20))};
}

}  // namespace lacuna
