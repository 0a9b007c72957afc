#pragma once

#include <algorithm>
#include <cstdint>

#include "lacuna/core/shape.hpp"
#include "lacuna/core/status.hpp"
#include "lacuna/core/tensor_view.hpp"
#include "lacuna/index/ascending.hpp"

namespace lacuna {

/// Kept columns (single keys, for every later query) and diagonals (fixed distances query - key) of each query head, or
/// of each KV head whose group shares them. Diagonals are executed as tiles: a block of `tile` query rows reads, for
/// each diagonal, the `tile` keys that contain it for all rows of the block; row_block_runs says which keys that makes.
/// Offset 0 should be kept, or row 0 may see nothing.
struct VerticalSlashIndex {
  TensorView<std::int32_t, 2> columns;    // [heads_q, capacity], key positions, ascending
  TensorView<std::int32_t, 2> diagonals;  // [heads_q, capacity], offsets query - key, ascending
  TensorView<std::int32_t, 2> counts;     // [heads_q, 2], kept columns and kept diagonals
  std::int64_t len_q = 0;                 // rows, at positions len_k - len_q .. len_k - 1
  std::int64_t len_k = 0;
  std::int64_t tile = 64;

  std::int64_t heads() const { return counts.extent(0); }

  Status check(Shape const& shape) const {
    if (tile < 1) return Status::invalid("vertical_slash_index: tile must be at least 1", tile, 1);
    if ((heads() != shape.heads_q && heads() != shape.heads_kv) || columns.extent(0) != heads() ||
        diagonals.extent(0) != heads())
      return Status::invalid("vertical_slash_index: must have one row per query head or per KV head", heads(),
                             shape.heads_q);
    if (len_q != shape.len_q)
      return Status::invalid("vertical_slash_index: len_q is not the problem's", len_q, shape.len_q);
    if (len_k != shape.len_k)
      return Status::invalid("vertical_slash_index: len_k is not the problem's", len_k, shape.len_k);
    for (std::int64_t head = 0; head < heads(); ++head) {
      if (counts(head, 0) < 0 || counts(head, 0) > columns.extent(1))
        return Status::invalid("vertical_slash_index: a column count is beyond the capacity", counts(head, 0),
                               columns.extent(1));
      if (counts(head, 1) < 0 || counts(head, 1) > diagonals.extent(1))
        return Status::invalid("vertical_slash_index: a diagonal count is beyond the capacity", counts(head, 1),
                               diagonals.extent(1));
      Status s = detail::check_ascending(columns.slice(head), counts(head, 0), len_k,
                                         "vertical_slash_index: columns must be ascending, unique and below len_k");
      if (!s) return s;
      s = detail::check_ascending(diagonals.slice(head), counts(head, 1), len_k,
                                  "vertical_slash_index: diagonals must be ascending, unique and below len_k");
      if (!s) return s;
    }
    return {};
  }
};

/// The keys that the query rows [block * tile, (block + 1) * tile) of a head read, as disjoint runs in ascending order:
/// calls tiles(begin, end) for keys that come from diagonals, whole tiles of them, and column(key) for the columns that
/// no tile of this block covers. A tile may reach past the diagonal and past len_k: the reader masks by position.
/// This is the tile conversion of the Vertical-Slash method, O(columns + diagonals). No diagonals, no runs.
template <class Tiles, class Column>
void row_block_runs(VerticalSlashIndex const& index, std::int64_t head, std::int64_t block, Tiles&& tiles,
                    Column&& column) {
  std::int64_t const tile = index.tile;
  std::int64_t const block_end = (block + 1) * tile;
  std::int32_t const* const offsets = index.diagonals.slice(head);
  std::int32_t const* const keys = index.columns.slice(head);
  std::int32_t const* const keys_end = keys + index.counts(head, 0);
  std::int32_t const* next_key = keys;
  // Descending offsets give ascending interval ends.
  std::int32_t const* offset = std::lower_bound(offsets, offsets + index.counts(head, 1), block_end);
  if (offset == offsets) return;

  auto const close = [&](std::int64_t begin, std::int64_t end) {
    for (; next_key != keys_end && *next_key < begin; ++next_key) column(std::int64_t{*next_key});
    while (next_key != keys_end && *next_key < end) ++next_key;
    tiles(begin, end);
  };
  std::int64_t end = std::max(block_end - *--offset, tile);
  std::int64_t begin = end - tile;
  while (offset != offsets) {
    std::int64_t const next_end = std::max(block_end - *--offset, tile);
    if (next_end <= end) continue;
    if (next_end <= end + tile) {
      end += tile;  // by one whole tile, not to next_end
    } else {
      close(begin, end);
      end = next_end;
      begin = end - tile;
    }
  }
  close(begin, end);
}

}  // namespace lacuna
