#include "frontier/analysis/budget_law.hpp"

#include "frontier/analysis/synthetic.hpp"
#include "support/catch.hpp"

namespace {

using frontier::Record;

/// A prompt is answered when more tokens are read than it needs: about 10 sqrt(length), half of them less, half more.
test::Synthetic square_root() {
  test::Synthetic made;
  made.lengths = {1024, 2048, 4096};
  made.budgets = {0.5, 0.35, 0.25, 0.18, 0.125, 0.09, 0.0625, 0.044};
  made.samples = 40;
  made.score = [](Record const& record) {
    auto const length = static_cast<double>(record.id.length);
    double const needed = 10.0 * std::sqrt(length) * (0.5 + static_cast<double>(record.id.index) / 40.0);
    return record.id.budget * length >= needed || record.phase == "dense" ? 1.0 : 0.0;
  };
  return made;
}

TEST_CASE("budget law: the exponent that was put in, within its interval", "[frontier]") {
  auto const law = frontier::fit_budget_law(square_root().grid(), {.method = "quest"}, 0.2, {}, 200);
  REQUIRE(law.has_value());
  CHECK(law->lengths == 3);
  CHECK(law->exponent == Approx(0.5).margin(0.1));
  CHECK(law->low < 0.5);
  CHECK(law->high > 0.5);
  CHECK(law->low > 0.0);
  CHECK(law->high < 1.0);
  CHECK(law->resamples > 150);
  // Nine tenths of the way through the needs: 10 sqrt(L) 1.3.
  CHECK(law->tokens(2048) == Approx(13.0 * std::sqrt(2048.0)).epsilon(0.12));
  auto const again = frontier::fit_budget_law(square_root().grid(), {.method = "quest"}, 0.2, {}, 200);
  CHECK(again->low == law->low);
}

TEST_CASE("budget law: fitted at two lengths it foretells the third", "[frontier]") {
  frontier::Grid const grid = square_root().grid();
  auto const law = frontier::fit_budget_law(grid, {.method = "quest"}, 0.2, {1024, 2048}, 50);
  REQUIRE(law.has_value());
  CHECK(law->lengths == 2);
  auto const error = frontier::relative_error(grid, {.length = 4096, .method = "quest"}, law->tokens(4096) / 4096);
  REQUIRE(error.has_value());
  CHECK(*error == Approx(0.2).margin(0.1));
}

TEST_CASE("budget law: nothing is said where the error is never reached, or never left", "[frontier]") {
  test::Synthetic made = square_root();
  made.score = [](Record const&) { return 1.0; };
  CHECK_FALSE(frontier::fit_budget_law(made.grid(), {.method = "quest"}, 0.2).has_value());
  CHECK_FALSE(frontier::fit_budget_law(square_root().grid(), {.method = "none"}, 0.2).has_value());
  CHECK_FALSE(frontier::fit_budget_law(square_root().grid(), {.method = "quest"}, 0.2, {1024}).has_value());
}

}  // namespace
