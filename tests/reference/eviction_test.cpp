#include "reference/eviction.hpp"

#include "support/catch.hpp"

namespace {

using reference::Units;

TEST_CASE("reference eviction: weights over what is held, the mean over the group", "[reference]") {
  reference::Inputs const in{1, 3, 2, 1, 1, {0, 1}, {0, 5, std::log(3.0)}, {0, 0, 0}};
  auto const weights = reference::held_weights(in, 0, 0, {0, 2});
  CHECK(weights[0] == Approx((0.5 + 0.25) / 2));
  CHECK(weights[1] == Approx((0.5 + 0.75) / 2));
}

TEST_CASE("reference eviction: of tokens that tie the oldest leave", "[reference]") {
  CHECK(reference::top_later_units({1, 1, 1, 1}, {}, 3) == Units{1, 2, 3});
  CHECK(reference::top_later_units({1, 1, 2, 1}, {0}, 3) == Units{0, 2, 3});
}

}  // namespace
