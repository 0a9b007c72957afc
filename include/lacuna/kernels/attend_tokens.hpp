#pragma once

#include "lacuna/core/problem.hpp"
#include "lacuna/core/workspace.hpp"
#include "lacuna/index/token_index.hpp"

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

}  // namespace lacuna

#include "lacuna/kernels/cpu/attend_tokens.hpp"
