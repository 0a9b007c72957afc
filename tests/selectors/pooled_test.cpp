#include "lacuna/selectors/pooled.hpp"

#include <cmath>
#include <string>
#include <vector>

#include "lacuna/selectors/window_attention.hpp"
#include "reference/snap_kv.hpp"
#include "support/catch.hpp"
#include "support/exec.hpp"
#include "support/score_run.hpp"
#include "support/sizes.hpp"

namespace {

using lacuna::Smoothed;
using lacuna::Token;

/// A selector that gives the scores it was given.
struct Given {
  std::vector<float> scores;

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
      for (std::int64_t unit = 0; unit < out.extent(2); ++unit)
        out(head, 0, unit) = scores[static_cast<std::size_t>(unit)];
    return {};
  }
};
static_assert(lacuna::SelectorFor<Given, Token>);
static_assert(lacuna::SelectorFor<Smoothed<Given>, Token>);

std::vector<float> smoothed(std::vector<float> const& scores, std::int64_t width, lacuna::Cpu exec = {}) {
  std::int64_t const len = static_cast<std::int64_t>(scores.size());
  support::ProblemCase<float> c(support::make_inputs<float>({1, len, 3, 1, 4}, support::Data::random, 1));
  auto const run = support::score(Smoothed<Given>{{scores}, width}, Token{}, c.problem(), exec);
  REQUIRE(run.complaint == "");
  return run.rows[2];
}

TEST_CASE("smoothed: ones become .6 .8 1 ... 1 .8 .6, because zeros beyond the ends count", "[selectors]") {
  std::vector<float> const expected{0.6F, 0.8F, 1, 1, 1, 1, 1, 0.8F, 0.6F};
  auto const got = smoothed(std::vector<float>(9, 1.0F), 5);
  for (std::size_t unit = 0; unit < 9; ++unit) CHECK(got[unit] == Approx(expected[unit]).epsilon(1e-7));
}

TEST_CASE("smoothed: every width equals the oracle, also when it exceeds the row", "[selectors]") {
  support::Random random(2);
  for (std::int64_t units : {1, 2, 5, 40, 333}) {
    std::vector<float> scores;
    for (std::int64_t unit = 0; unit < units; ++unit) scores.push_back(static_cast<float>(random.uniform()));
    for (std::int64_t width : {1, 3, 7, 21, 99}) {
      CAPTURE(units, width);
      auto const exact = reference::smooth({scores.begin(), scores.end()}, width);
      auto const got = smoothed(scores, width);
      for (std::size_t unit = 0; unit < exact.size(); ++unit)
        REQUIRE(static_cast<double>(got[unit]) == Approx(exact[unit]).epsilon(1e-5));
      REQUIRE(smoothed(scores, width, support::backwards(3)) == got);
    }
  }
}

TEST_CASE("smoothed: a NaN reaches its neighbours and nobody behind them", "[selectors]") {
  std::vector<float> scores(20, 1.0F);
  scores[8] = std::nanf("");
  auto const got = smoothed(scores, 5);
  for (std::size_t unit = 0; unit < 20; ++unit) CHECK(std::isnan(got[unit]) == (unit >= 6 && unit <= 10));
}

TEST_CASE("smoothed: an even or empty width is refused, and so is too little memory", "[selectors]") {
  for (std::int64_t width : {0, 2, -1, -2})
    CHECK(std::string(Smoothed<Given>{{}, width}.check(Token{}, {}, 1).message) ==
          "pooled: width must be odd and at least 1");
  support::ProblemCase<float> c(support::make_inputs<float>({1, 4, 1, 1, 4}, support::Data::random, 1));
  std::vector<float> out(4);
  auto const status = Smoothed<Given>{{{1, 2, 3, 4}}, 3}.score(lacuna::Cpu{}, Token{}, c.problem(), lacuna::Workspace{},
                                                               lacuna::dense_view<float, 3>(out.data(), {1, 1, 4}));
  CHECK(status.code == lacuna::Errc::workspace_too_small);
  CHECK(std::string(status.message) == "pooled: the workspace is smaller than planned");
}

}  // namespace
