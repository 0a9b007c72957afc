#pragma once

#include "lacuna/core/problem.hpp"
#include "lacuna/core/workspace.hpp"
#include "lacuna/index/page_index.hpp"

namespace lacuna {

/// One query per head over the kept pages of its row.
template <Storage T>
struct AttendPagesArgs {
  Problem<T> problem;  // len_q is 1
  PageIndex index;
  AttentionOut<T> out;
  Workspace scratch;  // as reserve_attend_pages takes

  Status check() const {
    if (Status s = problem.check(); !s) return s;
    if (Status s = out.check(problem); !s) return s;
    if (problem.len_q() != 1) return Status::invalid("attend_pages: len_q must be 1", problem.len_q(), 1);
    if (index.page_tokens < 1)
      return Status::invalid("attend_pages: page_tokens must be at least 1", index.page_tokens, 1);
    if (index.rows() != problem.heads_kv() && index.rows() != problem.heads_q())
      return Status::invalid("attend_pages: the index must have one row per KV head or per query head", index.rows(),
                             problem.heads_kv());
    for (std::int64_t row = 0; row < index.rows(); ++row) {
      std::int64_t const len = problem.kv.length(row * problem.heads_kv() / index.rows());
      if (index.lens(row) != len)
        return Status::invalid("attend_pages: the index was made for another length", index.lens(row), len);
    }
    return {};
  }
};

}  // namespace lacuna

#include "lacuna/kernels/cpu/attend_pages.hpp"
