#pragma once

#include <string>

#include "lacuna/methods/pipeline.hpp"
#include "support/memory.hpp"
#include "support/problem_case.hpp"

namespace support {

/// A pipeline in memory of exactly the planned sizes.
template <class P>
struct PipelineRun {
  PipelineRun(P const& given, lacuna::Shape const& prompt, lacuna::Shape const& longest)
      : pipeline(given),
        plan(*pipeline.plan({}, prompt, longest)),
        index_memory(plan.index_bytes),
        scratch(plan.workspace_bytes) {
    lacuna::Workspace memory = index_memory.workspace();
    indices = pipeline.make_indices(prompt, longest, memory);
  }
  template <class T, class Cache>
  std::string prompt(ProblemCase<T>& c, Cache& store) {
    return explain(pipeline.run_prompt({}, c.problem(), store, scratch.workspace(), indices, c.out()));
  }
  template <class T, class Cache>
  std::string step(ProblemCase<T>& c, Cache& store) {
    return explain(pipeline.run_step({}, c.problem(), store, scratch.workspace(), indices, c.out()));
  }
  std::string explain(lacuna::Status const& s) const {
    if (!s) return s.message;
    return scratch.guards_untouched() && index_memory.guards_untouched() ? "" : "wrote past the planned memory";
  }
  P pipeline;
  lacuna::Plan plan;
  support::GuardedMemory index_memory, scratch;
  typename P::Indices indices{};
};

}  // namespace support
