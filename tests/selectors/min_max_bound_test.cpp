#include "lacuna/selectors/min_max_bound.hpp"

#include <string>

#include "lacuna/units/token.hpp"
#include "reference/quest.hpp"
#include "support/bounds_case.hpp"
#include "support/catch.hpp"
#include "support/score_run.hpp"
#include "support/sizes.hpp"

namespace {

using lacuna::MinMaxBound;
using lacuna::Page;

static_assert(lacuna::SelectorFor<MinMaxBound, Page<16>>);
static_assert(!lacuna::SelectorFor<MinMaxBound, lacuna::Token>);

TEST_CASE("min-max bound: one row per KV head, or per query head", "[selectors]") {
  auto const in = support::make_inputs<float>({1, 200, 2, 3, 32}, support::Data::random, 1);
  support::BoundsCase<float> b(in, 16);
  auto const shared = support::score(MinMaxBound{true}, Page<16>{}, b.problem());
  auto const each = support::score(MinMaxBound{false}, Page<16>{}, b.problem());
  REQUIRE(shared.rows.size() == 2);
  REQUIRE(each.rows.size() == 6);
  for (std::size_t head = 0; head < 6; ++head) {
    auto const exact = reference::quest_scores(in, static_cast<std::int64_t>(head), 16);
    auto const exact_shared = reference::quest_shared_scores(in, static_cast<std::int64_t>(head / 3), 16);
    REQUIRE(each.rows[head].size() == exact.size());
    for (std::size_t page = 0; page < exact.size(); ++page) {
      CHECK(static_cast<double>(each.rows[head][page]) == Approx(exact[page]).epsilon(1e-5));
      CHECK(static_cast<double>(shared.rows[head / 3][page]) == Approx(exact_shared[page]).epsilon(1e-5));
    }
  }
}

TEST_CASE("min-max bound: the store's pages must be the unit's", "[selectors]") {
  support::BoundsCase<float> b(support::make_inputs<float>({1, 100, 1, 1, 16}, support::Data::random, 3), 8);
  auto const run = support::score(MinMaxBound{}, Page<16>{}, b.problem());
  CHECK(run.complaint == "min_max_bound: the store must keep bounds of pages as large as the unit's");
}

}  // namespace
