#pragma once

#include <cstdint>

#include "lacuna/core/problem.hpp"
#include "lacuna/core/status.hpp"

namespace lacuna {

/// The sizes of a problem without its data: what plan() needs. As a plan's argument each is the most that will come.
struct Shape {
  std::int64_t len_q = 0;  // queries of the call: the prompt in prefill, 1 in decode
  std::int64_t len_k = 0;  // tokens that the longest KV head holds, the queries' own included
  std::int64_t heads_q = 0;
  std::int64_t heads_kv = 0;
  std::int64_t dim = 0;

  constexpr std::int64_t group() const { return heads_q / heads_kv; }

  constexpr Status check() const {
    if (heads_kv < 1) return Status::invalid("shape: heads_kv must be at least 1", heads_kv, 1);
    if (heads_q < 1 || heads_q % heads_kv != 0)
      return Status::invalid("shape: heads_q must be a positive multiple of heads_kv", heads_q, heads_kv);
    if (dim < 1 || dim > 512) return Status::invalid("shape: dim must be in 1..512", dim, 512);
    if (len_q < 0) return Status::invalid("shape: len_q must not be negative", len_q, 0);
    if (len_k < len_q) return Status::invalid("shape: len_k must be at least len_q", len_k, len_q);
    if (len_k > kMaxTokens) return Status::invalid("shape: len_k must fit an int32 token id", len_k, kMaxTokens);
    return {};
  }

  static constexpr std::int64_t kMaxTokens = (std::int64_t{1} << 31) - 1024;

  friend constexpr bool operator==(Shape const&, Shape const&) = default;
};

template <class T>
std::int64_t longest_head(KvView<T> const& kv) {
  std::int64_t longest = 0;
  for (std::int64_t head = 0; head < kv.heads_kv; ++head)
    longest = kv.length(head) > longest ? kv.length(head) : longest;
  return longest;
}

template <class T>
Shape shape_of(Problem<T> const& problem) {
  return {problem.len_q(), longest_head(problem.kv), problem.heads_q(), problem.heads_kv(), problem.dim()};
}

}  // namespace lacuna
