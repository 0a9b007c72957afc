#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

namespace support {

/// A small generator of our own (SplitMix64): the standard distributions give other numbers with another library.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t bits() {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15ULL;
    z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27U)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31U);
  }
  /// In [0, 1).
  double uniform() { return std::ldexp(static_cast<double>(bits() >> 11U), -53); }
  /// In [0, bound).
  std::int64_t below(std::int64_t bound) {
    return static_cast<std::int64_t>(bits() % static_cast<std::uint64_t>(bound));
  }
  double normal() {
    double const radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
    return radius * std::cos(6.283185307179586 * uniform());
  }
  /// Ascending ids below `bound`, each taken with the given chance.
  std::vector<std::int64_t> subset(std::int64_t bound, double chance) {
    std::vector<std::int64_t> ids;
    for (std::int64_t id = 0; id < bound; ++id)
      if (uniform() < chance) ids.push_back(id);
    return ids;
  }

 private:
  std::uint64_t state_;
};

}  // namespace support
