#pragma once

#include "lacuna/core/dtype.hpp"
#include "lacuna/core/exec.hpp"
#include "lacuna/core/kv_view.hpp"
#include "lacuna/core/status.hpp"

namespace lacuna {

/// Per channel minimum and maximum of the keys of each page, brought up to date for the last `new_tokens` tokens of
/// each head. With all of them it rebuilds everything; the result is the same either way. A NaN key makes its page's
/// channel NaN.
template <Storage T>
struct PageBoundsArgs {
  KvView<T> kv;
  std::int64_t new_tokens = 0;
  TensorView<T, 4> bounds;  // out [heads_kv, pages, 2, dim]; 0 is the minimum, 1 the maximum; the last axis is dense
  std::int64_t page_tokens = 0;

  Status check() const {
    if (page_tokens < 1) return Status::invalid("page_bounds: page_tokens must be at least 1", page_tokens, 1);
    if (bounds.extent(0) != kv.heads_kv || bounds.extent(2) != 2 || bounds.extent(3) != kv.dim)
      return Status::invalid("page_bounds: bounds must be [heads_kv, pages, 2, dim]", bounds.extent(3), kv.dim);
    for (std::int64_t head = 0; head < kv.heads_kv; ++head)
      if (kv.length(head) > bounds.extent(1) * page_tokens)
        return Status::invalid("page_bounds: more tokens than pages", kv.length(head), bounds.extent(1) * page_tokens);
    return {};
  }
};

}  // namespace lacuna

#include "lacuna/kernels/cpu/page_bounds.hpp"
