#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "reference/inputs.hpp"
#include "reference/ranking.hpp"

namespace reference {

/// Smallest and largest value of each channel over the keys of one page that exist. A NaN among them wins both.
struct PageBounds {
  std::vector<double> low;   // [dim]
  std::vector<double> high;  // [dim]
};

inline PageBounds page_bounds(Inputs const& in, std::int64_t head_kv, std::int64_t page, std::int64_t page_tokens) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  std::size_t const dim = static_cast<std::size_t>(in.dim);
  PageBounds bounds{std::vector<double>(dim, kInf), std::vector<double>(dim, -kInf)};
  for (std::int64_t j = page * page_tokens; j < std::min(in.len_k, (page + 1) * page_tokens); ++j) {
    for (std::size_t x = 0; x < dim; ++x) {
      double const channel = in.key(j, head_kv)[x];
      if (std::isnan(channel) || std::isnan(bounds.low[x])) {
        bounds.low[x] = bounds.high[x] = std::numeric_limits<double>::quiet_NaN();
      } else {
        bounds.low[x] = std::min(bounds.low[x], channel);
        bounds.high[x] = std::max(bounds.high[x], channel);
      }
    }
  }
  return bounds;
}

/// Upper bound of <q, k> over every k between the bounds.
inline double bound_score(double const* query, PageBounds const& bounds) {
  double score = 0.0;
  for (std::size_t x = 0; x < bounds.low.size(); ++x) {
    double const low = query[x] * bounds.low[x];
    double const high = query[x] * bounds.high[x];
    score += std::isnan(low) || std::isnan(high) ? std::numeric_limits<double>::quiet_NaN() : std::max(low, high);
  }
  return score;
}

inline std::int64_t current_page(std::int64_t len, std::int64_t page_tokens) { return (len - 1) / page_tokens; }

/// One score per page before the current one, for the last query row.
inline UnitScores quest_scores(Inputs const& in, std::int64_t head_q, std::int64_t page_tokens) {
  UnitScores scores;
  for (std::int64_t page = 0; page < current_page(in.len_k, page_tokens); ++page)
    scores.push_back(
        bound_score(in.query(in.len_q - 1, head_q), page_bounds(in, in.head_kv(head_q), page, page_tokens)));
  return scores;
}

/// The same, summed over the query heads that share the KV head.
inline UnitScores quest_shared_scores(Inputs const& in, std::int64_t head_kv, std::int64_t page_tokens) {
  UnitScores scores(static_cast<std::size_t>(current_page(in.len_k, page_tokens)));
  for (std::int64_t g = 0; g < in.group(); ++g) {
    UnitScores const one = quest_scores(in, head_kv * in.group() + g, page_tokens);
    for (std::size_t page = 0; page < scores.size(); ++page) scores[page] += one[page];
  }
  return scores;
}

/// Pages to read: the best `budget_pages` of those before the current one, and the current one last.
inline Units quest_pages(UnitScores const& scores, std::int64_t budget_pages) {
  Units pages = top_units(scores, {}, budget_pages);
  pages.push_back(static_cast<std::int64_t>(scores.size()));
  return pages;
}

inline Keys page_keys(Units const& pages, std::int64_t page_tokens, std::int64_t len) {
  Keys keys;
  for (std::int64_t page : pages)
    for (std::int64_t j = page * page_tokens; j < std::min(len, (page + 1) * page_tokens); ++j) keys.push_back(j);
  return keys;
}

}  // namespace reference
