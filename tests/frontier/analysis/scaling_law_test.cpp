#include "frontier/analysis/scaling_law.hpp"

#include <cmath>
#include <string>
#include <vector>

#include "support/catch.hpp"

namespace {

using frontier::LawCell;

double law(LawCell const& cell) {
  double const sum = -3.0 + (cell.task == "vt" ? -1.0 : 0.0) + 0.8 * std::log(cell.parameters) -
                     0.5 * std::log(cell.length) - 0.7 * std::log(cell.compression);
  return 1.0 / (1.0 + std::exp(-sum));
}

std::vector<LawCell> cells(std::vector<double> const& sizes) {
  std::vector<LawCell> result;
  for (char const* task : {"niah", "vt"})
    for (double parameters : sizes)
      for (double length : {2048.0, 4096.0, 8192.0})
        for (double compression : {1.0, 2.0, 10.0}) {
          LawCell cell{task, parameters, length, compression, 0.0, 100};
          cell.accuracy = law(cell);
          result.push_back(cell);
        }
  return result;
}

TEST_CASE("scaling law: exact data gives the coefficients back", "[frontier]") {
  std::vector<LawCell> const all = cells({1e3, 4e3, 1e4});
  frontier::ScalingLaw const fit = frontier::fit_scaling_law(all, 1e-9);
  REQUIRE(fit.coefficients.size() == 5);
  double const wanted[] = {-3.0, -1.0, 0.8, -0.5, -0.7};
  for (std::size_t i = 0; i < 5; ++i) CHECK(fit.coefficients[i].value == Approx(wanted[i]).epsilon(1e-9));
  CHECK(fit.coefficients[1].name == "vt");
  CHECK(fit.r2 == Approx(1.0));
  CHECK_FALSE(fit.exploratory);
  frontier::LawValidation const far = frontier::validate(fit, cells({1e5}));
  CHECK(far.mean_absolute_error < 1e-9);
  CHECK(far.ranks.rho == Approx(1.0));
}

TEST_CASE("scaling law: an axis with one value has no slope", "[frontier]") {
  frontier::ScalingLaw const fit = frontier::fit_scaling_law(cells({4e3}), 1e-9);
  CHECK(fit.coefficients[2].value == 0.0);
  CHECK(std::isinf(fit.coefficients[2].error));
  CHECK(fit.coefficients[4].value == Approx(-0.7).epsilon(1e-9));
  CHECK(fit.exploratory);
  CHECK_THROWS(fit.predict({"cwe", 1.0, 1.0, 1.0, 0.0, 0}));
}

TEST_CASE("scaling law: axes that vary together are refused", "[frontier]") {
  std::vector<LawCell> together;
  for (double x : {1.0, 2.0, 4.0, 8.0}) together.push_back({"niah", 1e3 * x, 1e3 * x, 1.0, 0.5 + x / 100.0, 10});
  CHECK_THROWS(frontier::fit_scaling_law(together, 1e-6));
  CHECK_THROWS(frontier::fit_scaling_law(std::span<LawCell const>{}, 1e-6));
}

TEST_CASE("scaling law: ranks correlate, ties share", "[frontier]") {
  std::vector<double> const a = {1, 2, 3, 4, 5}, up = {2, 4, 6, 8, 100}, mixed = {2, 1, 4, 3, 5}, flat(5, 1.0);
  CHECK(frontier::spearman(a, up).rho == Approx(1.0));
  CHECK(frontier::spearman(a, up).p == 0.0);
  CHECK(frontier::spearman(a, mixed).rho == Approx(0.8));
  CHECK(frontier::spearman(a, mixed).p == Approx(0.1041).epsilon(1e-3));
  CHECK(frontier::spearman(a, flat).p == 1.0);
  CHECK(frontier::spearman(std::vector<double>{1, 1, 2, 3}, std::vector<double>{1, 1, 2, 3}).rho == Approx(1.0));
}

}  // namespace
