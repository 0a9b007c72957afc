#include "lacuna/budgets/dispersion.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "lacuna/units/page.hpp"
#include "lacuna/units/token.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace {

using lacuna::Dispersion;
using lacuna::Spread;

std::vector<std::int64_t> allotted(Dispersion const& budget, std::vector<std::vector<float>> const& rows) {
  std::size_t longest = 0;
  for (auto const& row : rows) longest = std::max(longest, row.size());
  std::vector<float> scores(rows.size() * longest, 100.0F);  // beyond a row's end nothing is meant
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

double exact_spread(Dispersion const& budget, std::vector<float> row) {
  double total = 0.0, entropy = 0.0, top = 0.0;
  for (float x : row) total += x;
  if (total == 0.0) return 0.0;
  for (float x : row)
    if (x > 0.0F) entropy -= x / total * std::log(x / total);
  std::sort(row.rbegin(), row.rend());
  for (std::size_t i = 0; i < std::min(row.size(), static_cast<std::size_t>(budget.tokens)); ++i) top += row[i];
  return budget.spread == Spread::entropy ? std::exp(entropy) : 1.0 - top / total;
}

TEST_CASE("dispersion: shares are proportional to the spread, and the mean stays the budget's", "[budgets]") {
  support::Random random(9);
  for (int trial = 0; trial < 500; ++trial) {
    CAPTURE(trial);
    Dispersion const budget{20, 0.2, trial % 2 == 0 ? Spread::entropy : Spread::mass_outside};
    std::vector<std::vector<float>> rows(static_cast<std::size_t>(1 + random.below(6)));
    std::vector<double> spreads;
    double total = 0.0;
    for (auto& row : rows) {
      double const sharpness = 8.0 * random.uniform();
      for (int unit = 0; unit < 500; ++unit) row.push_back(static_cast<float>(std::exp(sharpness * random.normal())));
      spreads.push_back(exact_spread(budget, row));
      total += spreads.back();
    }
    auto const counts = allotted(budget, rows);
    REQUIRE(counts.size() == rows.size());
    std::int64_t sum = 0;
    for (std::size_t head = 0; head < rows.size(); ++head) {
      double const wanted = 4.0 + 16.0 * static_cast<double>(rows.size()) * spreads[head] / total;
      REQUIRE(std::abs(static_cast<double>(counts[head]) - wanted) <= 1.01);
      sum += counts[head];
    }
    REQUIRE(sum == 20 * static_cast<std::int64_t>(rows.size()));
  }
}

TEST_CASE("dispersion: nobody gets more units than exist, and what is left goes to the others", "[budgets]") {
  std::vector<float> const even(10, 1.0F), sharp{1, 0, 0, 0, 0, 0, 0, 0, 0, 0}, nothing(10, 0.0F);
  CHECK(allotted({6, 0.0}, {even, sharp}) == std::vector<std::int64_t>{10, 2});
  CHECK(allotted({5, 0.0}, {even, even}) == std::vector<std::int64_t>{5, 5});
  CHECK(allotted({5, 0.0}, {nothing, nothing}) == std::vector<std::int64_t>{5, 5});
  CHECK(allotted({30, 0.5}, {even, {1, 2}}) == std::vector<std::int64_t>{10, 2});
  CHECK(allotted({4, 1.0}, {even, sharp}) == std::vector<std::int64_t>{4, 4});
  CHECK(allotted({3, 0.0}, {even, {}}) == std::vector<std::int64_t>{6, 0});
  support::Random random(2);
  for (int trial = 0; trial < 500; ++trial) {
    std::vector<std::vector<float>> rows(static_cast<std::size_t>(1 + random.below(5)));
    std::int64_t held = 0, kept = 0;
    for (auto& row : rows) {
      row.resize(static_cast<std::size_t>(random.below(30)));
      for (float& x : row) x = static_cast<float>(random.uniform() < 0.5 ? 0.0 : random.uniform());
      held += static_cast<std::int64_t>(row.size());
    }
    std::int64_t const tokens = 1 + random.below(20);
    for (std::int64_t count : allotted({tokens, random.uniform()}, rows)) kept += count;
    REQUIRE(kept == std::min(held, tokens * static_cast<std::int64_t>(rows.size())));
  }
}

TEST_CASE("dispersion: anchored units raise the floor, NaN, infinities and negative scores weigh nothing",
          "[budgets]") {
  float const inf = std::numeric_limits<float>::infinity(), nan = std::nanf("");
  std::vector<float> const anchored{inf, inf, inf, inf, 0.1F, 0.1F, 0, 0, 0, 0};
  std::vector<float> const broken{nan, -inf, -5.0F, 1.0F, 0, 0, 0, 0, 0, 0};
  for (Spread spread : {Spread::entropy, Spread::mass_outside}) {
    auto const counts = allotted({4, 0.0, spread}, {anchored, broken});
    REQUIRE(counts.size() == 2);
    CHECK(counts[0] >= 4);
    CHECK(counts[0] + counts[1] == 8);
  }
}

TEST_CASE("dispersion: refusals", "[budgets]") {
  lacuna::Page<16> const page;
  CHECK(Dispersion{64}.mean(page, 0, 1000) == 4);
  CHECK(Dispersion{64}.limit(page, 0, 1000) == 63);
  CHECK(std::string(Dispersion{8}.check(page).message) ==
        "budget: tokens must be a positive multiple of the tokens of a unit");
  for (double share : {-0.1, 1.1, std::nan("")})
    CHECK(std::string(Dispersion{16, share}.check(page).message) ==
          "budget: floor_share must be in [0, 1]; value and bound are in millionths");
}

}  // namespace
