#pragma once

#include <cstdint>

#include "lacuna/core/batch_problem.hpp"
#include "lacuna/core/config.hpp"

namespace lacuna::cuda {

/// A BatchProblem as a kernel takes it: plain numbers and pointers.
template <class T>
struct DeviceProblem {
  T const* q;
  std::int64_t q_stride_token, q_stride_head;
  std::int32_t const* cu_len_q;
  T const* k;
  T const* v;
  std::int64_t stride_head, stride_token, stride_page;
  std::int32_t const* lens;
  std::int64_t lens_stride_sequence, lens_stride_head;
  std::int32_t const* first_token;
  std::int32_t const* page_table;
  std::int64_t table_stride_sequence, table_stride_head;
  float const* sink_logits;
  std::int32_t page_tokens, batch, heads_q, heads_kv, group, dim, max_len_q, max_len_k;
  std::int32_t window_tokens;  // all of them where there is no window
  float scale, soft_cap;

  explicit DeviceProblem(BatchProblem<T> const& p)
      : q(p.q.data),
        q_stride_token(p.q.stride(0)),
        q_stride_head(p.q.stride(1)),
        cu_len_q(p.cu_len_q),
        k(p.kv.k),
        v(p.kv.v),
        stride_head(p.kv.stride_head),
        stride_token(p.kv.stride_token),
        stride_page(p.kv.stride_page),
        lens(p.kv.lens.data),
        lens_stride_sequence(p.kv.lens.stride(0)),
        lens_stride_head(p.kv.lens.stride(1)),
        first_token(p.kv.first_token),
        page_table(p.kv.page_table.data),
        table_stride_sequence(p.kv.page_table.stride(0)),
        table_stride_head(p.kv.page_table.stride(1)),
        sink_logits(p.sink_logits.data),
        page_tokens(static_cast<std::int32_t>(p.kv.page_tokens)),
        batch(static_cast<std::int32_t>(p.batch)),
        heads_q(static_cast<std::int32_t>(p.heads_q())),
        heads_kv(static_cast<std::int32_t>(p.heads_kv())),
        group(static_cast<std::int32_t>(p.group())),
        dim(static_cast<std::int32_t>(p.dim())),
        max_len_q(static_cast<std::int32_t>(p.max_len_q)),
        max_len_k(static_cast<std::int32_t>(p.max_len_k)),
        window_tokens(p.window_tokens == 0 || p.window_tokens > p.max_len_k
                          ? INT32_MAX
                          : static_cast<std::int32_t>(p.window_tokens)),
        scale(p.logit_scale()),
        soft_cap(p.soft_cap) {}

  __device__ std::int32_t first_query(std::int32_t sequence) const {
    return cu_len_q != nullptr ? cu_len_q[sequence] : sequence * max_len_q;
  }
  __device__ std::int32_t len_q(std::int32_t sequence) const {
    return cu_len_q != nullptr ? cu_len_q[sequence + 1] - cu_len_q[sequence] : max_len_q;
  }
  __device__ std::int32_t len_k(std::int32_t sequence, std::int32_t head_kv) const {
    return lens[sequence * lens_stride_sequence + head_kv * lens_stride_head];
  }
  __device__ T const* query(std::int32_t token, std::int32_t head) const {
    return q + token * q_stride_token + head * q_stride_head;
  }
  /// Where row `token` of a head begins in k and in v, in elements.
  __device__ std::int64_t offset(std::int32_t sequence, std::int32_t head_kv, std::int32_t token) const {
    if (page_table == nullptr) {
      std::int64_t const first = first_token != nullptr ? first_token[sequence] : 0;
      return head_kv * stride_head + (first + token) * stride_token;
    }
    std::int64_t const page =
        page_table[sequence * table_stride_sequence + head_kv * table_stride_head + token / page_tokens];
    return page * stride_page + head_kv * stride_head + token % page_tokens * stride_token;
  }
};

}  // namespace lacuna::cuda
