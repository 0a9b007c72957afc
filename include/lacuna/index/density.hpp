#pragma once

#include <algorithm>
#include <cstdint>

#include "lacuna/index/band_index.hpp"
#include "lacuna/index/block_index.hpp"
#include "lacuna/index/dense_index.hpp"
#include "lacuna/index/page_index.hpp"
#include "lacuna/index/token_index.hpp"
#include "lacuna/index/vertical_slash_index.hpp"

namespace lacuna {

// density(index): the exact share of the dense causal work that an index keeps, in [0, 1], over all of its heads.
// Prefill counts query-key pairs, decode counts the tokens that one query reads. An empty problem has density 1:
// nothing was left out. With a sliding window (Problem::window_tokens, 0 if none) both sides count only what it leaves.

inline double density(DenseIndex const&, std::int64_t = 0) { return 1.0; }

namespace detail {

/// The first token that the newest query of a head sees.
constexpr std::int64_t first_in_window(std::int64_t len, std::int64_t window_tokens) {
  return window_tokens == 0 ? 0 : std::max<std::int64_t>(len - window_tokens, 0);
}

}  // namespace detail

inline double density(TokenIndex const& index, std::int64_t window_tokens = 0) {
  std::int64_t kept = 0, held = 0;
  for (std::int64_t head = 0; head < index.heads(); ++head) {
    std::int64_t const first = detail::first_in_window(index.lens(head), window_tokens);
    std::int32_t const* const tokens = index.tokens.slice(head);
    std::int32_t const* const end = tokens + index.counts(head);
    kept += end - std::lower_bound(tokens, end, first);
    held += index.lens(head) - first;
  }
  return held == 0 ? 1.0 : static_cast<double>(kept) / static_cast<double>(held);
}

inline double density(PageIndex const& index, std::int64_t window_tokens = 0) {
  std::int64_t kept = 0, held = 0;
  for (std::int64_t row = 0; row < index.rows(); ++row) {
    std::int64_t const len = index.lens(row), first = detail::first_in_window(len, window_tokens);
    for (std::int64_t i = 0; i < index.counts(row); ++i) {
      std::int64_t const begin = index.pages(row, i) * index.page_tokens;
      kept += std::max<std::int64_t>(std::min(begin + index.page_tokens, len) - std::max(begin, first), 0);
    }
    held += len - first;
  }
  return held == 0 ? 1.0 : static_cast<double>(kept) / static_cast<double>(held);
}

namespace detail {

/// Pairs (query, key) with key <= query, for queries [first, last) and keys [begin, end).
constexpr std::int64_t causal_pairs(std::int64_t first, std::int64_t last, std::int64_t begin, std::int64_t end) {
  auto const pairs_before = [&](std::int64_t queries_end) {  // of the queries [begin, queries_end)
    std::int64_t const rising = std::clamp<std::int64_t>(queries_end - begin, 0, end - begin);
    std::int64_t const full = std::max<std::int64_t>(queries_end - end, 0);
    return rising * (rising + 1) / 2 + full * (end - begin);
  };
  return pairs_before(last) - pairs_before(first);
}

/// Of these the ones with query - key < window_tokens: all but those of queries as far behind.
constexpr std::int64_t seen_pairs(std::int64_t first, std::int64_t last, std::int64_t begin, std::int64_t end,
                                  std::int64_t window_tokens) {
  std::int64_t const causal = causal_pairs(first, last, begin, end);
  return window_tokens == 0 ? causal : causal - causal_pairs(first - window_tokens, last - window_tokens, begin, end);
}

}  // namespace detail

inline double density(VerticalSlashIndex const& index, std::int64_t window_tokens = 0) {
  std::int64_t const first_query = index.len_k - index.len_q;
  std::int64_t kept = 0;
  for (std::int64_t head = 0; head < index.heads(); ++head)
    for (std::int64_t block = first_query / index.tile; block * index.tile < index.len_k; ++block) {
      std::int64_t const first = std::max(block * index.tile, first_query);
      std::int64_t const last = std::min((block + 1) * index.tile, index.len_k);
      row_block_runs(
          index, head, block,
          [&](std::int64_t begin, std::int64_t end) {
            kept += detail::seen_pairs(first, last, begin, end, window_tokens);
          },
          [&](std::int64_t key) { kept += detail::seen_pairs(first, last, key, key + 1, window_tokens); });
    }
  std::int64_t const dense =
      index.heads() * detail::seen_pairs(first_query, index.len_k, 0, index.len_k, window_tokens);
  return dense == 0 ? 1.0 : static_cast<double>(kept) / static_cast<double>(dense);
}

inline double density(BandIndex const& index, std::int64_t window_tokens = 0) {
  std::int64_t kept = 0;
  for (std::int64_t position = index.len_k - index.len_q; position < index.len_k; ++position)
    kept += detail::seen_pairs(position, position + 1, 0, index.sink_end(position), window_tokens) +
            detail::seen_pairs(position, position + 1, index.window_begin(position), position + 1, window_tokens);
  std::int64_t const dense = detail::seen_pairs(index.len_k - index.len_q, index.len_k, 0, index.len_k, window_tokens);
  return dense == 0 ? 1.0 : static_cast<double>(kept) / static_cast<double>(dense);
}

inline double density(BlockIndex const& index, std::int64_t window_tokens = 0) {
  std::int64_t const first_query = index.len_k - index.len_q, block = index.block_tokens;
  std::int64_t kept = 0;
  for (std::int64_t r = 0; r < index.rows(); ++r) {
    std::int64_t const m = index.first_block() + r;
    std::int64_t const first = std::max(m * block, first_query), last = std::min((m + 1) * block, index.len_k);
    for (std::int64_t head = 0; head < index.heads(); ++head) {
      std::int32_t const* const ids = index.row(head, r);
      for (std::int64_t i = 0; i < index.counts(head, r); ++i)
        kept +=
            detail::seen_pairs(first, last, ids[i] * block, std::min((ids[i] + 1) * block, index.len_k), window_tokens);
    }
  }
  std::int64_t const dense =
      index.heads() * detail::seen_pairs(first_query, index.len_k, 0, index.len_k, window_tokens);
  return dense == 0 ? 1.0 : static_cast<double>(kept) / static_cast<double>(dense);
}

/// The sparsity that Block-Sparse and XAttention report, mean over heads: blocks kept against causal blocks, a diagonal
/// block counted whole. For a prompt of its own: len_q == len_k.
inline double paper_sparsity(BlockIndex const& index) {
  std::int64_t kept = 0;
  for (std::int64_t head = 0; head < index.heads(); ++head)
    for (std::int64_t r = 0; r < index.rows(); ++r) kept += index.counts(head, r);
  double const blocks = static_cast<double>(index.rows());
  double const causal = static_cast<double>(index.heads()) * blocks * (blocks + 1.0) / 2.0;
  return causal == 0.0 ? 0.0 : 1.0 - static_cast<double>(kept) / causal;
}

/// The Vertical-Slash paper's own sparsity, mean over heads: whole tiles are counted, masked cells included, so short
/// prompts give negative values and it cannot be compared with other methods. For a prompt of its own: len_q == len_k.
inline double paper_sparsity(VerticalSlashIndex const& index) {
  std::int64_t cells = 0;
  for (std::int64_t head = 0; head < index.heads(); ++head)
    for (std::int64_t block = 0; block * index.tile < index.len_k; ++block)
      row_block_runs(
          index, head, block, [&](std::int64_t begin, std::int64_t end) { cells += (end - begin) * index.tile; },
          [&](std::int64_t) { cells += index.tile; });
  double const dense = 0.5 * static_cast<double>(index.len_k) * static_cast<double>(index.len_k + 1);
  return dense == 0.0 ? 0.0 : 1.0 - static_cast<double>(cells) / (static_cast<double>(index.heads()) * dense);
}

/// The sparsity that SnapKV and Quest report: the budget against the prompt. The current page, the tokens generated
/// since and the page bounds are not counted; negative when the budget exceeds the prompt.
inline double paper_sparsity(std::int64_t budget_tokens, std::int64_t prompt_tokens) {
  return prompt_tokens == 0 ? 0.0 : 1.0 - static_cast<double>(budget_tokens) / static_cast<double>(prompt_tokens);
}

}  // namespace lacuna
