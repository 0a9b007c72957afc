#include "lacuna/budgets/budget.hpp"

#include <string>
#include <vector>

#include "lacuna/budgets/fixed.hpp"
#include "lacuna/budgets/ratio.hpp"
#include "lacuna/units/token.hpp"
#include "support/catch.hpp"

namespace {

TEST_CASE("budget: counts and scores must go together", "[budgets]") {
  std::vector<float> scores(8);
  std::vector<std::int32_t> counts(4);
  auto const of = [&](std::int64_t heads, std::int64_t rows) {
    return lacuna::dense_view<std::int32_t, 2>(counts.data(), {heads, rows});
  };
  auto const two_heads = lacuna::dense_view<float, 3>(scores.data(), {2, 1, 4});
  std::string const sentence = "allot: counts must have one entry per row of scores";
  CHECK(std::string(lacuna::FixedBudget{2}.allot(lacuna::Cpu{}, lacuna::Token{}, two_heads, of(1, 1)).message) ==
        sentence);
  CHECK(std::string(lacuna::Ratio{0.5}.allot(lacuna::Cpu{}, lacuna::Token{}, two_heads, of(2, 2)).message) == sentence);
  CHECK(lacuna::Ratio{0.5}.allot(lacuna::Cpu{}, lacuna::Token{}, two_heads, of(2, 1)));
  CHECK(counts[1] == 2);
}

}  // namespace
