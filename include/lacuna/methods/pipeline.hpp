#pragma once

#include <algorithm>
#include <concepts>
#include <type_traits>

#include "lacuna/methods/dense.hpp"
#include "lacuna/methods/plan.hpp"
#include "lacuna/units/unit.hpp"

namespace lacuna {

/// One method for each moment, dense where none is named: Pipeline<VerticalSlash, SnapKv, Quest> reads the prompt
/// sparsely, evicts at its end, and reads pages of what is left. A Step that evicts (TOVA, H2O) also decides at the
/// prompt's end. The caller appends keys and values to the store before each call, and says which phase it is in.
///
///     plan -> make_indices -> run_prompt, then run_step per token
template <class Prefill = Dense, class PromptEnd = Dense, class Step = Dense>
struct Pipeline {
 private:
  template <class M>
  static constexpr bool is_dense = std::same_as<typename M::Index, DenseIndex>;
  static constexpr bool step_evicts = Step::moment == Moment::evict_each_step;

 public:
  static_assert(Prefill::moment == Moment::prefill, "Pipeline: the first method must decide in prefill");
  static_assert(PromptEnd::moment == Moment::prompt_end || is_dense<PromptEnd>,
                "Pipeline: the second method must decide at the prompt's end");
  static_assert(Step::moment == Moment::each_step || step_evicts || is_dense<Step>,
                "Pipeline: the third method must decide at each step");
  static_assert(is_dense<PromptEnd> || !(step_evicts || (is_dense<Step> && !std::same_as<Step, Dense>)),
                "Pipeline: one store cannot follow two rules of forgetting");

  /// The cache that serves every moment: the one that forgets, if one does. For Quest after an eviction it is an
  /// EvictingCache that keeps page bounds.
  template <class T>
  using Store = typename std::conditional_t<is_dense<PromptEnd>, Step, PromptEnd>::template Store<T>;

#if LACUNA_CUDA
  template <class T>
  using BatchStore = typename std::conditional_t<is_dense<PromptEnd>, Step, PromptEnd>::template BatchStore<T>;
#endif

  struct Indices {
    typename Prefill::Index prefill;
    typename PromptEnd::Index prompt_end;
    typename Step::Index step;
  };

  [[no_unique_address]] Prefill prefill{};
  [[no_unique_address]] PromptEnd prompt_end{};
  [[no_unique_address]] Step step{};

  /// Bytes for every prompt up to `prompt` and every step up to `longest`, whose len_q is 1.
  Expected<Plan> plan(Cpu exec, Shape const& prompt, Shape const& longest) const {
    return plan_all(exec, prompt, longest);
  }

  /// Indices that live in the caller's memory, plan().index_bytes of it.
  Indices make_indices(Shape const& prompt, Shape const& longest, Workspace& memory) const {
    Shape either = longest;
    either.len_k = std::max(prompt.len_k, longest.len_k);
    return {prefill.make_index(prompt, memory), prompt_end.make_index(prompt, memory),
            step.make_index(step_evicts ? either : longest, memory)};
  }

  /// Attention of the prompt, whose keys and values the store holds; then what is to be forgotten is. `problem.kv` is
  /// ignored: the store knows better.
  template <Storage T, class Cache>
  Status run_prompt(Cpu exec, Problem<T> problem, Cache& store, Workspace workspace, Indices& indices,
                    AttentionOut<T> const& out) const {
    problem.kv = store.view();
    if (Status s = prefill.run(exec, problem, workspace, indices.prefill, out); !s) return s;
    if constexpr (!is_dense<PromptEnd>) return forget(exec, prompt_end, problem, store, workspace, indices.prompt_end);
    if constexpr (step_evicts) return forget(exec, step, problem, store, workspace, indices.step);
    return {};
  }

  /// Attention of the newest query, whose key and value the store holds.
  template <Storage T, class Cache>
  Status run_step(Cpu exec, Problem<T> problem, Cache& store, Workspace workspace, Indices& indices,
                  AttentionOut<T> const& out) const {
    problem.kv = store.view();
    if (Status s = step.run(exec, problem, workspace, indices.step, out); !s) return s;
    if constexpr (step_evicts) return store.retain(exec, indices.step);
    return {};
  }

#if LACUNA_CUDA
  // The same for a batch on the device. Prompts may end at different calls, and sequences wait: what has no query in a
  // call keeps what it holds.

  Expected<Plan> plan(Cuda exec, BatchShape const& prompt, BatchShape const& longest) const {
    return plan_all(exec, prompt, longest);
  }

  Indices make_indices(BatchShape const& prompt, BatchShape const& longest, Workspace& memory) const {
    BatchShape either = longest;
    either.each.len_k = std::max(prompt.each.len_k, longest.each.len_k);
    return {prefill.make_index(prompt, memory), prompt_end.make_index(prompt, memory),
            step.make_index(step_evicts ? either : longest, memory)};
  }

  template <Storage T, class Cache>
  Status run_prompt(Cuda exec, BatchProblem<T> problem, Cache const& store, Workspace workspace, Indices& indices,
                    AttentionOut<T> const& out) const {
    problem.kv = store.view();
    if (Status s = prefill.run(exec, problem, workspace, indices.prefill, out); !s) return s;
    if constexpr (!is_dense<PromptEnd>) return forget(exec, prompt_end, problem, store, workspace, indices.prompt_end);
    if constexpr (step_evicts) return forget(exec, step, problem, store, workspace, indices.step);
    return {};
  }

  template <Storage T, class Cache>
  Status run_step(Cuda exec, BatchProblem<T> problem, Cache const& store, Workspace workspace, Indices& indices,
                  AttentionOut<T> const& out) const {
    problem.kv = store.view();
    if (Status s = step.run(exec, problem, workspace, indices.step, out); !s) return s;
    if constexpr (step_evicts) return store.retain(exec, indices.step);
    return {};
  }
#endif

 private:
  template <class E, class S>
  Expected<Plan> plan_all(E exec, S const& prompt, S const& longest) const {
    Plan all;
    auto const runs = [&](auto const& method, S const& shape) -> Status {
      Expected<Plan> const one = method.plan(exec, shape);
      if (!one) return one.status();
      all.workspace_bytes = std::max(all.workspace_bytes, one->workspace_bytes);
      return {};
    };
    auto const selects = [&](auto const& method, S const& shape) -> Status {  // attention is prefill's
      Expected<std::size_t> const bytes = method.plan_selection(exec, shape);
      if (!bytes) return bytes.status();
      all.workspace_bytes = std::max(all.workspace_bytes, *bytes);
      return {};
    };
    if (Status s = runs(prefill, prompt); !s) return s;
    if constexpr (!is_dense<PromptEnd>)
      if (Status s = selects(prompt_end, prompt); !s) return s;
    if (Status s = runs(step, longest); !s) return s;
    if constexpr (step_evicts)
      if (Status s = selects(step, prompt); !s) return s;
    Workspace memory;
    (void)make_indices(prompt, longest, memory);
    all.index_bytes = memory.used_bytes();
    return all;
  }

  template <class E, class M, class P, class Cache>
  static Status forget(E exec, M const& method, P const& problem, Cache& store, Workspace workspace,
                       typename M::Index& index) {
    if (Status s = method.select(exec, problem, workspace, index); !s) return s;
    return store.retain(exec, index);
  }
};

}  // namespace lacuna
