#include "lacuna/methods/original_snap_kv.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "reference/adaptive_heads.hpp"
#include "support/catch.hpp"
#include "support/index_case.hpp"
#include "support/method_run.hpp"
#include "support/score_run.hpp"
#include "support/sizes.hpp"

namespace {

using lacuna::OriginalAdaKv;
using lacuna::OriginalSnapKv;
using reference::Units;
using reference::UnitScores;
using support::Data;
using support::MethodRun;
using support::ProblemCase;

/// Scores of the tokens before the window alone, pooled as if nothing lay behind; the window's places are anchored.
template <class Pool>
UnitScores scores_before(reference::Inputs const& in, std::int64_t head, std::int64_t window, Pool const& pool) {
  UnitScores scores = reference::window_mass(in, head, window);
  std::size_t const before = scores.size() - static_cast<std::size_t>(window);
  scores.resize(before);
  scores = pool(scores);
  scores.resize(before + static_cast<std::size_t>(window));
  return scores;
}

UnitScores highest_near(UnitScores const& scores, std::int64_t width) {
  UnitScores pooled = scores;
  std::int64_t const n = static_cast<std::int64_t>(scores.size());
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = std::max<std::int64_t>(i - width / 2, 0); j <= std::min(i + width / 2, n - 1); ++j)
      pooled[static_cast<std::size_t>(i)] =
          std::max(pooled[static_cast<std::size_t>(i)], scores[static_cast<std::size_t>(j)]);
  return pooled;
}

TEST_CASE("original snap-kv: only what lies before the window is scored, the window stays", "[methods]") {
  for (std::int64_t group : {1, 4, 7}) {
    CAPTURE(group);
    auto const in = support::make_inputs<float>({200, 200, 2, group, 32}, Data::random, 61);
    ProblemCase<float> c(in);
    OriginalSnapKv method;
    method.selector.inner.width = 5;
    method.selector.inner.inner.inner.window = 32;
    method.budget.tokens = 60;
    MethodRun<OriginalSnapKv> run(method, c.problem());
    REQUIRE(run.run(c.problem(), c.out()) == "");
    for (std::int64_t head = 0; head < 2; ++head) {
      auto const scores = scores_before(in, head, 32, [](UnitScores const& s) { return reference::smooth(s, 5); });
      Units const forced = reference::both_ends(200, 0, 32);
      REQUIRE(reference::explain_selection(support::units_of(run.index().tokens, head, run.index().counts(head)),
                                           scores, forced, 60,
                                           2e-5 * reference::cut_magnitude(scores, forced, 60)) == "");
    }
  }
}

TEST_CASE("original ada-kv: the highest of seven neighbours, one pool for all heads", "[methods]") {
  auto const in = support::make_inputs<float>({200, 200, 3, 2, 32}, Data::random, 62);
  ProblemCase<float> c(in);
  OriginalAdaKv method;
  method.selector.inner.inner.inner.window = 32;
  method.budget = {60, 0.2};
  MethodRun<OriginalAdaKv> run(method, c.problem());
  REQUIRE(run.run(c.problem(), c.out()) == "");
  std::int64_t total = 0;
  for (std::int64_t head = 0; head < 3; ++head) {
    auto const scores = scores_before(in, head, 32, [](UnitScores const& s) { return highest_near(s, 7); });
    Units const forced = reference::both_ends(200, 0, 32);
    std::int64_t const count = run.index().counts(head);
    REQUIRE(reference::explain_selection(support::units_of(run.index().tokens, head, count), scores, forced, count,
                                         2e-5 * reference::cut_magnitude(scores, forced, count)) == "");
    total += count;
  }
  CHECK(total == 180);
}

TEST_CASE("highest near: odd widths, a NaN wins, refusals", "[selectors]") {
  auto const in = support::make_inputs<float>({30, 30, 1, 1, 16}, Data::random, 3);
  ProblemCase<float> c(in);
  lacuna::WindowAttention const plain{.window = 8};
  auto const rough = support::score(plain, lacuna::Token{}, c.problem());
  auto const pooled =
      support::score(lacuna::HighestNear<lacuna::WindowAttention>{plain, 5}, lacuna::Token{}, c.problem());
  REQUIRE(pooled.complaint.empty());
  auto const exact = highest_near(UnitScores(rough.rows[0].begin(), rough.rows[0].end()), 5);
  for (std::size_t i = 0; i < exact.size(); ++i) CHECK(pooled.rows[0][i] == static_cast<float>(exact[i]));
  auto const broken_in = support::make_inputs<float>({30, 30, 1, 1, 16}, Data::nan_key, 3);
  ProblemCase<float> broken(broken_in);
  auto const nan =
      support::score(lacuna::HighestNear<lacuna::WindowAttention>{plain, 5}, lacuna::Token{}, broken.problem());
  CHECK(std::isnan(nan.rows[0][0]));
  for (std::int64_t width : {0, 4})
    CHECK(
        std::string(lacuna::HighestNear<lacuna::WindowAttention>{plain, width}.check(lacuna::Token{}, {}, 1).message) ==
        "pooled: width must be odd and at least 1");
  std::vector<float> scores(30);
  CHECK(std::string(lacuna::HighestNear<lacuna::WindowAttention>{plain, 5}
                        .score(lacuna::Cpu{}, lacuna::Token{}, c.problem(), lacuna::Workspace{},
                               lacuna::dense_view<float, 3>(scores.data(), {1, 1, 30}))
                        .message) == "pooled: the workspace is smaller than planned");
}

}  // namespace
