#pragma once

#include "lacuna/core/batch_problem.hpp"
#include "lacuna/core/problem.hpp"
#include "lacuna/core/workspace.hpp"
#include "lacuna/index/band_index.hpp"

namespace lacuna {

/// Causal attention to the first tokens and to a window of recent ones.
template <Storage T>
struct AttendBandArgs {
  Problem<T> problem;  // every KV head holds index.len_k tokens
  BandIndex index;
  AttentionOut<T> out;
  Workspace scratch;  // as reserve_attend_band takes

  Status check() const {
    if (Status s = problem.check(); !s) return s;
    if (Status s = out.check(problem); !s) return s;
    if (index.sink_tokens < 0 || index.window_tokens < 1)
      return Status::invalid("attend_band: sink_tokens must be at least 0 and window_tokens at least 1",
                             index.window_tokens, 1);
    for (std::int64_t head = 0; head < problem.heads_kv(); ++head)
      if (problem.kv.length(head) != index.len_k)
        return Status::invalid("attend_band: the index was made for another len_k", problem.kv.length(head),
                               index.len_k);
    return {};
  }
};

/// The same for a batch, on the device. len_q and len_k of the index are capacities.
template <Storage T>
struct AttendBandBatchArgs {
  BatchProblem<T> problem;
  BandIndex index;
  AttentionOut<T> out;
  Workspace scratch;  // device memory, as reserve_attend_band takes

  Status check() const {
    if (Status s = problem.check(); !s) return s;
    if (Status s = check_out(out, problem); !s) return s;
    if (index.sink_tokens < 0 || index.window_tokens < 1)
      return Status::invalid("attend_band: sink_tokens must be at least 0 and window_tokens at least 1",
                             index.window_tokens, 1);
    return {};
  }
};

}  // namespace lacuna

#include "lacuna/kernels/cpu/attend_band.hpp"
#if LACUNA_CUDA
#include "lacuna/kernels/cuda/attend_band.cuh"
#endif
