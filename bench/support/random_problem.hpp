#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "lacuna/lacuna.hpp"

namespace lacuna::bench {

struct alignas(Workspace::kAlignment) Line {
  std::byte bytes[Workspace::kAlignment];
};
using Buffer = std::vector<Line>;

inline Buffer allocate(std::size_t bytes) { return Buffer(bytes / sizeof(Line) + 1); }

/// What a cache of the bench is asked to keep: bounds of pages of 16 tokens, and of a streaming one which heads stream.
template <class Cache>
struct CacheRule {
  using Type = std::int64_t;
  static constexpr Type usual = 16;
};
template <Storage T>
struct CacheRule<StreamingCache<T>> {
  using Type = StreamingRule;
  static constexpr Type usual{.bounds_page_tokens = 16};
};

/// Random queries, keys and values; keys and values sit in pages of 16 tokens that keep bounds of 16 tokens, and beside
/// them lies what any store keeps: codes of the keys, positions, and the attention received so far.
template <Storage T, template <class> class Cache = CodedKeysCache>
class RandomProblem {
 public:
  using Rule = typename CacheRule<Cache<T>>::Type;

  explicit RandomProblem(Shape const& shape, Rule const& rule = CacheRule<Cache<T>>::usual)
      : q_(random(shape.len_q * shape.heads_q * shape.dim)),
        out_(q_.size()),
        page_memory_(allocate(PagePool<T>::bytes(pages(shape), kPageTokens, shape.dim))),
        pool_(page_memory_.data(), pages(shape), kPageTokens, shape.dim),
        tables_(allocate(Cache<T>::bytes(pool_, shape.len_k, shape.heads_kv, rule))),
        cache_(pool_, tables_.data(), shape.len_k, shape.heads_kv, rule) {
    std::array<std::int64_t, 3> const rows{shape.len_k, shape.heads_kv, shape.dim};
    std::vector<T> const k = random(shape.len_k * shape.heads_kv * shape.dim), v = random(k.size());
    (void)cache_.append(Cpu{}, dense_view<T const, 3>(k.data(), rows), dense_view<T const, 3>(v.data(), rows));
    q_extents_ = {shape.len_q, shape.heads_q, shape.dim};
    masses_.resize(static_cast<std::size_t>(shape.heads_kv * shape.len_k));
    places_.resize(masses_.size());
    for (std::size_t at = 0; at < places_.size(); ++at)
      places_[at] = static_cast<std::int32_t>(static_cast<std::int64_t>(at) % shape.len_k);
    mass_ = dense_view<float, 2>(masses_.data(), {shape.heads_kv, shape.len_k});
    positions_ = dense_view<std::int32_t const, 2>(places_.data(), {shape.heads_kv, shape.len_k});
  }

  Problem<T> problem() const {
    Problem<T> problem{dense_view<T const, 3>(q_.data(), q_extents_), cache_.view()};
    problem.kv.mass = mass_;
    problem.kv.positions = positions_;
    return problem;
  }
  AttentionOut<T> out() { return {dense_view<T, 3>(out_.data(), q_extents_)}; }
  PagePool<T> const& pool() const { return pool_; }
  Cache<T>& cache() { return cache_; }

 private:
  static constexpr std::int64_t kPageTokens = 16;

  static std::int64_t pages(Shape const& shape) { return shape.heads_kv * (shape.len_k / kPageTokens + 1); }

  static std::vector<T> random(std::int64_t count) {
    static std::mt19937 bits(1);
    std::normal_distribution<float> normal;
    std::vector<T> values(static_cast<std::size_t>(count));
    for (T& value : values) value = from_float<T>(normal(bits));
    return values;
  }

  std::vector<T> q_, out_;
  std::array<std::int64_t, 3> q_extents_{};
  Buffer page_memory_;
  PagePool<T> pool_;
  Buffer tables_;
  Cache<T> cache_;
  std::vector<float> masses_;
  std::vector<std::int32_t> places_;
  TensorView<float, 2> mass_;
  TensorView<std::int32_t const, 2> positions_;
};

/// Queries times the keys they may see, over all heads.
inline double causal_pairs(Shape const& shape) {
  return static_cast<double>(shape.heads_q) * static_cast<double>(shape.len_q) *
         static_cast<double>(2 * shape.len_k - shape.len_q + 1) / 2.0;
}

}  // namespace lacuna::bench
