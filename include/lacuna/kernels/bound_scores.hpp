#pragma once

#include "lacuna/core/batch_problem.hpp"
#include "lacuna/core/problem.hpp"
#include "lacuna/core/shape.hpp"
#include "lacuna/core/workspace.hpp"

namespace lacuna {

/// Upper bound of <q, k> over the keys of each page, from the page's channel bounds, without scale:
/// sum_x max(q_x min_x, q_x max_x). A score row is a query head, or a KV head and then the sum over its group.
template <Storage T>
struct BoundScoresArgs {
  Problem<T> problem;           // len_q is 1; kv.bounds holds every scored page
  TensorView<float, 2> scores;  // out [rows, pages]; written for the full pages before the newest token's
  Workspace scratch;            // as reserve_bound_scores takes

  Status check() const {
    if (Status s = problem.check(); !s) return s;
    if (problem.len_q() != 1) return Status::invalid("bound_scores: len_q must be 1", problem.len_q(), 1);
    KvView<T> const& kv = problem.kv;
    if (kv.bounds.data == nullptr || kv.bounds_page_tokens < 1)
      return Status::invalid("bound_scores: the store keeps no page bounds", kv.bounds_page_tokens, 1);
    if (kv.bounds.extent(0) != kv.heads_kv || kv.bounds.extent(2) != 2 || kv.bounds.extent(3) != kv.dim ||
        kv.bounds.stride(3) != 1)
      return Status::invalid("bound_scores: bounds must be [heads_kv, pages, 2, dim], the last axis dense",
                             kv.bounds.extent(3), kv.dim);
    if (scores.extent(0) != problem.heads_kv() && scores.extent(0) != problem.heads_q())
      return Status::invalid("bound_scores: scores must have one row per KV head or per query head", scores.extent(0),
                             problem.heads_kv());
    std::int64_t const pages = (longest_head(kv) - 1) / kv.bounds_page_tokens;
    if (pages > scores.extent(1) || pages > kv.bounds.extent(1))
      return Status::invalid("bound_scores: scores and bounds must hold every full page", scores.extent(1), pages);
    return {};
  }
};

/// The same for the newest query of every sequence of a batch. All pointers are the device's.
template <class T>
struct BoundScoresBatchArgs {
  BatchProblem<T> problem;        // max_len_q is 1; keys and values are not read
  TensorView<T const, 5> bounds;  // [batch, heads_kv, pages, 2, dim], minimum and maximum adjacent
  std::int64_t page_tokens = 0;
  TensorView<float, 2> scores;            // out [batch * heads, pages], heads being heads_kv or heads_q; dense rows
  TensorView<float const, 1> k_scales{};  // [heads_kv], of eight-bit keys; null: bounds are the keys' own

  std::int64_t heads() const { return scores.extent(0) / problem.batch; }

  Status check() const {
    if (Status s = problem.check(); !s) return s;
    if (problem.max_len_q != 1) return Status::invalid("bound_scores: max_len_q must be 1", problem.max_len_q, 1);
    if (page_tokens < 1) return Status::invalid("bound_scores: page_tokens must be at least 1", page_tokens, 1);
    if (bounds.extent(0) != problem.batch || bounds.extent(1) != problem.heads_kv() || bounds.extent(3) != 2 ||
        bounds.extent(4) != problem.dim() || bounds.stride(4) != 1 || bounds.stride(3) != problem.dim())
      return Status::invalid("bound_scores: bounds must be [batch, heads_kv, pages, 2, dim], the last two axes dense",
                             bounds.extent(4), problem.dim());
    if (scores.extent(0) != problem.batch * problem.heads_kv() && scores.extent(0) != problem.batch * problem.heads_q())
      return Status::invalid("bound_scores: scores must have one row per KV head or per query head of a sequence",
                             scores.extent(0), problem.batch * problem.heads_kv());
    if (k_scales.data != nullptr && (k_scales.extent(0) != problem.heads_kv() || k_scales.stride(0) != 1))
      return Status::invalid("bound_scores: k_scales must be null or [heads_kv], dense", k_scales.extent(0),
                             problem.heads_kv());
    if (scores.stride(1) != 1)
      return Status::invalid("bound_scores: the last axis of scores must be dense", scores.stride(1), 1);
    std::int64_t const pages = (problem.max_len_k - 1) / page_tokens;
    if (pages > scores.extent(1) || pages > bounds.extent(2))
      return Status::invalid("bound_scores: scores and bounds must hold every full page", scores.extent(1), pages);
    return {};
  }
};

}  // namespace lacuna

#include "lacuna/kernels/cpu/bound_scores.hpp"

#if LACUNA_CUDA
#include "lacuna/kernels/cuda/bound_scores.cuh"
#endif
