#include "lacuna/budgets/adaptive_heads.hpp"

#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "lacuna/units/page.hpp"
#include "lacuna/units/token.hpp"
#include "reference/adaptive_heads.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace {

using lacuna::AdaptiveHeads;
using reference::Units;

constexpr float kInf = std::numeric_limits<float>::infinity();

/// Counts that the budget gives to rows of these scores; rows may differ in length.
std::vector<std::int64_t> allotted(AdaptiveHeads const& budget, std::vector<std::vector<float>> const& rows) {
  std::size_t longest = 0;
  for (auto const& row : rows) longest = std::max(longest, row.size());
  std::vector<float> scores(rows.size() * longest, kInf);  // beyond a row's end nothing is meant
  std::vector<std::int32_t> counts;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    std::copy(rows[r].begin(), rows[r].end(), scores.begin() + static_cast<std::ptrdiff_t>(r * longest));
    counts.push_back(static_cast<std::int32_t>(rows[r].size()));
  }
  std::int64_t const heads = static_cast<std::int64_t>(rows.size());
  lacuna::Status const status =
      budget.allot(lacuna::Cpu{}, lacuna::Token{},
                   lacuna::dense_view<float, 3>(scores.data(), {heads, 1, static_cast<std::int64_t>(longest)}),
                   lacuna::dense_view<std::int32_t, 2>(counts.data(), {heads, 1}));
  if (!status) return {};
  return {counts.begin(), counts.end()};
}

TEST_CASE("adaptive heads: counts are those of the two stages, on random, tied and broken scores", "[budgets]") {
  support::Random random(5);
  for (int trial = 0; trial < 3000; ++trial) {
    CAPTURE(trial);
    std::size_t const heads = static_cast<std::size_t>(1 + random.below(5));
    std::int64_t const longest = 1 + random.below(40);
    std::int64_t const levels = 1 + random.below(trial % 2 == 0 ? 6 : 100000);
    bool const ragged = random.below(2) == 0;
    std::vector<std::vector<float>> rows(heads);
    std::vector<reference::UnitScores> exact(heads);
    std::int64_t forced = random.below(3);
    for (std::size_t head = 0; head < heads; ++head) {
      std::int64_t const len = ragged ? random.below(longest + 1) : longest;
      forced = std::min(forced, len);
      for (std::int64_t unit = 0; unit < len; ++unit) {
        float score = static_cast<float>(random.below(levels)) / static_cast<float>(levels) - 0.25F;
        if (trial % 7 == 0 && random.below(9) == 0) score = std::nanf("");
        if (trial % 5 == 0 && random.below(9) == 0) score = -kInf;
        rows[head].push_back(score);
      }
    }
    std::vector<Units> always(heads);
    for (std::size_t head = 0; head < heads; ++head) {
      exact[head].assign(rows[head].begin(), rows[head].end());
      for (std::int64_t unit = 0; unit < forced; ++unit) {
        always[head].push_back(unit);
        rows[head][static_cast<std::size_t>(unit)] = kInf;
      }
    }
    std::int64_t const tokens = std::max<std::int64_t>(forced, 1) + random.below(longest + 3);
    double const share = static_cast<double>(random.below(11)) / 10.0;
    std::int64_t const floor = std::max(static_cast<std::int64_t>(share * static_cast<double>(tokens) + 1e-9), forced);
    CAPTURE(tokens, share, forced);
    auto const counts = allotted({tokens, share}, rows);
    auto const kept = reference::adaptive_units(exact, always, tokens * static_cast<std::int64_t>(heads), floor);
    REQUIRE(counts.size() == heads);
    for (std::size_t head = 0; head < heads; ++head)
      REQUIRE(counts[head] == static_cast<std::int64_t>(kept[head].size()));
  }
}

TEST_CASE("adaptive heads: the pool is spent to the last unit, and identical heads share it evenly", "[budgets]") {
  std::vector<float> const row{0.5F, 0.1F, 0.4F, 0.3F, 0.2F, 0.05F};
  CHECK(allotted({3, 0.2}, {row, row, row}) == std::vector<std::int64_t>{3, 3, 3});
  CHECK(allotted({2, 0.0}, {{9, 8, 7, 6}, {1, 2, 3, 4}}) == std::vector<std::int64_t>{4, 0});
  CHECK(allotted({2, 1.0}, {{9, 8, 7, 6}, {1, 2, 3, 4}}) == std::vector<std::int64_t>{2, 2});
  CHECK(allotted({9, 0.5}, {{9, 8}, {1, 2, 3, 4}}) == std::vector<std::int64_t>{2, 4});
}

TEST_CASE("adaptive heads: limits and refusals", "[budgets]") {
  lacuna::Page<16> const page;
  CHECK(AdaptiveHeads{64}.limit(page, 0, 1000) == 63);
  CHECK(AdaptiveHeads{64}.mean(page, 0, 1000) == 4);
  CHECK(AdaptiveHeads{64}.limit(lacuna::Token{}, 0, 10) == 64);
  CHECK(std::string(AdaptiveHeads{0}.check(page).message) ==
        "budget: tokens must be a positive multiple of the tokens of a unit");
  CHECK_FALSE(AdaptiveHeads{24}.check(page));
  for (double share : {-0.1, 1.1, std::nan("")})
    CHECK(std::string(AdaptiveHeads{16, share}.check(page).message) ==
          "budget: floor_share must be in [0, 1]; value and bound are in millionths");
  CHECK(AdaptiveHeads{16, 1.0}.check(page));
  std::int32_t count = 0;
  CHECK(std::string(AdaptiveHeads{16}
                        .allot(lacuna::Cpu{}, page, lacuna::Scores{nullptr, {2, 1, 0}, {0, 0, 1}},
                               lacuna::dense_view<std::int32_t, 2>(&count, {1, 1}))
                        .message) == "allot: counts must have one entry per row of scores");
}

}  // namespace
