#include "lacuna/budgets/fixed.hpp"

#include <string>
#include <vector>

#include "lacuna/units/page.hpp"
#include "lacuna/units/token.hpp"
#include "lacuna/units/vertical_slash.hpp"
#include "support/catch.hpp"

namespace {

using lacuna::FixedBudget;
using lacuna::FixedPair;
using lacuna::Page;
using lacuna::Token;

static_assert(lacuna::BudgetFor<FixedBudget, Token>);
static_assert(lacuna::BudgetFor<FixedBudget, Page<16>>);
static_assert(lacuna::BudgetFor<FixedPair, lacuna::VerticalSlashUnit<64>>);

template <class Budget, class U>
std::vector<std::int32_t> allotted(Budget const& budget, U const& unit, std::int64_t rows, std::int64_t units) {
  std::vector<float> scores(static_cast<std::size_t>(2 * rows * units));
  std::vector<std::int32_t> counts(static_cast<std::size_t>(2 * rows), -1);
  REQUIRE(budget.allot(lacuna::Cpu{}, unit, lacuna::dense_view<float, 3>(scores.data(), {2, rows, units}),
                       lacuna::dense_view<std::int32_t, 2>(counts.data(), {2, rows})));
  return counts;
}

TEST_CASE("fixed budget: the same for every head, never more than there are", "[budgets]") {
  CHECK(allotted(FixedBudget{100}, Token{}, 1, 500) == std::vector<std::int32_t>{100, 100});
  CHECK(allotted(FixedBudget{100}, Token{}, 1, 60) == std::vector<std::int32_t>{60, 60});
  CHECK(allotted(FixedBudget{128}, Page<16>{}, 1, 500) == std::vector<std::int32_t>{8, 8});
  CHECK(allotted(FixedBudget{128}, Page<16>{}, 1, 0) == std::vector<std::int32_t>{0, 0});
}

TEST_CASE("fixed pair: columns and diagonals apart", "[budgets]") {
  lacuna::VerticalSlashUnit<64> const unit;
  CHECK(allotted(FixedPair{10, 70}, unit, 2, 500) == std::vector<std::int32_t>{10, 70, 10, 70});
  CHECK(allotted(FixedPair{10, 70}, unit, 2, 50) == std::vector<std::int32_t>{10, 50, 10, 50});
}

TEST_CASE("fixed budget: less than a unit, or not whole units, is refused", "[budgets]") {
  std::string const sentence = "budget: tokens must be a positive multiple of the tokens of a unit";
  CHECK(FixedBudget{1}.check(Token{}));
  CHECK(std::string(FixedBudget{0}.check(Token{}).message) == sentence);
  CHECK(std::string(FixedBudget{-5}.check(Token{}).message) == sentence);
  CHECK(FixedBudget{48}.check(Page<16>{}));
  CHECK(std::string(FixedBudget{47}.check(Page<16>{}).message) == sentence);
  CHECK(FixedBudget{47}.check(Page<16>{}).value == 47);
  CHECK(FixedBudget{47}.check(Page<16>{}).bound == 16);
}

}  // namespace
