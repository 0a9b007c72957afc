#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "lacuna/core/dtype.hpp"
#include "lacuna/core/kv_view.hpp"
#include "lacuna/core/status.hpp"
#include "lacuna/core/tensor_view.hpp"

namespace lacuna {

/// One attention problem: some queries of one sequence, and the keys and values they may see.
/// Queries are aligned to the end: row i of q stands at position length(head_kv) - len_q + i and sees keys 0..position,
/// or the last of them. A position is a place in the cache: after an eviction a window counts what is held.
/// Heads are group-major: query head h reads KV head h / group().
template <class T>
struct Problem {
  TensorView<T const, 3> q;  // [len_q, heads_q, dim]; the last axis is dense
  KvView<T> kv;
  float scale = 0.0F;              // of the logits; 0 means 1 / sqrt(dim)
  std::int64_t window_tokens = 0;  // a query sees its own key and window_tokens - 1 before it; 0 means all before it
  float soft_cap = 0.0F;           // a scaled logit x becomes soft_cap * tanh(x / soft_cap); 0 means it stays x
  /// [heads_q], or null data. What a head gives to no key: its logit, natural and neither scaled nor capped, joins the
  /// softmax without a value (attention sinks of gpt-oss). It counts in the log-sum-exp; of partial answers that are
  /// to be merged only one may have it.
  TensorView<float const, 1> sink_logits{};

  constexpr std::int64_t len_q() const { return q.extent(0); }
  constexpr std::int64_t heads_q() const { return q.extent(1); }
  constexpr std::int64_t dim() const { return q.extent(2); }
  constexpr std::int64_t heads_kv() const { return kv.heads_kv; }
  constexpr std::int64_t group() const { return heads_q() / heads_kv(); }
  float logit_scale() const { return scale != 0.0F ? scale : 1.0F / std::sqrt(static_cast<float>(dim())); }
  float sink_logit(std::int64_t head) const {
    return sink_logits.data == nullptr ? -std::numeric_limits<float>::infinity() : sink_logits(head);
  }
  float capped(float logit) const { return soft_cap > 0.0F ? soft_cap * std::tanh(logit / soft_cap) : logit; }
  /// The oldest key that a query at this position sees.
  constexpr std::int64_t oldest_key(std::int64_t position) const {
    return window_tokens == 0 || position < window_tokens ? 0 : position + 1 - window_tokens;
  }

  /// Every shape that a kernel later takes for granted.
  Status check() const {
    if (kv.heads_kv < 1) return Status::invalid("problem: heads_kv must be at least 1", kv.heads_kv, 1);
    if (heads_q() < 1 || heads_q() % kv.heads_kv != 0)
      return Status::invalid("problem: heads_q must be a positive multiple of heads_kv", heads_q(), kv.heads_kv);
    if (dim() < 1 || dim() > 512) return Status::invalid("problem: dim must be in 1..512", dim(), 512);
    if (kv.dim != dim()) return Status::invalid("problem: q and k must have the same dim", kv.dim, dim());
    if (q.stride(2) != 1) return Status::invalid("problem: the last axis of q must be dense", q.stride(2), 1);
    if (window_tokens < 0) return Status::invalid("problem: window_tokens must not be negative", window_tokens, 0);
    if (!(soft_cap >= 0.0F && soft_cap < std::numeric_limits<float>::infinity()))
      return Status::invalid("problem: soft_cap must be finite and not negative");
    if (sink_logits.data != nullptr && sink_logits.extent(0) != heads_q())
      return Status::invalid("problem: sink_logits must be null or [heads_q]", sink_logits.extent(0), heads_q());
    if (len_q() < 0) return Status::invalid("problem: len_q must not be negative", len_q(), 0);
    if (len_q() > 0 && q.data == nullptr)
      return Status::invalid("problem: q is null but len_q is not zero", len_q(), 0);
    for (std::int64_t head = 0; head < kv.heads_kv; ++head) {
      if (kv.length(head) < len_q())
        return Status::invalid("problem: every KV head must hold at least len_q tokens", kv.length(head), len_q());
      if (kv.length(head) > 0 && (kv.k == nullptr || kv.v == nullptr))
        return Status::invalid("problem: k and v must not be null when tokens are held", kv.length(head), 0);
    }
    if (kv.page_table != nullptr && kv.page_tokens < 1)
      return Status::invalid("problem: page_tokens must be at least 1 when a page table is given", kv.page_tokens, 1);
    return {};
  }
};

/// Where the answer goes. A row that sees no key gets 0 and a log-sum-exp of -inf.
template <class T>
struct AttentionOut {
  TensorView<T, 3> out;        // [len_q, heads_q, dim]; the last axis is dense
  TensorView<float, 2> lse{};  // [len_q, heads_q], natural logarithm; data may be null

  Status check(Problem<T> const& problem) const {
    if (out.extents != problem.q.extents)
      return Status::invalid("out: must have the extents of q", out.extent(0), problem.q.extent(0));
    if (out.stride(2) != 1) return Status::invalid("out: the last axis must be dense", out.stride(2), 1);
    if (out.data == nullptr && problem.len_q() > 0) return Status::invalid("out: must not be null");
    if (lse.data != nullptr && (lse.extent(0) != problem.len_q() || lse.extent(1) != problem.heads_q()))
      return Status::invalid("lse: must be null or [len_q, heads_q]", lse.extent(0), problem.len_q());
    return {};
  }
};

}  // namespace lacuna
