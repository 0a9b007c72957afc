#pragma once

#include <algorithm>
#include <cstdint>

#include "lacuna/core/shape.hpp"
#include "lacuna/core/status.hpp"

namespace lacuna {

/// The first tokens and the most recent ones, for every query alike; the last queries see everything. Needs no memory.
struct BandIndex {
  std::int64_t sink_tokens = 0;
  std::int64_t window_tokens = 0;  // a query's own included
  std::int64_t dense_queries = 0;  // at the end of the problem
  std::int64_t len_q = 0;
  std::int64_t len_k = 0;
  std::int64_t heads = 0;  // query heads

  /// The keys of the query at `position` are [0, sink_end) and [window_begin, position], which do not overlap.
  std::int64_t window_begin(std::int64_t position) const {
    return position >= len_k - dense_queries ? 0 : std::max<std::int64_t>(position + 1 - window_tokens, 0);
  }
  std::int64_t sink_end(std::int64_t position) const { return std::min(sink_tokens, window_begin(position)); }

  Status check(Shape const& shape) const {
    if (sink_tokens < 0 || window_tokens < 1)
      return Status::invalid("band_index: sink_tokens must be at least 0 and window_tokens at least 1", window_tokens,
                             1);
    if (heads != shape.heads_q) return Status::invalid("band_index: heads must be heads_q", heads, shape.heads_q);
    if (len_q != shape.len_q) return Status::invalid("band_index: len_q is not the problem's", len_q, shape.len_q);
    if (len_k != shape.len_k) return Status::invalid("band_index: len_k is not the problem's", len_k, shape.len_k);
    return {};
  }
};

}  // namespace lacuna
