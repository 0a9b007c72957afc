#pragma once

#include "lacuna/core/batch_problem.hpp"
#include "lacuna/index/density.hpp"
#include "lacuna/kv/contiguous.hpp"
#include "lacuna/methods/attend.hpp"
#include "lacuna/methods/plan.hpp"
#include "lacuna/units/unit.hpp"

namespace lacuna {

/// The first tokens and a window of recent ones, at their original positions: nothing is estimated, so this is the
/// baseline that every method must beat (StreamingLLM, arXiv 2309.17453; the A-shape of MInference, arXiv 2407.02490,
/// has 128 and 4096). With dense_queries the last queries of the prompt see everything: MInference's Tri-shape has 100.
/// In decoding, keep the same tokens with a StreamingCache.
struct Streaming {
  using Index = BandIndex;
  template <class T>
  using Store = ContiguousCache<T>;
  static constexpr Moment moment = Moment::prefill;

  std::int64_t sink_tokens = 4;
  std::int64_t window_tokens = 1020;
  std::int64_t dense_queries = 0;

  /// On the host for a problem, on the device for a batch: one text for both.
  template <Exec E = Cpu, class S = Shape>
  Expected<Plan> plan(E exec, S const& shape) const {
    if (Status s = shape.check(); !s) return s;
    if (Status s = check(); !s) return s;
    Workspace attending;
    reserve_attend(exec, shape, BandIndex{}, attending);
    return Plan{0, attending.used_bytes()};
  }

  Index make_index(Shape const& shape, Workspace&) const {
    return {sink_tokens, window_tokens, dense_queries, shape.len_q, shape.len_k, shape.heads_q};
  }
  /// On the device lengths are capacities.
  Index make_index(BatchShape const& shape, Workspace& memory) const { return make_index(shape.each, memory); }

  template <Exec E = Cpu, class P>
  Status select(E, P const& problem, Workspace memory, Index& index) const {
    if (Status s = problem.check(); !s) return s;
    if (Status s = check(); !s) return s;
    index = make_index(shape_of(problem), memory);
    return {};
  }

  template <Exec E = Cpu, class P, Storage T>
  Status run(E exec, P const& problem, Workspace workspace, Index& index, AttentionOut<T> const& out) const {
    if (Status s = select(exec, problem, workspace, index); !s) return s;
    return attend(exec, problem, index, workspace, out);
  }

 private:
  Status check() const {
    if (sink_tokens < 0) return Status::invalid("streaming: sink_tokens must not be negative", sink_tokens, 0);
    if (window_tokens < 1) return Status::invalid("streaming: window_tokens must be at least 1", window_tokens, 1);
    if (dense_queries < 0) return Status::invalid("streaming: dense_queries must not be negative", dense_queries, 0);
    return {};
  }
};

}  // namespace lacuna
