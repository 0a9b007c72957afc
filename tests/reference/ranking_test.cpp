#include "reference/ranking.hpp"

#include <limits>

#include "support/catch.hpp"

namespace {

using reference::explain_selection;
using reference::top_units;
using reference::Units;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

TEST_CASE("reference ranking: higher scores first, then lower ids", "[reference]") {
  CHECK(top_units({1.0, 3.0, 2.0, 3.0}, {}, 2) == Units{1, 3});
  CHECK(top_units({1.0, 1.0, 1.0, 1.0}, {}, 3) == Units{0, 1, 2});
  CHECK(top_units({1.0, 2.0}, {}, 5) == Units{0, 1});
  CHECK(top_units({}, {}, 5).empty());
}

TEST_CASE("reference ranking: NaN ranks last, forced units first", "[reference]") {
  CHECK(top_units({kNan, 0.0, kNan, 1.0}, {}, 3) == Units{0, 1, 3});
  CHECK(top_units({kNan, 5.0, 6.0}, {0}, 2) == Units{0, 2});
  CHECK(top_units({0.0, kInf, 0.0}, {2}, 1) == Units{1});
}

TEST_CASE("reference ranking: near the cut both answers are right, elsewhere only one", "[reference]") {
  CHECK(explain_selection({0, 1}, {3.0, 2.0, 2.001, 0.0}, {}, 2, 0.01).empty());
  CHECK_FALSE(explain_selection({0, 1}, {3.0, 2.0, 2.001, 0.0}, {}, 2, 0.0).empty());
  CHECK_FALSE(explain_selection({1, 2}, {3.0, 2.0, 2.001, 0.0}, {}, 2, 0.01).empty());
  CHECK_FALSE(explain_selection({0, 3}, {3.0, 2.0, 2.001, 0.0}, {}, 2, 0.01).empty());
}

TEST_CASE("reference ranking: wrong counts, order, repeats and strangers are found", "[reference]") {
  reference::UnitScores const scores{3.0, 2.0, 1.0, 0.0};
  CHECK(explain_selection({0, 1}, scores, {}, 2, 0.0).empty());
  CHECK_FALSE(explain_selection({0}, scores, {}, 2, 9.0).empty());
  CHECK_FALSE(explain_selection({1, 0}, scores, {}, 2, 9.0).empty());
  CHECK_FALSE(explain_selection({0, 0}, scores, {}, 2, 9.0).empty());
  CHECK_FALSE(explain_selection({0, 4}, scores, {}, 2, 9.0).empty());
  CHECK_FALSE(explain_selection({0, 1}, scores, {3}, 2, 9.0).empty());
}

}  // namespace
