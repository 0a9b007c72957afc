#include "lacuna/selectors/normalised.hpp"

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
  for (std::vector<float> row :
       {std::vector<float>{1.0F, 2.0F, -3.0F}, {500.0F, 499.0F}, {-kInf, 0.5F}, {kNan, 1.0F, 1.0F}}) {
    reference::UnitScores const exact = reference::softmax({row.begin(), row.end()}, 0.25);
    lacuna::detail::soften_row(row.data(), static_cast<std::int64_t>(row.size()), 0.25F);
    for (std::size_t u = 0; u < row.size(); ++u) CHECK(static_cast<double>(row[u]) == Approx(exact[u]).margin(1e-7));
  }
  std::vector<float> nothing{-kInf, kNan};
  lacuna::detail::soften_row(nothing.data(), 2, 1.0F);
  CHECK(nothing == std::vector<float>{0.0F, 0.0F});
  std::vector<float> infinite{kInf, 1.0F};
  lacuna::detail::soften_row(infinite.data(), 2, 1.0F);
  CHECK(infinite == std::vector<float>{1.0F, 0.0F});
}

TEST_CASE("normalised: says of itself that it measures mass", "[selectors]") {
  CHECK(lacuna::kMeasuresMass<lacuna::Normalised<lacuna::MinMaxBound>>);
  CHECK_FALSE(lacuna::kMeasuresMass<lacuna::MinMaxBound>);
}

}  // namespace
