#include "lacuna/selectors/oracle.hpp"

#include <string>
#include <vector>

#include "lacuna/budgets/fixed.hpp"
#include "lacuna/kv/contiguous.hpp"
#include "lacuna/methods/method.hpp"
#include "reference/antidiagonal.hpp"
#include "reference/vertical_slash.hpp"
#include "support/block_case.hpp"
#include "support/catch.hpp"
#include "support/score_run.hpp"
#include "support/sizes.hpp"

namespace {

using lacuna::OracleSelector;
using support::Data;
using support::ProblemCase;

void check_row(std::vector<float> const& got, reference::UnitScores const& exact, std::size_t units) {
  REQUIRE(got.size() >= units);
  for (std::size_t u = 0; u < units; ++u) CHECK(static_cast<double>(got[u]) == Approx(exact[u]).margin(1e-5));
}

TEST_CASE("oracle: columns, diagonals and tokens from every query", "[selectors]") {
  auto const in = support::make_inputs<float>({70, 90, 2, 2, 16}, Data::random, 3);
  ProblemCase<float> c(in);
  auto const both = support::score(OracleSelector{}, lacuna::VerticalSlashUnit<64>{}, c.problem());
  REQUIRE(both.complaint == "");
  for (std::int64_t head = 0; head < 4; ++head) {
    auto const exact = reference::vertical_slash_scores(in, head, 70);
    check_row(both.rows[static_cast<std::size_t>(2 * head)], exact.columns, 90);
    check_row(both.rows[static_cast<std::size_t>(2 * head + 1)], exact.slashes, 90);
  }
  auto const tokens = support::score(OracleSelector{}, lacuna::Token{}, c.problem());
  REQUIRE(tokens.complaint == "");
  auto exact = reference::vertical_slash_scores(in, 2, 70).columns;
  auto const more = reference::vertical_slash_scores(in, 3, 70).columns;
  for (std::size_t u = 0; u < exact.size(); ++u) exact[u] = (exact[u] + more[u]) / 2.0;
  check_row(tokens.rows[1], exact, 90);
}

TEST_CASE("oracle: pages hold what the one query gives them, the mean over the group", "[selectors]") {
  for (std::int64_t len : {1, 15, 33, 100}) {
    CAPTURE(len);
    auto const in = support::make_inputs<float>({1, len, 2, 3, 16}, Data::random, 3);
    ProblemCase<float> c(in);
    auto const pages = support::score(OracleSelector{}, lacuna::Page<16>{}, c.problem());
    REQUIRE(pages.complaint == "");
    for (std::int64_t head_kv = 0; head_kv < 2; ++head_kv) {
      reference::UnitScores exact(static_cast<std::size_t>(len / 16 + 1));
      for (std::int64_t g = 0; g < 3; ++g) {
        auto const columns = reference::vertical_slash_scores(in, head_kv * 3 + g, 1).columns;
        for (std::size_t j = 0; j < columns.size(); ++j) exact[j / 16] += columns[j] / 3.0;
      }
      check_row(pages.rows[static_cast<std::size_t>(head_kv)], exact, static_cast<std::size_t>((len - 1) / 16));
    }
  }
}

TEST_CASE("oracle: blocks hold what their query block gives them", "[selectors]") {
  using OracleBlocks = lacuna::Method<lacuna::Block<16>, OracleSelector, lacuna::FixedBudget, lacuna::ContiguousCache>;
  auto const in = support::make_inputs<float>({200, 230, 1, 2, 32}, Data::random, 3);
  ProblemCase<float> c(in);
  support::block_method_equals_the_oracle(OracleBlocks{.budget = {.tokens = 64}}, in, c, Data::random,
                                          [&](std::int64_t head, std::int64_t m, reference::Units const& kept) {
                                            return reference::explain_selection(
                                                kept, reference::antidiagonal_scores(in, head, m, 16, 1), {},
                                                std::min<std::int64_t>(4, m + 1), 1e-6);
                                          });
}

TEST_CASE("oracle: too little memory and several queries for pages are refused", "[selectors]") {
  ProblemCase<float> c(support::make_inputs<float>({2, 40, 1, 1, 16}, Data::random, 3));
  std::vector<float> scores(2);
  auto const view = lacuna::dense_view<float, 3>(scores.data(), {1, 1, 2});
  CHECK(std::string(OracleSelector{}.score({}, lacuna::Page<16>{}, c.problem(), lacuna::Workspace{}, view).message) ==
        "oracle: the workspace is smaller than planned");
  support::GuardedMemory memory(1 << 16);
  CHECK(std::string(OracleSelector{}.score({}, lacuna::Page<16>{}, c.problem(), memory.workspace(), view).message) ==
        "oracle: pages are for one query");
}

}  // namespace
