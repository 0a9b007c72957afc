#include "lacuna/selectors/random.hpp"

#include <cmath>
#include <vector>

#include "lacuna/budgets/fixed.hpp"
#include "lacuna/kv/contiguous.hpp"
#include "lacuna/methods/method.hpp"
#include "lacuna/selectors/anchored.hpp"
#include "lacuna/units/block.hpp"
#include "lacuna/units/page.hpp"
#include "lacuna/units/token.hpp"
#include "lacuna/units/vertical_slash.hpp"
#include "support/catch.hpp"
#include "support/exec.hpp"
#include "support/method_run.hpp"
#include "support/score_run.hpp"
#include "support/sizes.hpp"

namespace {

using lacuna::RandomSelector;
using support::Data;

static_assert(lacuna::SelectorFor<RandomSelector, lacuna::Block<16>> &&
              lacuna::SelectorFor<RandomSelector, lacuna::VerticalSlashUnit<64>> &&
              lacuna::SelectorFor<RandomSelector, lacuna::Page<16>> &&
              lacuna::SelectorFor<RandomSelector, lacuna::Token>);

TEST_CASE("random: the seed alone decides, uniformly", "[selectors]") {
  support::ProblemCase<float> c(support::make_inputs<float>({1, 2000, 2, 2, 4}, Data::random, 1));
  auto const of = [&](std::uint64_t seed, lacuna::Cpu exec = {}) {
    return support::score(RandomSelector{seed}, lacuna::VerticalSlashUnit<64>{}, c.problem(), exec).rows;
  };
  auto const rows = of(1);
  REQUIRE(rows.size() == 8);
  CHECK(rows == of(1, support::backwards(3)));
  CHECK(rows != of(2));
  for (std::size_t row = 0; row < rows.size(); ++row) {
    double mean = 0.0, square = 0.0;
    for (float x : rows[row]) {
      REQUIRE((x >= 0.0F && x < 1.0F));
      mean += static_cast<double>(x) / 2000.0;
      square += static_cast<double>(x) * static_cast<double>(x) / 2000.0;
    }
    CHECK(mean == Approx(0.5).margin(0.03));
    CHECK(square - mean * mean == Approx(1.0 / 12.0).margin(0.01));
    if (row > 0) CHECK(rows[row] != rows[row - 1]);
  }
}

TEST_CASE("random: choices follow the unit's heads", "[selectors]") {
  lacuna::Shape const shape{1, 50, 8, 2, 4};
  CHECK(RandomSelector{}.heads(lacuna::Token{}, shape) == 2);
  CHECK(RandomSelector{}.heads(lacuna::Page<16>{}, shape) == 2);
  CHECK(RandomSelector{}.heads(lacuna::Block<16>{}, shape) == 8);
}

TEST_CASE("random: blocks are drawn the same by any worker, forced ones stay", "[selectors]") {
  using RandomBlocks = lacuna::Method<lacuna::Block<16>, lacuna::Anchored<RandomSelector, 32>, lacuna::FixedBudget,
                                      lacuna::ContiguousCache>;
  RandomBlocks const method{.budget = {.tokens = 16 * 5}};
  std::vector<double> first;
  for (lacuna::Cpu const& exec : {lacuna::Cpu{}, support::backwards(4)}) {
    support::ProblemCase<float> c(support::make_inputs<float>({700, 700, 1, 2, 16}, Data::random, 1));
    support::MethodRun<RandomBlocks> run(method, c.problem(), exec);
    REQUIRE(run.run(c.problem(), c.out()) == "");
    std::int32_t const* const last = run.index().row(1, 43);
    CHECK((last[0] == 0 && last[3] == 42 && last[4] == 43));
    if (first.empty()) first = c.answer();
    CHECK(c.answer() == first);
  }
}

}  // namespace
