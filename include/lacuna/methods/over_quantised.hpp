#pragma once

#include <algorithm>

#include "lacuna/budgets/fixed.hpp"
#include "lacuna/kv/paged.hpp"
#include "lacuna/kv/quantised.hpp"
#include "lacuna/methods/attend.hpp"
#include "lacuna/methods/method.hpp"
#include "lacuna/methods/plan.hpp"
#include "lacuna/selectors/page_attention.hpp"
#include "lacuna/selectors/selector.hpp"
#include "lacuna/units/unit.hpp"

namespace lacuna {

namespace detail {

/// Scores that come from the keys of candidates, which bounds alone have named.
template <class S>
inline constexpr bool kNamesByBounds = false;
template <class S>
inline constexpr bool kNamesByBounds<PageAttention<S, false>> = kReadsBoundsAlone<S>;

}  // namespace detail

/// A method that picks pages over keys and values in 8 bits: pick, decode what was picked, attend. By bounds alone the
/// bytes that a step reads are half of 16-bit ones, and of the rest nothing is decoded. A method that weighs candidates
/// decodes these first, to weigh them, and then what it picks of them.
///
///     OverQuantised<Quest, float, float8_e4m3> const method{.pages = {.budget = {.tokens = 2048}}};
template <class M, Storage T, Code C = std::int8_t>
struct OverQuantised {
  static_assert(std::same_as<typename M::Index, PageIndex>, "OverQuantised: the method must pick pages");
  static_assert(kReadsBoundsAlone<decltype(M::selector)> || detail::kNamesByBounds<decltype(M::selector)>,
                "OverQuantised: the selector must go by page bounds, alone or to name candidates, since no key is "
                "decoded before");
  using Index = PageIndex;
  using Store = QuantisedCache<T, C>;
  static constexpr Moment moment = M::moment;

  M pages{};

  Expected<Plan> plan(Cpu exec, Shape const& shape) const {
    Expected<Plan> plan = pages.plan(exec, shape);
    if (!plan) return plan;
    Workspace counting, reading;
    Index const index = pages.make_index(shape, counting);
    reserve_loading(shape, index, reading);
    reserve_attend(exec, shape, index, reading);
    plan->workspace_bytes = std::max(plan->workspace_bytes, reading.used_bytes());
    if constexpr (weighs_candidates) {
      Workspace weighing;
      if (Status s = reserve_weighing(exec, shape, weighing); !s) return s;
      plan->workspace_bytes = std::max(plan->workspace_bytes, weighing.used_bytes());
    }
    return plan;
  }

  Index make_index(Shape const& shape, Workspace& memory) const { return pages.make_index(shape, memory); }

  /// `problem.kv` is ignored: the store knows better.
  Status run(Cpu exec, Problem<T> problem, Store const& store, Workspace workspace, Index& index,
             AttentionOut<T> const& out) const {
    problem.kv = store.page_view();
    if (Status s = out.check(problem); !s) return s;
    if (Status s = select(exec, problem, store, workspace, index); !s) return s;
    Expected<KvView<T>> const loaded = store.load(exec, index, workspace);
    if (!loaded) return loaded.status();
    problem.kv = *loaded;
    return attend(exec, problem, index, workspace, out);
  }

 private:
  static constexpr bool weighs_candidates = detail::kNamesByBounds<decltype(M::selector)>;

  static void reserve_loading(Shape const& shape, Index const& index, Workspace& memory) {
    Store::reserve_load(shape, index.rows(), index.pages.extent(1), index.page_tokens, memory);
  }

  /// What names the candidates, as a method of its own.
  auto naming() const {
    using Bounds = decltype(M::selector.inner);
    return Method<decltype(M::unit), Bounds, FixedBudget, PagedCache>{
        .selector = pages.selector.inner, .budget = {.tokens = pages.selector.candidate_tokens}};
  }

  /// Candidates, their keys and values, and what choosing among them takes.
  Status reserve_weighing(Cpu exec, Shape const& shape, Workspace& memory) const {
    auto const names = naming();
    Expected<Plan> const naming_plan = names.plan(exec, shape), picking_plan = pages.plan(exec, shape);
    if (!naming_plan) return naming_plan.status();
    if (!picking_plan) return picking_plan.status();
    reserve_loading(shape, names.make_index(shape, memory), memory);
    std::size_t const bytes = std::max(naming_plan->workspace_bytes, picking_plan->workspace_bytes);
    memory.take<std::byte>(static_cast<std::int64_t>(bytes));
    return {};
  }

  Status select(Cpu exec, Problem<T> problem, Store const& store, Workspace workspace, Index& index) const {
    if constexpr (weighs_candidates) {
      Workspace all = workspace;
      if (Status s = reserve_weighing(exec, shape_of(problem), all); !s) return s;
      if (Status s = all.check("quantised: the workspace is smaller than planned"); !s) return s;
      auto const names = naming();
      Index named = names.make_index(shape_of(problem), workspace);
      if (Status s = names.select(exec, problem, workspace.rest(), named); !s) return s;
      Expected<KvView<T>> const candidates = store.load(exec, named, workspace);
      if (!candidates) return candidates.status();
      problem.kv = *candidates;
      return pages.select(exec, problem, workspace.rest(), index);
    } else {
      return pages.select(exec, problem, workspace, index);
    }
  }
};

}  // namespace lacuna
