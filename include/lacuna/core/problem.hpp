#pragma once

#include <cmath>
#include <cstdint>

#include "lacuna/core/dtype.hpp"
#include "lacuna/core/kv_view.hpp"
#include "lacuna/core/status.hpp"
#include "lacuna/core/tensor_view.hpp"

namespace lacuna {

/// One attention problem: some queries of one sequence, and the keys and values they may see.
/// Queries are aligned to the end: row i of q stands at position length(head_kv) - len_q + i and sees keys 0..position.
/// Heads are group-major: query head h reads KV head h / group().
template <class T>
struct Problem {
  TensorView<T const, 3> q;  // [len_q, heads_q, dim]; the last axis is dense
  KvView<T> kv;
  float scale = 0.0F;  // of the logits; 0 means 1 / sqrt(dim)

  constexpr std::int64_t len_q() const { return q.extent(0); }
  constexpr std::int64_t heads_q() const { return q.extent(1); }
  constexpr std::int64_t dim() const { return q.extent(2); }
  constexpr std::int64_t heads_kv() const { return kv.heads_kv; }
  constexpr std::int64_t group() const { return heads_q() / heads_kv(); }
  float logit_scale() const { return scale != 0.0F ? scale : 1.0F / std::sqrt(static_cast<float>(dim())); }

  /// Every shape that a kernel later takes for granted.
  Status check() const {
    if (kv.heads_kv < 1) return Status::invalid("problem: heads_kv must be at least 1", kv.heads_kv, 1);
    if (heads_q() < 1 || heads_q() % kv.heads_kv != 0)
      return Status::invalid("problem: heads_q must be a positive multiple of heads_kv", heads_q(), kv.heads_kv);
    if (dim() < 1 || dim() > 512) return Status::invalid("problem: dim must be in 1..512", dim(), 512);
    if (kv.dim != dim()) return Status::invalid("problem: q and k must have the same dim", kv.dim, dim());
    if (q.stride(2) != 1) return Status::invalid("problem: the last axis of q must be dense", q.stride(2), 1);
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
