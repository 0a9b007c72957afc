#pragma once

#include <cstdint>

#include "lacuna/core/shape.hpp"
#include "lacuna/core/status.hpp"
#include "lacuna/core/tensor_view.hpp"
#include "lacuna/index/ascending.hpp"

namespace lacuna {

/// Kept tokens of each KV head, ragged. A head may keep none.
struct TokenIndex {
  TensorView<std::int32_t, 2> tokens;  // [heads_kv, capacity], ascending; only the first counts[head] are meant
  TensorView<std::int32_t, 1> counts;  // [heads_kv]
  TensorView<std::int32_t, 1> lens;    // [heads_kv], tokens that the head held when the choice was made

  std::int64_t heads() const { return counts.extent(0); }

  Status check(Shape const& shape) const {
    if (heads() != shape.heads_kv || tokens.extent(0) != heads() || lens.extent(0) != heads())
      return Status::invalid("token_index: must have one row per KV head", heads(), shape.heads_kv);
    for (std::int64_t head = 0; head < heads(); ++head) {
      if (lens(head) < 0 || lens(head) > shape.len_k)
        return Status::invalid("token_index: a head's length is beyond len_k", lens(head), shape.len_k);
      if (counts(head) < 0 || counts(head) > tokens.extent(1))
        return Status::invalid("token_index: a count is beyond the capacity", counts(head), tokens.extent(1));
      Status const s = detail::check_ascending(tokens.slice(head), counts(head), lens(head),
                                               "token_index: tokens must be ascending, unique and below the length");
      if (!s) return s;
    }
    return {};
  }
};

}  // namespace lacuna
