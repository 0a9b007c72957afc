#pragma once

#include <cstdint>

#include "lacuna/core/shape.hpp"
#include "lacuna/core/status.hpp"
#include "lacuna/core/tensor_view.hpp"
#include "lacuna/index/ascending.hpp"

namespace lacuna {

/// Kept pages of each row, for one query position. A row is a KV head when its group shares the choice, else a query
/// head. Page p of a row is the tokens [p * page_tokens, (p + 1) * page_tokens) below that row's length. The current
/// page, the one that holds the newest token, is last. A row of an empty cache keeps none.
struct PageIndex {
  TensorView<std::int32_t, 2> pages;   // [rows, capacity], logical pages, ascending
  TensorView<std::int32_t, 1> counts;  // [rows], the current page included
  TensorView<std::int32_t, 1> lens;    // [rows], tokens that the row's KV head held when the choice was made
  std::int64_t page_tokens = 0;

  std::int64_t rows() const { return counts.extent(0); }

  /// Tokens that a row reads: all of its pages are full but the current one.
  std::int64_t kept_tokens(std::int64_t row) const {
    std::int64_t const kept = counts(row);
    if (kept == 0) return 0;
    std::int64_t const last_end = (std::int64_t{pages(row, kept - 1)} + 1) * page_tokens;
    return kept * page_tokens - (last_end > lens(row) ? last_end - lens(row) : 0);
  }

  Status check(Shape const& shape) const {
    if (page_tokens < 1) return Status::invalid("page_index: page_tokens must be at least 1", page_tokens, 1);
    if (rows() != shape.heads_kv && rows() != shape.heads_q)
      return Status::invalid("page_index: must have one row per KV head or per query head", rows(), shape.heads_kv);
    if (pages.extent(0) != rows() || lens.extent(0) != rows())
      return Status::invalid("page_index: pages, counts and lens must have the same rows", pages.extent(0), rows());
    for (std::int64_t row = 0; row < rows(); ++row) {
      if (lens(row) < 0 || lens(row) > shape.len_k)
        return Status::invalid("page_index: a row's length is beyond len_k", lens(row), shape.len_k);
      if (counts(row) < 0 || counts(row) > pages.extent(1))
        return Status::invalid("page_index: a count is beyond the capacity", counts(row), pages.extent(1));
      std::int64_t const held = (lens(row) + page_tokens - 1) / page_tokens;
      Status const s = detail::check_ascending(pages.slice(row), counts(row), held,
                                               "page_index: pages must be ascending, unique and below the length");
      if (!s) return s;
      if (held > 0 && (counts(row) == 0 || pages(row, counts(row) - 1) != held - 1))
        return Status::invalid("page_index: the current page must be kept", row, held - 1);
    }
    return {};
  }
};

}  // namespace lacuna
