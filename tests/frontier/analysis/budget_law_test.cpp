#include "frontier/analysis/budget_law.hpp"

#include "frontier/analysis/effects.hpp"
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

TEST_CASE("budget law: the longest length judges what was fitted to the others", "[frontier]") {
  auto const check = frontier::check_budget_law(square_root().grid(), {.method = "quest"}, 0.2, 200);
  REQUIRE(check.has_value());
  CHECK(check->length == 4096);
  CHECK(check->law.lengths == 2);
  CHECK(check->fitted.tokens == Approx(check->law.tokens(4096)));
  CHECK(check->fitted.error == Approx(0.2).margin(0.08));
  CHECK(check->fitted.low <= check->fitted.error);
  CHECK(check->fitted.high >= check->fitted.error);
  CHECK(check->fitted.high < 0.5);
  REQUIRE(check->same_share.has_value());
  CHECK(check->same_share->tokens == Approx(2.0 * check->law.tokens(2048)));
  CHECK(check->same_share->error < 0.1);
  REQUIRE(check->same_tokens.has_value());
  CHECK(check->same_tokens->tokens == Approx(check->law.tokens(2048)));
  CHECK(check->same_tokens->error > 0.35);
  test::Synthetic two = square_root();
  two.lengths = {1024, 4096};
  CHECK_FALSE(frontier::check_budget_law(two.grid(), {.method = "quest"}, 0.2, 10).has_value());
}

TEST_CASE("budget law: a budget that was tried on a few prompts costs the others nothing", "[frontier]") {
  std::vector<Record> records = square_root().records();
  auto const whole = frontier::fit_budget_law(frontier::Grid(records), {.method = "quest"}, 0.2, {}, 0);
  REQUIRE(whole.has_value());
  Record tried = records.back();
  tried.id.index = 0;
  tried.id.budget = tried.density = 0.3;
  records.push_back(tried);
  auto const same = frontier::fit_budget_law(frontier::Grid(records), {.method = "quest"}, 0.2, {}, 0);
  REQUIRE(same.has_value());
  CHECK(same->lengths == 3);
  CHECK(same->exponent == whole->exponent);
}

TEST_CASE("budget law: a length at which dense attention fails says nothing", "[frontier]") {
  test::Synthetic made = square_root();
  auto const right = made.score;
  made.score = [right](Record const& record) { return record.id.length == 4096 ? 0.0 : right(record); };
  CHECK_FALSE(frontier::check_budget_law(made.grid(), {.method = "quest"}, 0.2, 10).has_value());
  CHECK(frontier::fit_budget_law(made.grid(), {.method = "quest"}, 0.2, {}, 10)->lengths == 2);
  CHECK(frontier::error_line(made.grid(), {.length = 4096}, {"quest"}, {0.1}).empty());
  CHECK(frontier::error_line(made.grid(), {.length = 2048}, {"quest"}, {0.1}).size() == 1);
}

TEST_CASE("budget law: it is written as a run takes it", "[frontier]") {
  frontier::BudgetLaw law{.error = 0.1, .scale = 10.0, .exponent = 0.5};
  CHECK(frontier::budget_of(law, 1024) == "320.0@1024^0.500");
  law.exponent = -0.2;
  CHECK(frontier::budget_of(law, 1024).ends_with("^0.000"));
}

TEST_CASE("budget law: nothing is said where the error is never reached, or never left", "[frontier]") {
  test::Synthetic made = square_root();
  made.score = [](Record const&) { return 1.0; };
  CHECK_FALSE(frontier::fit_budget_law(made.grid(), {.method = "quest"}, 0.2).has_value());
  CHECK_FALSE(frontier::fit_budget_law(square_root().grid(), {.method = "none"}, 0.2).has_value());
  CHECK_FALSE(frontier::fit_budget_law(square_root().grid(), {.method = "quest"}, 0.2, {1024}).has_value());
}

}  // namespace
