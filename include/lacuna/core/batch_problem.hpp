#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "lacuna/core/dtype.hpp"
#include "lacuna/core/problem.hpp"
#include "lacuna/core/shape.hpp"
#include "lacuna/core/status.hpp"
#include "lacuna/core/tensor_view.hpp"

namespace lacuna {

/// Keys and values of several sequences, contiguous or in pages behind a table. Every pointer is the device's, lengths
/// and tables too: the host reads none of them, so they may change between the replays of a graph. Never owns.
/// A row is `dim` adjacent elements. Strides are in elements; layouts NHD and HND are only strides.
template <class T>
struct BatchKv {
  T const* k = nullptr;
  T const* v = nullptr;
  std::int64_t heads_kv = 0;
  std::int64_t dim = 0;
  std::int64_t stride_head = 0;   // between the heads of one token
  std::int64_t stride_token = 0;  // between neighbouring tokens of one head (inside a page, if paged)

  /// Tokens that each head holds, the queries' own included. A stride of 0 along the heads: one length for all.
  TensorView<std::int32_t const, 2> lens{};  // [batch, heads_kv]

  /// Not paged: token t of sequence b is row first_token[b] + t. Null: every sequence begins at row 0.
  std::int32_t const* first_token = nullptr;  // [batch]

  /// Paged: token t lies in physical page page_table(b, head, t / page_tokens). A stride of 0 along the heads: one
  /// table for all. Entries behind a head's length are never read.
  TensorView<std::int32_t const, 3> page_table{};  // [batch, heads_kv, pages]
  std::int64_t page_tokens = 0;
  std::int64_t stride_page = 0;  // between neighbouring physical pages

  // What a store keeps beside them, as in KvView; empty unless it does.
  TensorView<T const, 5> bounds{};  // [batch, heads_kv, pages, 2, dim]
  std::int64_t bounds_page_tokens = 0;
  TensorView<float, 3> mass{};                    // [batch, heads_kv, capacity]
  TensorView<std::int32_t const, 3> positions{};  // [batch, heads_kv, capacity]

  constexpr bool paged() const { return page_table.data != nullptr; }
};

/// Attention problems of several sequences for one launch. Queries of all sequences follow each other; those of a
/// sequence stand at the end of its keys, as in Problem. Sequences without queries, or without keys, are legal.
template <class T>
struct BatchProblem {
  TensorView<T const, 3> q;                // [tokens_q, heads_q, dim]; the last axis is dense
  std::int32_t const* cu_len_q = nullptr;  // [batch + 1], where queries begin; null: max_len_q of each sequence
  BatchKv<T> kv;
  std::int64_t batch = 1;
  std::int64_t max_len_q = 0;  // the most that any sequence ever has: these size grids and loops
  std::int64_t max_len_k = 0;
  float scale = 0.0F;                        // of the logits; 0 means 1 / sqrt(dim)
  std::int64_t window_tokens = 0;            // as in Problem; 0 means none
  float soft_cap = 0.0F;                     // as in Problem; 0 means none
  TensorView<float const, 1> sink_logits{};  // as in Problem; [heads_q] or null

  constexpr std::int64_t tokens_q() const { return q.extent(0); }
  constexpr std::int64_t heads_q() const { return q.extent(1); }
  constexpr std::int64_t dim() const { return q.extent(2); }
  constexpr std::int64_t heads_kv() const { return kv.heads_kv; }
  constexpr std::int64_t group() const { return heads_q() / heads_kv(); }
  float logit_scale() const { return scale != 0.0F ? scale : 1.0F / std::sqrt(static_cast<float>(dim())); }

  /// What the host can see. Lengths and tables are the device's: that lens stays within max_len_k and a sequence's
  /// queries within its keys is the caller's promise.
  Status check() const {
    if (batch < 0) return Status::invalid("batch_problem: batch must not be negative", batch, 0);
    Shape const shape{max_len_q, max_len_k, heads_q(), heads_kv(), dim()};
    if (Status s = shape.check(); !s) return s;
    if (kv.dim != dim()) return Status::invalid("batch_problem: q and k must have the same dim", kv.dim, dim());
    if (q.stride(2) != 1) return Status::invalid("batch_problem: the last axis of q must be dense", q.stride(2), 1);
    if (cu_len_q == nullptr && tokens_q() != batch * max_len_q)
      return Status::invalid("batch_problem: without cu_len_q every sequence must have max_len_q queries", tokens_q(),
                             batch * max_len_q);
    if (tokens_q() > 0 && q.data == nullptr) return Status::invalid("batch_problem: q is null", tokens_q(), 0);
    if (batch > 0 && max_len_k > 0 && (kv.k == nullptr || kv.v == nullptr || kv.lens.data == nullptr))
      return Status::invalid("batch_problem: k, v and lens must not be null");
    if (batch > 0 && (kv.lens.extent(0) != batch || kv.lens.extent(1) != heads_kv()))
      return Status::invalid("batch_problem: lens must be [batch, heads_kv]", kv.lens.extent(0), batch);
    if (kv.paged()) {
      if (kv.page_tokens < 1)
        return Status::invalid("batch_problem: page_tokens must be at least 1", kv.page_tokens, 1);
      if (kv.page_table.extent(0) != batch || kv.page_table.extent(1) != heads_kv())
        return Status::invalid("batch_problem: page_table must be [batch, heads_kv, pages]", kv.page_table.extent(0),
                               batch);
      if (kv.page_table.extent(2) * kv.page_tokens < max_len_k)
        return Status::invalid("batch_problem: page_table has no room for max_len_k tokens",
                               kv.page_table.extent(2) * kv.page_tokens, max_len_k);
      if (kv.page_table.stride(2) != 1)
        return Status::invalid("batch_problem: the last axis of page_table must be dense", kv.page_table.stride(2), 1);
    }
    if (window_tokens < 0)
      return Status::invalid("batch_problem: window_tokens must not be negative", window_tokens, 0);
    if (!(soft_cap >= 0.0F && soft_cap < std::numeric_limits<float>::infinity()))
      return Status::invalid("batch_problem: soft_cap must be finite and not negative");
    if (sink_logits.data != nullptr && sink_logits.extent(0) != heads_q())
      return Status::invalid("batch_problem: sink_logits must be null or [heads_q]", sink_logits.extent(0), heads_q());
    return {};
  }
};

/// Where the answers of a batch go: extents as those of its q and [tokens_q, heads_q].
template <class T>
Status check_out(AttentionOut<T> const& out, BatchProblem<T> const& problem) {
  if (out.out.extents != problem.q.extents)
    return Status::invalid("out: must have the extents of q", out.out.extent(0), problem.q.extent(0));
  if (out.out.stride(2) != 1) return Status::invalid("out: the last axis must be dense", out.out.stride(2), 1);
  if (out.out.data == nullptr && problem.tokens_q() > 0) return Status::invalid("out: must not be null");
  if (out.lse.data != nullptr && (out.lse.extent(0) != problem.tokens_q() || out.lse.extent(1) != problem.heads_q()))
    return Status::invalid("lse: must be null or [tokens_q, heads_q]", out.lse.extent(0), problem.tokens_q());
  return {};
}

/// Capacities of a batch: what plan() needs to know of every problem that will come.
struct BatchShape {
  std::int64_t batch = 1;
  std::int64_t tokens_q = 0;  // queries of all sequences together
  Shape each;                 // the most that one sequence has

  constexpr Status check() const {
    if (Status s = each.check(); !s) return s;
    if (batch < 0) return Status::invalid("shape: batch must not be negative", batch, 0);
    if (tokens_q < 0 || tokens_q > batch * each.len_q)
      return Status::invalid("shape: tokens_q must be at most batch * len_q", tokens_q, batch * each.len_q);
    return {};
  }

  friend constexpr bool operator==(BatchShape const&, BatchShape const&) = default;
};

template <class T>
BatchShape shape_of(BatchProblem<T> const& problem) {
  return {problem.batch, problem.tokens_q(),
          Shape{problem.max_len_q, problem.max_len_k, problem.heads_q(), problem.heads_kv(), problem.dim()}};
}

}  // namespace lacuna
