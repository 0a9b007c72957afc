#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "reference/inputs.hpp"
#include "reference/ranking.hpp"

namespace reference {

/// Query blocks of a problem, as blocks of the whole sequence.
inline std::int64_t first_query_block(Inputs const& in, std::int64_t block) { return (in.len_k - in.len_q) / block; }
inline std::int64_t end_query_block(Inputs const& in, std::int64_t block) { return (in.len_k + block - 1) / block; }

/// Mean row of a block; rows that the problem does not have count as zeros.
template <class Row>
std::vector<double> pooled(std::int64_t block, std::int64_t tokens, std::int64_t begin, std::int64_t end,
                           std::int64_t dim, Row const& row) {
  std::vector<double> mean(static_cast<std::size_t>(dim));
  for (std::int64_t at = block * tokens; at < (block + 1) * tokens; ++at) {
    if (at < begin || at >= end) continue;
    for (std::int64_t x = 0; x < dim; ++x)
      mean[static_cast<std::size_t>(x)] += row(at)[x] / static_cast<double>(tokens);
  }
  return mean;
}

/// Scores of key blocks 0..m for query block m of one head.
inline UnitScores pooled_block_scores(Inputs const& in, std::int64_t head, std::int64_t m, std::int64_t tokens) {
  std::int64_t const first = in.len_k - in.len_q;
  auto const query =
      pooled(m, tokens, first, in.len_k, in.dim, [&](std::int64_t at) { return in.query(at - first, head); });
  UnitScores scores;
  for (std::int64_t c = 0; c <= m; ++c) {
    auto const key =
        pooled(c, tokens, 0, in.len_k, in.dim, [&](std::int64_t at) { return in.key(at, in.head_kv(head)); });
    scores.push_back(dot(query.data(), key.data(), in.dim));
  }
  return scores;
}

/// Blocks that query block m always keeps: the first `sinks` and the last `recent` of those it can see.
inline Units forced_blocks(std::int64_t m, std::int64_t sinks, std::int64_t recent) {
  return both_ends(m + 1, sinks, recent);
}

/// E(i) of the query at position i, whose block keeps `kept`.
inline Keys block_keys(Units const& kept, std::int64_t i, std::int64_t tokens) {
  Keys keys;
  for (std::int64_t c : kept)
    for (std::int64_t j = c * tokens; j < (c + 1) * tokens && j <= i; ++j) keys.push_back(j);
  return keys;
}

/// Blocks kept against causal blocks, for a prompt of `len` tokens and `top` blocks a row.
inline double block_sparse_paper_sparsity(std::int64_t len, std::int64_t tokens, std::int64_t top) {
  double const n = static_cast<double>((len + tokens - 1) / tokens);
  double const k = std::min(static_cast<double>(top), n);
  return 1.0 - (k * (k + 1.0) / 2.0 + (n - k) * k) / (n * (n + 1.0) / 2.0);
}

}  // namespace reference
