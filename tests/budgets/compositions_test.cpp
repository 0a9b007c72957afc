#include <algorithm>
#include <string>
#include <vector>

#include "lacuna/budgets/dispersion.hpp"
#include "lacuna/budgets/sublinear.hpp"
#include "lacuna/methods/ada_quest.hpp"
#include "lacuna/methods/ada_snap_kv.hpp"
#include "lacuna/methods/quest.hpp"
#include "lacuna/methods/snap_kv.hpp"
#include "reference/attention.hpp"
#include "reference/quest.hpp"
#include "support/bounds_case.hpp"
#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/index_case.hpp"
#include "support/method_run.hpp"

namespace {

using support::Data;
using support::MethodRun;
using support::ProblemCase;

TEST_CASE("sublinear: a page method reads the square root more of a longer cache", "[budgets]") {
  using RootQuest = lacuna::QuestOf<16, lacuna::Sublinear<lacuna::FixedBudget>>;
  for (std::int64_t len : {65, 257, 1025}) {
    CAPTURE(len);
    auto const in = support::make_inputs<float>({1, len, 2, 2, 16}, Data::random, 2);
    support::BoundsCase<float> b(in, 16);
    MethodRun<RootQuest> run(RootQuest{.budget = {{64}, 64, 0.5}}, b.problem());
    REQUIRE(run.run(b.problem(), b.problem_case().out()) == "");
    CHECK(run.index().counts(0) == 1 + (len == 65 ? 4 : len == 257 ? 8 : 16));
    auto const exact = reference::attend(in, [&](std::int64_t head, std::int64_t) {
      std::int64_t const row = in.head_kv(head);
      return reference::page_keys(support::units_of(run.index().pages, row, run.index().counts(row)), 16, len);
    });
    CHECK(support::explain_answer(b.problem_case(), exact) == "");
  }
}

template <class M>
std::int64_t kept_in_all(M const& method, reference::Inputs const& in) {
  ProblemCase<float> c(in);
  MethodRun<M> run(method, c.problem());
  REQUIRE(run.run(c.problem(), c.out()) == "");
  std::int64_t kept = 0;
  for (std::int64_t head = 0; head < in.heads_kv; ++head) {
    kept += run.index().counts(head);
    CHECK(run.index().counts(head) >= 10);
    CHECK(run.index().tokens(head, 1) == 1);  // sinks
    CHECK(run.index().tokens(head, run.index().counts(head) - 8) == in.len_k - 8);
  }
  return kept;
}

TEST_CASE("dispersion, sublinear: eviction spends the pool to the last token", "[budgets]") {
  auto const in = support::make_inputs<float>({300, 300, 3, 2, 32}, Data::random, 3);
  lacuna::SnapKvOf<lacuna::Dispersion> spread;
  spread.selector = {.inner = {.inner = {.window = 32}, .width = 5}, .sink_tokens = 2, .recent_tokens = 8};
  for (lacuna::Spread by : {lacuna::Spread::entropy, lacuna::Spread::mass_outside}) {
    spread.budget = {40, 0.2, by};
    CHECK(kept_in_all(spread, in) == 120);
  }
  using RootAda = lacuna::Method<lacuna::Token, lacuna::Anchored<lacuna::Smoothed<lacuna::WindowPeak>, 8>,
                                 lacuna::Sublinear<lacuna::AdaptiveHeads>, lacuna::EvictingCache>;
  RootAda root;
  root.selector = {.inner = {.inner = {.window = 32}, .width = 5}, .sink_tokens = 2, .recent_tokens = 8};
  root.budget = {{40, 0.2}, 75, 0.5};
  CHECK(kept_in_all(root, in) == 240);
}

}  // namespace
