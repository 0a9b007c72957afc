#include "lacuna/selectors/normalised.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "lacuna/selectors/min_max_bound.hpp"
#include "reference/top_mass.hpp"
#include "support/bounds_case.hpp"
#include "support/catch.hpp"
#include "support/score_run.hpp"
#include "support/sizes.hpp"

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

TEST_CASE("normalised: a row becomes its softmax, whatever is in it", "[selectors]") {
  lacuna::Problem<float> problem;
  auto const soften = [&](std::vector<float> row) {
    lacuna::detail::soften_row(problem, row.data(), static_cast<std::int64_t>(row.size()));
    return row;
  };
  problem.scale = 0.25F;
  for (std::vector<float> const& row : {std::vector<float>{1.0F, 2.0F, -3.0F}, {500.0F, 499.0F}, {kNan, 1.0F, 1.0F}}) {
    reference::UnitScores const exact = reference::softmax({row.begin(), row.end()}, 0.25);
    auto const got = soften(row);
    for (std::size_t u = 0; u < row.size(); ++u) CHECK(static_cast<double>(got[u]) == Approx(exact[u]).margin(1e-7));
  }
  CHECK(soften({-kInf, 0.5F}) == std::vector<float>{-kInf, 1.0F});  // what is no candidate does not become one
  CHECK(soften({-kInf, kNan}) == std::vector<float>{-kInf, 0.0F});
  CHECK(soften({kInf, 1.0F}) == std::vector<float>{1.0F, 0.0F});
  problem.soft_cap = 2.0F;
  double const capped = std::exp(2.0 * std::tanh(0.25)), other = std::exp(2.0 * std::tanh(0.5));
  CHECK(static_cast<double>(soften({2.0F, 4.0F})[0]) == Approx(capped / (capped + other)).epsilon(1e-6));
}

TEST_CASE("normalised: says of itself that it measures mass", "[selectors]") {
  CHECK(lacuna::kMeasuresMass<lacuna::Normalised<lacuna::MinMaxBound>>);
  CHECK_FALSE(lacuna::kMeasuresMass<lacuna::MinMaxBound>);
}

}  // namespace
