#pragma once

#include <algorithm>

#include "lacuna/kv/quantised.hpp"
#include "lacuna/methods/attend.hpp"
#include "lacuna/methods/plan.hpp"
#include "lacuna/selectors/selector.hpp"
#include "lacuna/units/unit.hpp"

namespace lacuna {

/// A method that picks pages by their bounds, over keys and values in 8 bits: pick, decode what was picked, attend. The
/// bytes that a step reads are half of 16-bit ones, and of the rest nothing is decoded.
///
///     OverQuantised<Quest, float, float8_e4m3> const method{.pages = {.budget = {.tokens = 2048}}};
template <class M, Storage T, Code C = std::int8_t>
struct OverQuantised {
  static_assert(std::same_as<typename M::Index, PageIndex>, "OverQuantised: the method must pick pages");
  static_assert(kReadsBoundsAlone<decltype(M::selector)>,
                "OverQuantised: the selector must go by page bounds alone, since keys are decoded after the choice");
  using Index = PageIndex;
  using Store = QuantisedCache<T, C>;
  static constexpr Moment moment = M::moment;

  M pages{};

  Expected<Plan> plan(Cpu exec, Shape const& shape) const {
    Expected<Plan> plan = pages.plan(exec, shape);
    if (!plan) return plan;
    Workspace counting, reading;
    Index const index = pages.make_index(shape, counting);
    Store::reserve_load(shape, index.rows(), index.pages.extent(1), index.page_tokens, reading);
    reserve_attend(exec, shape, index, reading);
    plan->workspace_bytes = std::max(plan->workspace_bytes, reading.used_bytes());
    return plan;
  }

  Index make_index(Shape const& shape, Workspace& memory) const { return pages.make_index(shape, memory); }

  /// `problem.kv` is ignored: the store knows better.
  Status run(Cpu exec, Problem<T> problem, Store const& store, Workspace workspace, Index& index,
             AttentionOut<T> const& out) const {
    problem.kv = store.page_view();
    if (Status s = out.check(problem); !s) return s;
    if (Status s = pages.select(exec, problem, workspace, index); !s) return s;
    Expected<KvView<T>> const loaded = store.load(exec, index, workspace);
    if (!loaded) return loaded.status();
    problem.kv = *loaded;
    return attend(exec, problem, index, workspace, out);
  }
};

}  // namespace lacuna
