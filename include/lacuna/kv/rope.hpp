#pragma once

#include <cmath>
#include <cstdint>

#include "lacuna/core/dtype.hpp"
#include "lacuna/core/tensor_view.hpp"

namespace lacuna {

/// Rotary position embedding (arXiv 2104.09864): pair i of a row's channels turns by its frequency per position.
struct Rope {
  double theta = 10000.0;                    // frequency i is theta^(-2 i / dim)
  TensorView<float const, 1> frequencies{};  // [dim / 2], the caller's, instead; null: those of theta
  bool neighbours = false;                   // a pair is channels 2 i and 2 i + 1; else i and i + dim / 2

  /// Turns a row, of an even number of channels, by this many positions more.
  template <Storage T>
  void turn(T* row, std::int64_t dim, std::int64_t positions) const {
    std::int64_t const pairs = dim / 2;
    for (std::int64_t i = 0; i < pairs; ++i) {
      double const frequency = frequencies.data != nullptr
                                   ? double{frequencies(i)}
                                   : std::pow(theta, -static_cast<double>(i) / static_cast<double>(pairs));
      double const angle = static_cast<double>(positions) * frequency;
      auto const cosine = static_cast<float>(std::cos(angle)), sine = static_cast<float>(std::sin(angle));
      T& a = row[neighbours ? 2 * i : i];
      T& b = row[neighbours ? 2 * i + 1 : i + pairs];
      float const x = to_float(a), y = to_float(b);
      a = from_float<T>(x * cosine - y * sine);
      b = from_float<T>(x * sine + y * cosine);
    }
  }
};

}  // namespace lacuna
