#pragma once

#include <cstdint>

#include "lacuna/core/config.hpp"
#include "lacuna/core/shape.hpp"
#include "lacuna/core/status.hpp"
#include "lacuna/core/tensor_view.hpp"
#include "lacuna/index/ascending.hpp"

namespace lacuna {

/// Kept key blocks of each block of queries. Blocks are runs of `block_tokens` positions from the sequence's start, for
/// queries and keys alike. Row r of a head is query block first_block() + r; its key blocks are the counts(head, r)
/// ids from row(head, r) on. A row of heads is a query head, or a KV head whose group shares the choice.
///
/// On the device, for a batch: `offsets` is null and row r begins at r * room; the rows of sequence b are those from
/// first_row(b, first query of b, block_tokens) on; what each of them is follows from the sequence's own lengths, not
/// from len_q and len_k, which are capacities there.
struct BlockIndex {
  TensorView<std::int32_t, 2> blocks;   // [heads, capacity], compressed rows, each ascending and causal
  TensorView<std::int32_t, 2> counts;   // [heads, rows or more]
  TensorView<std::int64_t, 1> offsets;  // [rows + 1 or more], where each row's room begins, the same for every head
  std::int64_t len_q = 0;               // queries, at positions len_k - len_q .. len_k - 1
  std::int64_t len_k = 0;
  std::int64_t block_tokens = 16;
  std::int64_t room = 0;  // the most key blocks that a row may keep

  std::int64_t heads() const { return counts.extent(0); }
  /// Where the rows of a sequence of a batch begin: those before it have at most so many.
  LACUNA_HD static constexpr std::int64_t first_row(std::int64_t sequence, std::int64_t first_query,
                                                    std::int64_t block_tokens) {
    return first_query / block_tokens + 2 * sequence;
  }
  std::int64_t first_block() const { return (len_k - len_q) / block_tokens; }
  std::int64_t rows() const { return len_q == 0 ? 0 : (len_k - 1) / block_tokens - first_block() + 1; }
  std::int32_t* row(std::int64_t head, std::int64_t r) const {
    return blocks.slice(head) + (offsets.data == nullptr ? r * room : offsets(r));
  }
  std::int64_t capacity(std::int64_t r) const { return offsets(r + 1) - offsets(r); }

  Status check(Shape const& shape) const {
    if (block_tokens < 1) return Status::invalid("block_index: block_tokens must be at least 1", block_tokens, 1);
    if (heads() != shape.heads_q && heads() != shape.heads_kv)
      return Status::invalid("block_index: must have one row per query head or per KV head", heads(), shape.heads_q);
    if (blocks.extent(0) != heads())
      return Status::invalid("block_index: blocks and counts must have the same heads", blocks.extent(0), heads());
    if (len_q != shape.len_q) return Status::invalid("block_index: len_q is not the problem's", len_q, shape.len_q);
    if (len_k != shape.len_k) return Status::invalid("block_index: len_k is not the problem's", len_k, shape.len_k);
    if (counts.extent(1) < rows() || offsets.extent(0) <= rows())
      return Status::invalid("block_index: must have a count and an offset for every query block", counts.extent(1),
                             rows());
    for (std::int64_t r = 0; r < rows(); ++r) {
      if (capacity(r) < 0 || offsets(0) < 0 || offsets(r + 1) > blocks.extent(1))
        return Status::invalid("block_index: offsets must ascend within the capacity", offsets(r + 1),
                               blocks.extent(1));
      for (std::int64_t head = 0; head < heads(); ++head) {
        if (counts(head, r) < 0 || counts(head, r) > capacity(r))
          return Status::invalid("block_index: a count is beyond the room of its row", counts(head, r), capacity(r));
        Status const s = detail::check_ascending(row(head, r), counts(head, r), first_block() + r + 1,
                                                 "block_index: blocks must be ascending, unique and causal");
        if (!s) return s;
      }
    }
    return {};
  }
};

}  // namespace lacuna
