#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>

#include "lacuna/core/shape.hpp"

namespace lacuna {

// Counts in double: a prefill of a large model has more FLOPs than an int64 holds. Shapes are taken to have passed
// Shape::check(), and sizes of windows, blocks and pages to be at least 1.

/// What one call of one attention layer computes and moves, over all of its heads. A multiply-add is 2 FLOPs; a
/// comparison counts as 1. Multiply by layers and batch as needed.
struct Work {
  double flops = 0.0;
  double bytes = 0.0;

  friend constexpr Work operator+(Work a, Work b) { return {a.flops + b.flops, a.bytes + b.bytes}; }
  friend constexpr Work operator*(double times, Work w) { return {times * w.flops, times * w.bytes}; }
  friend constexpr bool operator==(Work const&, Work const&) = default;
};

/// Work of choosing and of attending. `sparse` says that attention runs over an index, hence at the rate of the sparse
/// kernels.
struct AttentionWork {
  Work select{};
  Work attend{};
  bool sparse = false;

  constexpr Work total() const { return select + attend; }
};

/// Bytes per stored element. For quantised keys and values `kv` includes their scales: int8 with one float per 128
/// elements is 1 + 4.0 / 128.
struct StorageBytes {
  double kv = 2.0;
  double bounds = 2.0;       // minimum and maximum keys of pages
  double activations = 2.0;  // q and out
};

/// The two phases of a call. Nothing is inferred from a token count, since a prompt of one token is a prompt.
enum class Phase : std::uint8_t { prefill, decode };

/// The work of a method: of a prompt (or the last len_q tokens of one), and of a step of one query over len_k tokens.
/// A method that leaves a phase dense says so by returning the dense work.
template <class M>
concept MethodCost = requires(M const method, Shape const& shape, StorageBytes storage) {
  { method.prefill(shape, storage) } -> std::same_as<AttentionWork>;
  { method.decode(shape, storage) } -> std::same_as<AttentionWork>;
};

template <MethodCost M>
constexpr AttentionWork work_of(M const& method, Phase phase, Shape const& shape, StorageBytes storage = {}) {
  return phase == Phase::prefill ? method.prefill(shape, storage) : method.decode(shape, storage);
}

/// Pairs (query, key) of one head with the key at or before the query: len (len + 1) / 2 for a prompt of its own.
constexpr double causal_pairs(Shape const& shape) {
  auto const len_q = static_cast<double>(shape.len_q), len_k = static_cast<double>(shape.len_k);
  return len_q * len_k - 0.5 * len_q * (len_q - 1.0);
}

/// Logits and weighted sum of values: 4 dim FLOPs for each of `pairs` (query, key) pairs of each query head. Softmax,
/// about 3 more per pair, is left out as in the papers' accounts.
constexpr double attend_flops(Shape const& shape, double pairs) {
  return 4.0 * static_cast<double>(shape.dim * shape.heads_q) * pairs;
}

/// Bytes of the keys and values of `tokens` tokens, over all KV heads.
constexpr double kv_bytes(Shape const& shape, double tokens, StorageBytes storage) {
  return 2.0 * static_cast<double>(shape.dim * shape.heads_kv) * tokens * storage.kv;
}

/// Attention of a prompt over `pairs` pairs of each query head. Every operand once through memory; what the caches miss
/// again is part of the measured rates.
constexpr Work prompt_attention(Shape const& shape, double pairs, StorageBytes storage) {
  double const rows_bytes = 2.0 * static_cast<double>(shape.dim * shape.heads_q * shape.len_q) * storage.activations;
  return {attend_flops(shape, pairs), rows_bytes + kv_bytes(shape, static_cast<double>(shape.len_k), storage)};
}

/// Attention of one query that reads `tokens` tokens of each KV head.
constexpr Work step_attention(Shape const& shape, double tokens, StorageBytes storage) {
  return {attend_flops(shape, tokens), kv_bytes(shape, tokens, storage)};
}

/// Everything attends to everything before it.
struct DenseCost {
  constexpr AttentionWork prefill(Shape const& shape, StorageBytes storage) const {
    return {{}, prompt_attention(shape, causal_pairs(shape), storage)};
  }
  constexpr AttentionWork decode(Shape const& shape, StorageBytes storage) const {
    return {{}, step_attention(shape, static_cast<double>(shape.len_k), storage)};
  }
};

namespace detail {

/// Comparisons of sorting `count` scores, count log2(count); std::log2 is not constexpr.
constexpr double sort_comparisons(double count) {
  double log2 = 0.0, rest = count;
  for (; rest >= 2.0; rest *= 0.5) log2 += 1.0;
  for (double bit = 0.5; bit > 1e-15 && count > 1.0; bit *= 0.5) {
    rest *= rest;
    if (rest < 2.0) continue;
    rest *= 0.5;
    log2 += bit;
  }
  return count * log2;
}

}  // namespace detail

/// Scores from the attention of the last `window` queries: FLOPs of logits, and per logit of the softmax and of what is
/// made of it. `passes` is 2 where the logits are computed twice instead of stored, as in kernels/window_scores.hpp.
struct WindowEstimate {
  std::int64_t window = 256;
  int passes = 1;

  constexpr double flops(Shape const& shape, double per_logit) const {
    auto const logits = static_cast<double>(std::min(window, shape.len_q) * shape.len_k);
    return static_cast<double>(shape.heads_q) * logits * (2.0 * passes * static_cast<double>(shape.dim) + per_logit);
  }
};

}  // namespace lacuna
