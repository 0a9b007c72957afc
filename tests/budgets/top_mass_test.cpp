#include "lacuna/budgets/top_mass.hpp"

#include <limits>
#include <string>
#include <vector>

#include "lacuna/units/token.hpp"
#include "reference/top_mass.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace {

using lacuna::AnchoredTopMass;
using lacuna::Token;
using lacuna::TopMass;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

template <class Budget>
std::int64_t allotted(Budget const& budget, std::vector<float> scores) {
  std::int32_t count = static_cast<std::int32_t>(scores.size());
  auto const s = lacuna::dense_view<float, 3>(scores.data(), {1, 1, static_cast<std::int64_t>(scores.size())});
  REQUIRE(budget.allot(lacuna::Cpu{}, Token{}, s, lacuna::dense_view<std::int32_t, 2>(&count, {1, 1})));
  return count;
}

std::vector<float> random_mass(support::Random& random, std::int64_t units) {
  std::vector<float> scores;
  double total = 0.0;
  for (std::int64_t u = 0; u < units; ++u) {
    scores.push_back(static_cast<float>(std::exp(3.0 * random.normal())));
    total += static_cast<double>(scores.back());
  }
  for (float& score : scores) score = static_cast<float>(static_cast<double>(score) / total);
  return scores;
}

TEST_CASE("top_mass: the unit that crosses the share is kept", "[budgets]") {
  std::vector<float> const scores{0.125F, 0.5F, 0.25F, 0.125F};
  CHECK(allotted(TopMass{0.0, 1}, scores) == 1);
  CHECK(allotted(TopMass{0.49, 1}, scores) == 1);
  CHECK(allotted(TopMass{0.5, 1}, scores) == 2);  // mass up to and including the first is not more than the share
  CHECK(allotted(TopMass{0.74, 1}, scores) == 2);
  CHECK(allotted(TopMass{0.75, 1}, scores) == 3);
  CHECK(allotted(TopMass{0.9, 1}, scores) == 4);
  CHECK(allotted(TopMass{1.0, 1}, scores) == 4);
}

TEST_CASE("top_mass: floor, limit and candidates bound the count", "[budgets]") {
  std::vector<float> const scores{0.125F, 0.5F, 0.25F, 0.125F};
  CHECK(allotted(TopMass{0.0, 3}, scores) == 3);
  CHECK(allotted(TopMass{0.0, 9}, scores) == 4);
  CHECK(allotted(TopMass{1.0, 1, 2}, scores) == 2);
  CHECK(TopMass{0.9, 5, 40}.limit(Token{}, 0, 100) == 40);
  CHECK(TopMass{0.9, 5, 40}.limit(Token{}, 0, 30) == 30);
  CHECK(TopMass{0.9, 5}.limit(Token{}, 0, 100) == 100);
}

TEST_CASE("top_mass: all ties keep one more than the share, as FlexPrefill counts them", "[budgets]") {
  for (std::int64_t units : {1, 2, 8, 64, 512})
    for (double share : {0.0, 0.25, 0.5, 0.75}) {
      CAPTURE(units, share);
      auto const each = static_cast<float>(1.0 / static_cast<double>(units));
      std::vector<float> const scores(static_cast<std::size_t>(units), each);
      CHECK(allotted(TopMass{share, 1}, scores) == static_cast<std::int64_t>(share * static_cast<double>(units)) + 1);
    }
}

TEST_CASE("top_mass: random rows count as the oracle does, give or take the rounding of one sum", "[budgets]") {
  support::Random random(11);
  for (int round = 0; round < 300; ++round) {
    auto const scores = random_mass(random, 1 + random.below(400));
    double const share = random.uniform();
    CAPTURE(round, scores.size(), share);
    reference::UnitScores const exact(scores.begin(), scores.end());
    auto const near = [](std::int64_t a, std::int64_t b) { return a - b >= -1 && a - b <= 1; };
    CHECK(near(allotted(TopMass{share, 1}, scores), reference::cover(exact, share)));
    reference::Units const forced = reference::both_ends(static_cast<std::int64_t>(scores.size()), 1, 2);
    auto anchored = scores;
    for (std::int64_t unit : forced) anchored[static_cast<std::size_t>(unit)] = kInf;
    CHECK(near(allotted(AnchoredTopMass{share}, anchored), reference::anchored_cover(exact, forced, share)));
  }
}

TEST_CASE("top_mass: what is no mass weighs nothing", "[budgets]") {
  CHECK(allotted(TopMass{0.6, 1}, {kNan, 0.5F, -kInf, 0.5F}) == 2);
  CHECK(allotted(TopMass{0.6, 1}, {kNan, kNan}) == 1);
  CHECK(allotted(AnchoredTopMass{0.6}, {kNan, kNan, kInf}) == 1);
  CHECK(allotted(AnchoredTopMass{0.6}, {kInf}) == 1);
}

TEST_CASE("anchored_top_mass: forced units come first, and mass is counted before a unit is added", "[budgets]") {
  // What is forced holds 0.25.
  std::vector<float> const scores{kInf, 0.5F, 0.25F, kInf};
  CHECK(allotted(AnchoredTopMass{0.0}, scores) == 2);
  CHECK(allotted(AnchoredTopMass{0.25}, scores) == 2);
  CHECK(allotted(AnchoredTopMass{0.3}, scores) == 3);
  CHECK(allotted(AnchoredTopMass{0.75}, scores) == 3);
  CHECK(allotted(AnchoredTopMass{0.8}, scores) == 4);
  CHECK(allotted(AnchoredTopMass{1.0}, scores) == 4);
}

TEST_CASE("top_mass: parameters that make no sense are refused", "[budgets]") {
  auto const complaint = [](auto const& budget) { return std::string(budget.check(Token{}).message); };
  CHECK(complaint(TopMass{0.5, 4, 8}).empty());
  std::string const share = "top_mass: share must be in [0, 1]; value and bound are in millionths";
  CHECK(complaint(TopMass{-0.1, 1}) == share);
  CHECK(complaint(TopMass{1.1, 1}) == share);
  CHECK(complaint(TopMass{std::numeric_limits<double>::quiet_NaN(), 1}) == share);
  CHECK(complaint(TopMass{0.5, 0}) == "top_mass: floor_tokens must be at least 1");
  CHECK(complaint(TopMass{0.5, 8, 4}) == "top_mass: most_tokens must be 0 or at least floor_tokens");
  CHECK(complaint(AnchoredTopMass{0.5}).empty());
  CHECK(complaint(AnchoredTopMass{2.0}) ==
        "anchored_top_mass: share must be in [0, 1]; value and bound are in millionths");
  std::int32_t count = 0;
  std::vector<float> scores(2);
  CHECK_FALSE(TopMass{}.allot(lacuna::Cpu{}, Token{}, lacuna::dense_view<float, 3>(scores.data(), {2, 1, 1}),
                              lacuna::dense_view<std::int32_t, 2>(&count, {1, 1})));
}

}  // namespace
