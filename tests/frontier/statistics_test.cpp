#include "frontier/statistics.hpp"

#include <vector>

#include "support/catch.hpp"

TEST_CASE("statistics: mean, unbiased variance and standard error", "[frontier]") {
  std::vector<double> const scores = {1.0, 0.0, 1.0, 1.0};
  frontier::Summary const summary = frontier::summarise(scores);
  CHECK(summary.count == 4);
  CHECK(summary.mean == Approx(0.75));
  CHECK(summary.variance == Approx(0.25));
  CHECK(summary.standard_error() == Approx(0.25));
}

TEST_CASE("statistics: none and one have no spread", "[frontier]") {
  CHECK(frontier::summarise({}).mean == 0.0);
  CHECK(frontier::summarise({}).standard_error() == 0.0);
  std::vector<double> const one = {0.5};
  CHECK(frontier::summarise(one).mean == 0.5);
  CHECK(frontier::summarise(one).variance == 0.0);
}
