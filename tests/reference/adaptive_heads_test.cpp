#include "reference/adaptive_heads.hpp"

#include "support/catch.hpp"

namespace {

using reference::Units;

TEST_CASE("reference adaptive heads: floors first, then the best of all others, ties to the lower head",
          "[reference]") {
  std::vector<reference::UnitScores> const scores{{9, 1, 8, 7}, {2, 3, 2, 1}};
  std::vector<Units> const nothing(2);
  CHECK(reference::adaptive_units(scores, nothing, 4, 1) == std::vector<Units>{{0, 2, 3}, {1}});
  CHECK(reference::adaptive_units(scores, nothing, 4, 2) == std::vector<Units>{{0, 2}, {0, 1}});
  CHECK(reference::adaptive_units(scores, nothing, 4, 0) == std::vector<Units>{{0, 2, 3}, {1}});
  CHECK(reference::adaptive_units(scores, {{1}, {3}}, 4, 1) == std::vector<Units>{{0, 1, 2}, {3}});
  CHECK(reference::adaptive_units({{5, 5}, {5, 5}}, nothing, 3, 1) == std::vector<Units>{{0, 1}, {0}});
}

TEST_CASE("reference adaptive heads: the peak is over the window and the group", "[reference]") {
  reference::Inputs const in{3, 3, 2, 1, 1, {0, 0, 0, 0, 0, 0}, {1, 2, 3}, {0, 0, 0}};
  auto const peak = reference::window_peak(in, 0, 2);
  CHECK(peak[0] == Approx(0.5));
  CHECK(peak[2] == Approx(1.0 / 3));
}

}  // namespace
