#include "frontier/analysis/significance.hpp"

#include <cmath>
#include <vector>

#include "support/catch.hpp"

namespace {

using frontier::Summary;

/// `count` scores of 0 and 1, the first `right` of them 1.
std::vector<double> binary(int right, int count) {
  std::vector<double> scores(static_cast<std::size_t>(count), 0.0);
  for (int i = 0; i < right; ++i) scores[static_cast<std::size_t>(i)] = 1.0;
  return scores;
}

TEST_CASE("significance: Student's tail against published quantiles", "[frontier]") {
  CHECK(frontier::student_tail(0.0, 7.0) == Approx(0.5));
  CHECK(frontier::student_tail(1.812, 10.0) == Approx(0.05).epsilon(1e-3));
  CHECK(frontier::student_tail(-1.812, 10.0) == Approx(0.95).epsilon(1e-3));
  CHECK(frontier::student_tail(63.657, 1.0) == Approx(0.005).epsilon(1e-3));
  CHECK(frontier::student_quantile(0.95, 10.0) == Approx(1.8125).epsilon(1e-4));
  CHECK(frontier::student_quantile(0.975, 1e6) == Approx(1.96).epsilon(1e-4));
}

TEST_CASE("significance: Welch's test on the worked example", "[frontier]") {
  frontier::TestResult const test = frontier::welch({100, 0.9, 0.09}, {100, 0.8, 0.16});
  CHECK(test.t == Approx(2.0));
  CHECK(test.degrees == Approx(183.61).epsilon(1e-4));
  CHECK(test.p == Approx(0.02349).epsilon(1e-3));
  CHECK(frontier::welch({50, 0.4, 0.2}, {50, 0.4, 0.2}).p == Approx(0.5));
  CHECK(frontier::welch({50, 1.0, 0.0}, {50, 1.0, 0.0}).p == 1.0);
  CHECK(frontier::welch({50, 1.0, 0.0}, {50, 0.9, 0.0}).p == 0.0);
  CHECK(frontier::welch({50, 0.9, 0.0}, {50, 1.0, 0.0}).p == 1.0);
}

TEST_CASE("significance: pairs see a drop that means hide", "[frontier]") {
  std::vector<double> const dense = binary(50, 100);
  std::vector<double> sparse = dense;
  for (std::size_t i = 0; i < 6; ++i) sparse[i] = 0.0;  // six of the right answers become wrong, none becomes right
  CHECK(frontier::welch(frontier::summarise(dense), frontier::summarise(sparse)).p > 0.15);
  CHECK(frontier::paired(dense, sparse).p < 0.01);
  // All six signs must agree: 1 in 64.
  CHECK(frontier::sign_flip_p(dense, sparse, 20000, 1) == Approx(1.0 / 64).epsilon(0.15));
  CHECK(frontier::paired(dense, dense).p == 1.0);
  CHECK(frontier::sign_flip_p(dense, dense, 100, 1) == 1.0);
  CHECK_THROWS(frontier::paired(dense, binary(1, 2)));
}

TEST_CASE("significance: a small drop must be shown to be small", "[frontier]") {
  CHECK(frontier::non_inferior({100, 0.9, 0.0}, {100, 0.86, 0.0}));
  CHECK_FALSE(frontier::non_inferior({100, 0.9, 0.0}, {100, 0.85, 0.0}));
  CHECK_FALSE(
      frontier::non_inferior({20, 0.9, 0.09}, {20, 0.9, 0.09}));  // equal, but anything could hide in 20 samples
  CHECK(frontier::non_inferior({20000, 0.9, 0.09}, {20000, 0.9, 0.09}));
}

TEST_CASE("significance: detectable differences as tabulated", "[frontier]") {
  CHECK(frontier::detectable_difference(0.25, 50) == Approx(0.249).margin(0.003));
  CHECK(frontier::detectable_difference(0.25, 100) == Approx(0.176).margin(0.002));
  CHECK(frontier::detectable_difference(0.09, 200) == Approx(0.075).margin(0.001));
  CHECK(frontier::detectable_difference(0.0056, 400) == Approx(0.013).margin(0.001));
}

TEST_CASE("significance: the largest compression stops at the first significant drop", "[frontier]") {
  std::vector<double> const dense = binary(95, 100);
  std::vector<frontier::CompressionPoint> const points = {
      {1.5, binary(95, 100)}, {2.0, binary(93, 100)}, {5.0, binary(70, 100)}, {10.0, binary(95, 100)}};
  auto const most = frontier::maximum_compression(dense, points);
  CHECK(most.prefix == 2.0);
  CHECK(most.any == 10.0);
  CHECK(most.paired == 2.0);
  CHECK(most.non_inferior == 1.0);  // 100 samples cannot show that a drop is below 0.0475
  CHECK_FALSE(most.censored);
  CHECK(most.informative);
  CHECK(most.detectable > 0.05);

  auto const gentle = frontier::maximum_compression(dense, std::span(points).first(2));
  CHECK(gentle.prefix == 2.0);
  CHECK(gentle.censored);
  auto const hard = frontier::maximum_compression(dense, std::span(points).subspan(2, 1));
  CHECK(hard.prefix == 1.0);
  CHECK_FALSE(hard.censored);
  CHECK_FALSE(frontier::maximum_compression(binary(2, 100), points).informative);
  CHECK(frontier::maximum_compression(dense, {}).prefix == 1.0);
}

TEST_CASE("significance: between points a line, outside nothing", "[frontier]") {
  std::vector<double> const xs = {0.0, 0.5, 0.9}, ys = {1.0, 0.8, 0.0};
  CHECK(frontier::interpolate(xs, ys, 0.25).value() == Approx(0.9));
  CHECK(frontier::interpolate(xs, ys, 0.9).value() == 0.0);
  CHECK(frontier::interpolate(xs, ys, 0.0).value() == 1.0);
  CHECK_FALSE(frontier::interpolate(xs, ys, 0.95).has_value());
  CHECK_FALSE(frontier::interpolate({}, {}, 0.0).has_value());
}

}  // namespace
