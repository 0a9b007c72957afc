#include "lacuna/core/dtype.hpp"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "support/catch.hpp"
#include "support/inputs.hpp"

namespace {

template <class T>
T from_bits(std::uint32_t bits) {
  return std::bit_cast<T>(static_cast<std::uint16_t>(bits));
}

/// Every one of the 65536 patterns survives the way to float and back; NaN stays NaN.
template <class T>
void every_pattern_returns() {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    float const x = lacuna::to_float(from_bits<T>(bits));
    auto const back = std::bit_cast<std::uint16_t>(lacuna::from_float<T>(x));
    bool const right = std::isnan(x) ? std::isnan(lacuna::to_float(from_bits<T>(back))) : back == bits;
    if (!right) FAIL("pattern " << bits << " became " << back);
  }
}

template <class T>
void rounds_to_nearest_even() {
  support::Random random(5);
  for (int round = 0; round < 200000; ++round) {
    float const x = std::bit_cast<float>(static_cast<std::uint32_t>(random.bits()));
    if (!std::isfinite(x)) continue;
    double const exact = support::round_to<T>(x);
    float const got = lacuna::to_float(lacuna::from_float<T>(x));
    double const largest = lacuna::to_float(from_bits<T>(std::is_same_v<T, lacuna::half> ? 0x7BFFU : 0x7F7FU));
    bool const right =
        std::abs(exact) > largest ? std::isinf(got) && std::signbit(got) == std::signbit(x) : got == exact;
    if (!right) FAIL(x << " became " << got << ", nearest is " << exact);
  }
}

TEST_CASE("dtype: every bfloat16 and half survives the way to float and back", "[core]") {
  every_pattern_returns<lacuna::bfloat16>();
  every_pattern_returns<lacuna::half>();
}

TEST_CASE("dtype: floats round to the nearest, ties to even, past the end to infinity", "[core]") {
  rounds_to_nearest_even<lacuna::bfloat16>();
  rounds_to_nearest_even<lacuna::half>();
}

TEST_CASE("dtype: a NaN whose payload lies in the low bits stays NaN", "[core]") {
  float const quiet_low = std::bit_cast<float>(0x7F800001U);
  CHECK(std::isnan(lacuna::to_float(lacuna::from_float<lacuna::bfloat16>(quiet_low))));
  CHECK(std::isnan(lacuna::to_float(lacuna::from_float<lacuna::half>(quiet_low))));
}

TEST_CASE("dtype: float is itself", "[core]") { CHECK(lacuna::to_float(lacuna::from_float<float>(0.1F)) == 0.1F); }

/// The format's own definition: sign, 4 bits of exponent with bias 7, 3 of significand.
double e4m3_value(int bits) {
  int const exponent = (bits >> 3) & 15, significand = bits & 7;
  double const magnitude = exponent == 0 ? std::ldexp(significand, -9) : std::ldexp(8 + significand, exponent - 10);
  return (bits & 0x80) != 0 ? -magnitude : magnitude;
}

TEST_CASE("dtype: every e4m3 is what the format says, and survives the way to float and back", "[core]") {
  for (int bits = 0; bits < 256; ++bits) {
    lacuna::e4m3 const x{static_cast<std::uint8_t>(bits)};
    CAPTURE(bits);
    REQUIRE(lacuna::to_float(x) == e4m3_value(bits));
    if ((bits & 0x7f) != 0x7f) REQUIRE(lacuna::quantise(lacuna::to_float(x)) == x);
  }
}

TEST_CASE("dtype: e4m3 is the nearest, ties to even, and ends at 448", "[core]") {
  support::Random random(3);
  for (int round = 0; round < 20000; ++round) {
    auto const x = static_cast<float>(std::ldexp(random.uniform() + 0.5, static_cast<int>(random.below(24)) - 14));
    int best = 0;
    for (int bits = 1; bits < 0x7f; ++bits) {
      double const here = std::abs(e4m3_value(bits) - double{x}), before = std::abs(e4m3_value(best) - double{x});
      if (here < before || (here == before && bits % 2 == 0)) best = bits;
    }
    CAPTURE(x, best);
    REQUIRE(lacuna::quantise(x).bits == best);
    REQUIRE(lacuna::quantise(-x).bits == (best | 0x80));
  }
  for (float x : {464.0F, 1e30F, std::numeric_limits<float>::infinity(), std::nanf("")})
    REQUIRE(lacuna::quantise(x).bits == 0x7e);
}

}  // namespace
