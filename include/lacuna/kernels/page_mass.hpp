#pragma once

#include "lacuna/core/batch_problem.hpp"
#include "lacuna/core/problem.hpp"
#include "lacuna/core/shape.hpp"
#include "lacuna/core/workspace.hpp"

namespace lacuna {

/// The softmax weight that each of some pages holds, when one query attends to the tokens of those pages alone. A row
/// is a query head, or a KV head and then the mean over its group. A page with a logit that is NaN or +inf gets NaN,
/// and the others share what is left. One pass over the keys.
template <Storage T>
struct PageMassArgs {
  Problem<T> problem;                        // len_q is 1
  TensorView<std::int32_t const, 2> pages;   // [rows, capacity], full pages; the last axis is dense
  TensorView<std::int32_t const, 1> counts;  // [rows]
  std::int64_t page_tokens = 0;
  TensorView<float, 2> mass;  // out [rows, units]; -inf for pages that are not among those of the row
  Workspace scratch;          // as reserve_page_mass takes
  bool from_codes = false;    // logits are estimated from kv.key_codes

  Status check() const {
    if (Status s = problem.check(); !s) return s;
    if (problem.len_q() != 1) return Status::invalid("page_mass: len_q must be 1", problem.len_q(), 1);
    if (page_tokens < 1) return Status::invalid("page_mass: page_tokens must be at least 1", page_tokens, 1);
    if (from_codes &&
        (problem.kv.key_codes.extent(0) != problem.heads_kv() ||
         problem.kv.key_codes.extent(1) < longest_head(problem.kv) || problem.kv.key_codes.extent(2) != problem.dim()))
      return Status::invalid("page_mass: key_codes must be [heads_kv, capacity, dim]", problem.kv.key_codes.extent(1),
                             longest_head(problem.kv));
    std::int64_t const rows = mass.extent(0);
    if (rows != problem.heads_kv() && rows != problem.heads_q())
      return Status::invalid("page_mass: mass must have one row per KV head or per query head", rows,
                             problem.heads_kv());
    if (pages.extent(0) != rows || counts.extent(0) != rows)
      return Status::invalid("page_mass: pages and counts must have the rows of mass", pages.extent(0), rows);
    return {};
  }
};

/// The same for the newest query of every sequence of a batch. All pointers are the device's.
template <class T>
struct PageMassBatchArgs {
  BatchProblem<T> problem;                   // max_len_q is 1
  TensorView<std::int32_t const, 2> pages;   // [batch * heads, capacity], full pages; heads are heads_kv or heads_q
  TensorView<std::int32_t const, 1> counts;  // [batch * heads]
  std::int64_t page_tokens = 0;
  TensorView<float, 2> mass;  // out [batch * heads, units]; -inf for pages that are not among those of the row
  Workspace scratch;          // as reserve_page_mass takes

  Status check() const {
    if (Status s = problem.check(); !s) return s;
    if (problem.max_len_q != 1) return Status::invalid("page_mass: max_len_q must be 1", problem.max_len_q, 1);
    if (page_tokens < 1) return Status::invalid("page_mass: page_tokens must be at least 1", page_tokens, 1);
    std::int64_t const rows = mass.extent(0);
    if (rows != problem.batch * problem.heads_kv() && rows != problem.batch * problem.heads_q())
      return Status::invalid("page_mass: mass must have one row per KV head or per query head of a sequence", rows,
                             problem.batch * problem.heads_kv());
    if (pages.extent(0) != rows || counts.extent(0) != rows)
      return Status::invalid("page_mass: pages and counts must have the rows of mass", pages.extent(0), rows);
    if (pages.stride(1) != 1 || mass.stride(1) != 1)
      return Status::invalid("page_mass: the last axes of pages and mass must be dense", pages.stride(1), 1);
    return {};
  }
};

}  // namespace lacuna

#include "lacuna/kernels/cpu/page_mass.hpp"

#if LACUNA_CUDA
#include "lacuna/kernels/cuda/page_mass.cuh"
#endif
