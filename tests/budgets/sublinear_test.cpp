#include "lacuna/budgets/sublinear.hpp"

#include <cmath>
#include <string>
#include <vector>

#include "lacuna/budgets/adaptive_heads.hpp"
#include "lacuna/budgets/fixed.hpp"
#include "lacuna/budgets/with_current.hpp"
#include "lacuna/units/page.hpp"
#include "lacuna/units/token.hpp"
#include "support/catch.hpp"

namespace {

using lacuna::AdaptiveHeads;
using lacuna::FixedBudget;
using lacuna::Sublinear;

template <class B, class U>
std::vector<std::int32_t> allotted(B const& budget, U const& unit, std::int64_t heads, std::int64_t candidates) {
  std::vector<float> scores(static_cast<std::size_t>(heads * candidates), 1.0F);
  std::vector<std::int32_t> counts(static_cast<std::size_t>(heads), static_cast<std::int32_t>(candidates));
  REQUIRE(budget.allot(lacuna::Cpu{}, unit, lacuna::dense_view<float, 3>(scores.data(), {heads, 1, candidates}),
                       lacuna::dense_view<std::int32_t, 2>(counts.data(), {heads, 1})));
  return counts;
}

TEST_CASE("sublinear: tokens grow like a power of the length", "[budgets]") {
  lacuna::Token const token;
  Sublinear<FixedBudget> const root{{1638}, 16384, 0.5};
  CHECK(root.limit(token, 0, 16384) == 1638);
  CHECK(root.limit(token, 0, 4 * 16384) == 3276);
  CHECK(root.limit(token, 0, 16384 / 4) == 819);
  for (std::int64_t len : {1000, 30000, 99999})
    CHECK(root.limit(token, 0, len) ==
          static_cast<std::int64_t>(std::ceil(1638 * std::sqrt(static_cast<double>(len) / 16384.0) - 1e-6)));
  CHECK(Sublinear<FixedBudget>{{100}, 1000, 0.0}.limit(token, 0, 77) == 100);
  CHECK(Sublinear<FixedBudget>{{100}, 1000, 1.0}.limit(token, 0, 500) == 50);
  CHECK(allotted(Sublinear<FixedBudget>{{64}, 1000, 0.5}, token, 2, 250) == std::vector<std::int32_t>{32, 32});
}

TEST_CASE("sublinear: whole pages, at least one, shared pools grow too", "[budgets]") {
  lacuna::Page<16> const page;
  Sublinear<FixedBudget> const root{{160}, 1600, 0.5};
  CHECK(root.limit(page, 0, 400) == 5);
  CHECK(root.limit(page, 0, 402) == 6);
  CHECK(root.limit(page, 0, 0) == 1);
  CHECK(allotted(root, page, 1, 25) == std::vector<std::int32_t>{5});
  Sublinear<AdaptiveHeads> const pool{{64, 0.5}, 100, 0.5};
  CHECK(pool.mean(lacuna::Token{}, 0, 25) == 32);
  CHECK(allotted(pool, lacuna::Token{}, 2, 400) == std::vector<std::int32_t>{192, 64});
}

TEST_CASE("sublinear: refusals are its own and the inner budget's", "[budgets]") {
  lacuna::Token const token;
  CHECK(std::string(Sublinear<FixedBudget>{{10}, 0, 0.5}.check(token).message) ==
        "sublinear: reference_tokens must be at least 1");
  for (double exponent : {-0.1, 1.1, std::nan("")})
    CHECK(std::string(Sublinear<FixedBudget>{{10}, 10, exponent}.check(token).message) ==
          "sublinear: exponent must be in [0, 1]; value and bound are in millionths");
  CHECK(std::string(Sublinear<FixedBudget>{{0}, 10, 0.5}.check(token).message) ==
        "budget: tokens must be a positive multiple of the tokens of a unit");
}

TEST_CASE("with current: one unit fewer is chosen, and never fewer than none", "[budgets]") {
  lacuna::Page<16> const page;
  lacuna::WithCurrent<FixedBudget> const budget{{64}};
  CHECK(budget.check(page));
  CHECK(budget.limit(page, 0, 1000) == 3);
  CHECK(budget.mean(page, 0, 1000) == 3);
  CHECK(allotted(budget, page, 2, 10) == std::vector<std::int32_t>{3, 3});
  CHECK(allotted(budget, page, 1, 3) == std::vector<std::int32_t>{3});  // these and the current one: 64 tokens
  CHECK(allotted(lacuna::WithCurrent<FixedBudget>{{16}}, page, 1, 10) == std::vector<std::int32_t>{0});
  CHECK(std::string(lacuna::WithCurrent<FixedBudget>{{8}}.check(page).message) ==
        "budget: tokens must be a positive multiple of the tokens of a unit");
}

}  // namespace
