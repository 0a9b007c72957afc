#include "lacuna/selectors/anchored.hpp"

#include <limits>
#include <string>

#include "lacuna/selectors/min_max_bound.hpp"
#include "lacuna/selectors/window_attention.hpp"
#include "support/bounds_case.hpp"
#include "support/catch.hpp"
#include "support/score_run.hpp"
#include "support/sizes.hpp"

namespace {

using lacuna::Anchored;
using lacuna::MinMaxBound;
using lacuna::Page;
using lacuna::Token;
using lacuna::WindowAttention;
using Slash = lacuna::VerticalSlashUnit<64>;

constexpr float kInf = std::numeric_limits<float>::infinity();

TEST_CASE("anchored: both ends win and nothing else changes", "[selectors]") {
  support::ProblemCase<float> c(support::make_inputs<float>({50, 50, 2, 2, 16}, support::Data::random, 1));
  WindowAttention const inner{8};
  auto const plain = support::score(inner, Token{}, c.problem());
  auto const anchored = support::score(Anchored<WindowAttention>{inner, 4, 9}, Token{}, c.problem());
  REQUIRE(anchored.complaint == "");
  for (std::size_t head = 0; head < 2; ++head)
    for (std::size_t token = 0; token < 50; ++token)
      CHECK(anchored.rows[head][token] == (token < 4 || token >= 41 ? kInf : plain.rows[head][token]));
}

TEST_CASE("anchored: columns and diagonals are anchored where they are near", "[selectors]") {
  support::ProblemCase<float> c(support::make_inputs<float>({50, 50, 1, 1, 16}, support::Data::random, 1));
  auto const run = support::score(Anchored<WindowAttention>{{8}, 4, 9}, Slash{}, c.problem());
  for (std::size_t unit = 0; unit < 50; ++unit) {
    CHECK((run.rows[0][unit] == kInf) == (unit < 4));
    CHECK((run.rows[1][unit] == kInf) == (unit < 9));
  }
}

TEST_CASE("anchored: pages of the first and last tokens before the current page", "[selectors]") {
  support::BoundsCase<float> b(support::make_inputs<float>({1, 100, 1, 2, 16}, support::Data::random, 1), 16);
  auto const run = support::score(Anchored<MinMaxBound>{{}, 4, 20}, Page<16>{}, b.problem());
  REQUIRE(run.rows.size() == 1);
  for (std::size_t page = 0; page < 6; ++page) CHECK((run.rows[0][page] == kInf) == (page == 0 || page == 5));
}

TEST_CASE("anchored: more anchors than units cover the row and no more", "[selectors]") {
  support::ProblemCase<float> c(support::make_inputs<float>({5, 5, 1, 1, 16}, support::Data::random, 1));
  auto const run = support::score(Anchored<WindowAttention>{{8}, 100, 100}, Token{}, c.problem());
  REQUIRE(run.complaint == "");
  CHECK(run.rows[0] == std::vector<float>(5, kInf));
}

TEST_CASE("anchored: what it checks, and what it leaves to the selector inside", "[selectors]") {
  lacuna::Shape const shape{50, 50, 1, 1, 16};
  auto complaint = [&](Anchored<WindowAttention> const& selector, std::int64_t kept) {
    return std::string(selector.check(Token{}, shape, kept).message);
  };
  CHECK(complaint({{8}, 4, 9}, 14).empty());
  CHECK(complaint({{8}, 4, 9}, 13) == "anchored: the budget must exceed sink_tokens + recent_tokens");
  CHECK(complaint({{8}, -1, 9}, 14) == "anchored: sink_tokens must not be negative");
  CHECK(complaint({{8}, 4, -9}, 14) == "anchored: recent_tokens must not be negative");
  CHECK(complaint({{0}, 4, 9}, 14) == "window_attention: window must be at least 1");
}

}  // namespace
