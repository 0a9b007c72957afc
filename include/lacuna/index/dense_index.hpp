#pragma once

#include <cstdint>

#include "lacuna/core/shape.hpp"
#include "lacuna/core/status.hpp"

namespace lacuna {

/// Everything that causality allows: needs no memory.
struct DenseIndex {
  std::int64_t len_q = 0;
  std::int64_t len_k = 0;
  std::int64_t heads = 0;  // query heads

  Status check(Shape const& shape) const {
    if (heads != shape.heads_q) return Status::invalid("dense_index: heads must be heads_q", heads, shape.heads_q);
    if (len_q != shape.len_q) return Status::invalid("dense_index: len_q is not the problem's", len_q, shape.len_q);
    if (len_k != shape.len_k) return Status::invalid("dense_index: len_k is not the problem's", len_k, shape.len_k);
    return {};
  }
};

}  // namespace lacuna
