#pragma once

#include "lacuna/core/problem.hpp"
#include "lacuna/core/workspace.hpp"
#include "lacuna/index/token_index.hpp"
#include "lacuna/kernels/attend_pages.hpp"

namespace lacuna {

/// Causal attention over the kept tokens of each KV head, as if the others had been evicted.
template <Storage T>
struct AttendTokensArgs {
  Problem<T> problem;
  TokenIndex index;
  AttentionOut<T> out;
  Workspace scratch;  // as reserve_attend_tokens takes

  Status check() const {
    if (Status s = problem.check(); !s) return s;
    if (Status s = out.check(problem); !s) return s;
    if (index.heads() != problem.heads_kv())
      return Status::invalid("attend_tokens: the index must have one row per KV head", index.heads(),
                             problem.heads_kv());
    for (std::int64_t head = 0; head < index.heads(); ++head)
      if (index.lens(head) != problem.kv.length(head))
        return Status::invalid("attend_tokens: the index was made for another length", index.lens(head),
                               problem.kv.length(head));
    return {};
  }
};

/// A few queries per sequence over the kept tokens of each KV head, for a whole batch. All pointers are the device's.
template <class T>
struct AttendTokensBatchArgs {
  BatchProblem<T> problem;
  TokenIndex index;                       // rows are batch * heads_kv, sequence major; lens are not read
  AttentionOut<T> out;                    // [tokens_q, heads_q, dim]
  Workspace scratch;                      // as reserve_attend_tokens takes
  TensorView<std::int32_t, 1> tickets{};  // as attend_pages takes them

  /// Tokens are pages of one.
  AttendPagesBatchArgs<T> as_pages() const {
    return {problem, PageIndex{index.tokens, index.counts, index.lens, 1}, out, scratch, tickets};
  }

  Status check() const {
    if (index.heads() != problem.batch * problem.heads_kv() || index.tokens.data == nullptr)
      return Status::invalid("attend_tokens: the index must have one row per KV head of a sequence", index.heads(),
                             problem.batch * problem.heads_kv());
    return as_pages().check();
  }
};

}  // namespace lacuna

#include "lacuna/kernels/cpu/attend_tokens.hpp"

#if LACUNA_CUDA
#include "lacuna/kernels/cuda/attend_tokens.cuh"
#endif
