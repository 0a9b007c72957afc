#pragma once

#include <cstdint>
#include <cstdio>

#include "lacuna/core/batch_problem.hpp"

namespace bench {

using T = lacuna::bfloat16;

/// A batch as Python lays it out: sequences one after another, [tokens, heads, dim] each; everything on the device.
struct Tensors {
  void const *q, *k, *v;
  void* out;
  void const* lens;    // int32 [batch]
  void const* begins;  // int32 [batch + 1]; null for a batch of one
  std::int64_t batch, tokens, longest, heads_q, heads_kv, dim;
};

/// Block lists of a batch as BlockIndex has them: blocks [heads, rows * room], counts [heads, rows].
struct Lists {
  std::int32_t *blocks, *counts;
  std::int64_t heads, rows, room, block_tokens;
};

inline lacuna::BatchProblem<T> problem_of(Tensors const& t) {
  lacuna::BatchProblem<T> p;
  p.q = lacuna::dense_view<T const, 3>(static_cast<T const*>(t.q), {t.tokens, t.heads_q, t.dim});
  p.cu_len_q = static_cast<std::int32_t const*>(t.begins);
  p.kv.k = static_cast<T const*>(t.k);
  p.kv.v = static_cast<T const*>(t.v);
  p.kv.heads_kv = t.heads_kv;
  p.kv.dim = t.dim;
  p.kv.stride_head = t.dim;
  p.kv.stride_token = t.heads_kv * t.dim;
  p.kv.first_token = p.cu_len_q;
  p.kv.lens = {static_cast<std::int32_t const*>(t.lens), {t.batch, t.heads_kv}, {1, 0}};
  p.batch = t.batch;
  p.max_len_q = p.max_len_k = t.longest;
  return p;
}

inline lacuna::AttentionOut<T> out_of(Tensors const& t) {
  return {lacuna::dense_view<T, 3>(static_cast<T*>(t.out), {t.tokens, t.heads_q, t.dim}), {}};
}

/// 0, or 1 and the sentence on stderr.
inline int report(lacuna::Status const& s) {
  if (!s)
    std::fprintf(stderr, "bench: %s (%lld, %lld)\n", s.message, static_cast<long long>(s.value),
                 static_cast<long long>(s.bound));
  return s ? 0 : 1;
}

}  // namespace bench
