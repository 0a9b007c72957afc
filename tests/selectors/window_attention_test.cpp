#include "lacuna/selectors/window_attention.hpp"

#include <string>

#include "reference/snap_kv.hpp"
#include "reference/vertical_slash.hpp"
#include "support/catch.hpp"
#include "support/score_run.hpp"
#include "support/sizes.hpp"

namespace {

using lacuna::Token;
using lacuna::WindowAttention;
using Slash = lacuna::VerticalSlashUnit<64>;

static_assert(lacuna::SelectorFor<WindowAttention, Slash>);
static_assert(lacuna::SelectorFor<WindowAttention, Token>);

void close(std::vector<float> const& got, reference::UnitScores const& exact) {
  REQUIRE(got.size() == exact.size());
  for (std::size_t unit = 0; unit < exact.size(); ++unit)
    REQUIRE(static_cast<double>(got[unit]) == Approx(exact[unit]).epsilon(2e-5));
}

TEST_CASE("window attention: columns and diagonals of every query head", "[selectors]") {
  for (support::Sizes const& sizes : {support::Sizes{90, 90, 2, 3, 32}, support::Sizes{5, 5, 1, 1, 16}}) {
    auto const in = support::make_inputs<float>(sizes, support::Data::random, 1);
    support::ProblemCase<float> c(in);
    auto const run = support::score(WindowAttention{16}, Slash{}, c.problem());
    REQUIRE(run.complaint == "");
    REQUIRE(static_cast<std::int64_t>(run.rows.size()) == 2 * in.heads_q);
    for (std::int64_t head = 0; head < in.heads_q; ++head) {
      auto const exact = reference::vertical_slash_scores(in, head, 16);
      close(run.rows[static_cast<std::size_t>(2 * head)], exact.columns);
      close(run.rows[static_cast<std::size_t>(2 * head + 1)], exact.slashes);
    }
  }
}

TEST_CASE("window attention: tokens of every KV head, mean over its group", "[selectors]") {
  auto const in = support::make_inputs<float>({90, 90, 2, 3, 32}, support::Data::random, 1);
  support::ProblemCase<float> c(in);
  auto const run = support::score(WindowAttention{16}, Token{}, c.problem());
  REQUIRE(run.complaint == "");
  REQUIRE(run.rows.size() == 2);
  for (std::int64_t head : {0, 1})
    close(run.rows[static_cast<std::size_t>(head)], reference::window_mass(in, head, 16));
}

TEST_CASE("window attention: the columns of one window row add up to one", "[selectors]") {
  support::ProblemCase<float> c(support::make_inputs<float>({90, 90, 1, 2, 32}, support::Data::random, 1));
  auto const run = support::score(WindowAttention{7}, Token{}, c.problem());
  double sum = 0.0;
  for (float x : run.rows[0]) sum += static_cast<double>(x);
  CHECK(sum == Approx(7.0));
}

TEST_CASE("window attention: one query tells nothing about diagonals", "[selectors]") {
  CHECK_FALSE(WindowAttention{1}.can_judge(Slash{}, {100, 100, 1, 1, 16}));
  CHECK_FALSE(WindowAttention{16}.can_judge(Slash{}, {1, 1, 1, 1, 16}));
  CHECK(WindowAttention{2}.can_judge(Slash{}, {2, 2, 1, 1, 16}));
  CHECK(WindowAttention{1}.can_judge(Token{}, {1, 100, 1, 1, 16}));
  CHECK_FALSE(WindowAttention{1}.can_judge(Token{}, {0, 0, 1, 1, 16}));
}

TEST_CASE("window attention: an empty window is refused", "[selectors]") {
  CHECK(std::string(WindowAttention{0}.check(Token{}, {1, 1, 1, 1, 16}, 1).message) ==
        "window_attention: window must be at least 1");
}

}  // namespace
