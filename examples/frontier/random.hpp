#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace frontier {

/// SplitMix64 (Steele, Lea, Flood 2014): one step of the sequence that starts at `state`.
constexpr std::uint64_t split_mix(std::uint64_t& state) {
  std::uint64_t z = (state += 0x9e3779b97f4a7c15ULL);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

/// The suite's only source of chance: xoshiro256** (Blackman, Vigna 2018) seeded through SplitMix64. Written out,
/// because the distributions of the standard library differ between implementations and a seed must mean the same
/// prompt everywhere.
class Random {
 public:
  /// The stream of one sample of one task; different names and indices give unrelated streams.
  Random(std::uint64_t seed, std::string_view task, std::int64_t index) {
    std::uint64_t key = seed;
    for (char c : task) key = split_mix(key) ^ static_cast<unsigned char>(c);
    key = split_mix(key) ^ static_cast<std::uint64_t>(index);
    for (std::uint64_t& word : state_) word = split_mix(key);
  }

  std::uint64_t bits() {
    std::uint64_t const result = rotate(state_[1] * 5, 7) * 9;
    std::uint64_t const t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = rotate(state_[3], 45);
    return result;
  }

  /// Uniform in [0, bound), by rejection. bound > 0.
  std::int64_t below(std::int64_t bound) {
    auto const range = static_cast<std::uint64_t>(bound);
    std::uint64_t const limit = ~std::uint64_t{0} - (~std::uint64_t{0} % range + 1) % range;
    std::uint64_t draw = bits();
    while (draw > limit) draw = bits();
    return static_cast<std::int64_t>(draw % range);
  }

  /// Uniform in [low, high].
  std::int64_t between(std::int64_t low, std::int64_t high) { return low + below(high - low + 1); }

  bool chance(double probability) { return static_cast<double>(bits() >> 11) * 0x1.0p-53 < probability; }

  template <class T>
  T const& choice(std::vector<T> const& items) {
    return items[static_cast<std::size_t>(below(static_cast<std::int64_t>(items.size())))];
  }

  /// Fisher-Yates.
  template <class T>
  void shuffle(std::vector<T>& items) {
    for (std::size_t i = items.size(); i > 1; --i) {
      std::swap(items[i - 1], items[static_cast<std::size_t>(below(static_cast<std::int64_t>(i)))]);
    }
  }

  /// `count` distinct members in random order: a partial Fisher-Yates over a copy.
  template <class T>
  std::vector<T> sample(std::vector<T> items, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) {
      std::int64_t const j = between(i, static_cast<std::int64_t>(items.size()) - 1);
      std::swap(items[static_cast<std::size_t>(i)], items[static_cast<std::size_t>(j)]);
    }
    items.resize(static_cast<std::size_t>(count));
    return items;
  }

 private:
  static constexpr std::uint64_t rotate(std::uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }

  std::uint64_t state_[4]{};
};

}  // namespace frontier
