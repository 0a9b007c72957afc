#include "lacuna/methods/method.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "lacuna/budgets/ratio.hpp"
#include "lacuna/methods/quest.hpp"
#include "lacuna/methods/snap_kv.hpp"
#include "lacuna/methods/vertical_slash.hpp"
#include "reference/attention.hpp"
#include "reference/snap_kv.hpp"
#include "support/bounds_case.hpp"
#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/index_case.hpp"
#include "support/method_run.hpp"
#include "support/sizes.hpp"

namespace {

using reference::Units;
using support::Data;
using support::MethodRun;
using support::ProblemCase;

/// A selector of the caller's own: the later, the better.
struct Latest {
  template <class U>
  lacuna::Status check(U const&, lacuna::Shape const&, std::int64_t) const {
    return {};
  }
  template <class U>
  std::int64_t heads(U const&, lacuna::Shape const& shape) const {
    return shape.heads_kv;
  }
  template <class U>
  bool can_judge(U const&, lacuna::Shape const&) const {
    return true;
  }
  template <class U>
  void reserve(lacuna::Cpu, U const&, lacuna::Shape const&, lacuna::Workspace&) const {}
  template <class U, class T>
  lacuna::Status score(lacuna::Cpu, U const&, lacuna::Problem<T> const&, lacuna::Workspace, lacuna::Scores out) const {
    for (std::int64_t head = 0; head < out.extent(0); ++head)
      for (std::int64_t unit = 0; unit < out.extent(2); ++unit) out(head, 0, unit) = static_cast<float>(unit);
    return {};
  }
};

TEST_CASE("method: a selector of one's own and a share of the length compose", "[methods]") {
  using Recent = lacuna::Method<lacuna::Page<8>, lacuna::Anchored<Latest>, lacuna::Ratio, lacuna::PagedCache>;
  Recent const method{.selector = {.inner = {}, .sink_tokens = 1, .recent_tokens = 0}, .budget = {.share = 0.25}};
  auto const in = support::make_inputs<float>({1, 101, 2, 2, 16}, Data::random, 1);
  ProblemCase<float> c(in);
  MethodRun<Recent> run(method, c.problem());
  REQUIRE(run.run(c.problem(), c.out()) == "");
  // 12 full pages, a quarter of them: the first, the two latest, and the current page on top.
  CHECK(support::units_of(run.index().pages, 0, run.index().counts(0)) == Units{0, 10, 11, 12});
  auto const exact = reference::attend(in, [&](std::int64_t, std::int64_t) {
    return reference::page_keys({0, 10, 11, 12}, 8, 101);
  });
  CHECK(support::explain_answer(c, exact) == "");
}

TEST_CASE("method: eviction by raw attention, without smoothing or anchors", "[methods]") {
  using Raw = lacuna::Method<lacuna::Token, lacuna::WindowAttention, lacuna::Ratio, lacuna::EvictingCache>;
  Raw const method{.selector = {.window = 16}, .budget = {.share = 0.1}};
  auto const in = support::make_inputs<float>({200, 200, 1, 3, 32}, Data::random, 2);
  ProblemCase<float> c(in);
  MethodRun<Raw> run(method, c.problem());
  REQUIRE(run.select(c.problem()) == "");
  auto const scores = reference::window_mass(in, 0, 16);
  CHECK(reference::explain_selection(support::units_of(run.index().tokens, 0, run.index().counts(0)), scores, {}, 20,
                                     2e-5 * reference::cut_magnitude(scores, {}, 20)) == "");
}

/// Whether every row of units kept under the smaller budget is kept under the larger one.
bool nested(Units const& smaller, Units const& larger) {
  return smaller.size() < larger.size() && std::includes(larger.begin(), larger.end(), smaller.begin(), smaller.end());
}

TEST_CASE("method: a smaller budget keeps a part of what a larger one keeps", "[methods]") {
  auto const in = support::make_inputs<float>({300, 300, 1, 2, 32}, Data::random, 3);
  ProblemCase<float> c(in);
  Units before_columns, before_diagonals, before_tokens, before_pages;
  support::BoundsCase<float> b(support::make_inputs<float>({1, 300, 1, 2, 32}, Data::random, 3), 16);
  for (std::int64_t budget : {80, 96, 128, 240}) {
    CAPTURE(budget);
    lacuna::VerticalSlash const slash{.selector = {.inner = {.window = 32}},
                                      .budget = {.columns = budget, .diagonals = budget}};
    MethodRun<lacuna::VerticalSlash> prefill(slash, c.problem());
    REQUIRE(prefill.select(c.problem()) == "");
    Units const columns = support::units_of(prefill.index().columns, 1, prefill.index().counts(1, 0));
    Units const diagonals = support::units_of(prefill.index().diagonals, 1, prefill.index().counts(1, 1));
    CHECK(nested(before_columns, columns));
    CHECK(nested(before_diagonals, diagonals));
    lacuna::SnapKv snap{.budget = {.tokens = budget}};
    snap.selector.recent_tokens = 16;
    MethodRun<lacuna::SnapKv> evict(snap, c.problem());
    REQUIRE(evict.select(c.problem()) == "");
    Units const tokens = support::units_of(evict.index().tokens, 0, evict.index().counts(0));
    CHECK(nested(before_tokens, tokens));
    MethodRun<lacuna::Quest> step(lacuna::Quest{.budget = {.tokens = budget}}, b.problem());
    REQUIRE(step.select(b.problem()) == "");
    Units const pages = support::units_of(step.index().pages, 0, step.index().counts(0));
    CHECK(nested(before_pages, pages));
    before_columns = columns, before_diagonals = diagonals, before_tokens = tokens, before_pages = pages;
  }
}

TEST_CASE("method: an empty prompt is planned, selected and attended to without complaint", "[methods]") {
  ProblemCase<float> c(support::make_inputs<float>({0, 0, 1, 2, 16}, Data::random, 1));
  MethodRun<lacuna::VerticalSlash> slash(lacuna::VerticalSlash{}, c.problem());
  CHECK(slash.run(c.problem(), c.out()) == "");
  MethodRun<lacuna::SnapKv> snap(lacuna::SnapKv{}, c.problem());
  CHECK(snap.run(c.problem(), c.out()) == "");
  CHECK(snap.index().counts(0) == 0);
}

TEST_CASE("method: an index planned for less is refused, not overrun", "[methods]") {
  ProblemCase<float> c(support::make_inputs<float>({200, 200, 1, 1, 16}, Data::random, 1));
  lacuna::SnapKv method{.budget = {.tokens = 150}};
  support::GuardedMemory index_memory(1 << 14), scratch(1 << 22);
  lacuna::Workspace memory = index_memory.workspace();
  auto index = method.make_index({140, 140, 1, 1, 16}, memory);
  CHECK(std::string(method.select(lacuna::Cpu{}, c.problem(), scratch.workspace(), index).message) ==
        "pick_top: the index has no room for that many units; plan for this shape and budget");
}

TEST_CASE("method: a broken problem, answer or workspace is refused before anything is written", "[methods]") {
  ProblemCase<float> c(support::make_inputs<float>({200, 200, 1, 1, 16}, Data::random, 1));
  lacuna::VerticalSlash const method{.selector = {.inner = {.window = 32}}, .budget = {.columns = 8, .diagonals = 66}};
  MethodRun<lacuna::VerticalSlash> run(method, c.problem());
  auto broken = c.problem();
  broken.kv.k = nullptr;
  CHECK(run.run(broken, c.out()) == "problem: k and v must not be null when tokens are held");
  auto out = c.out();
  out.out.extents[0] = 7;
  CHECK(run.run(c.problem(), out) == "out: must have the extents of q");
  CHECK(std::string(run.run_in(0, c.problem(), c.out()).message) == "select: the workspace is smaller than planned");
  ProblemCase<float> untouched(c.inputs());
  CHECK(support::same_bits(c.out().out(0, 0, 0), untouched.out().out(0, 0, 0)));
}

}  // namespace
