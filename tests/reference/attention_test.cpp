#include "reference/attention.hpp"

#include <cmath>
#include <limits>

#include "support/catch.hpp"

namespace {

using reference::Inputs;
using reference::Keys;

constexpr double kInf = std::numeric_limits<double>::infinity();

/// Two keys of one channel; the second query sees both.
Inputs two_keys() { return {2, 2, 1, 1, 1, {1.0, 1.0}, {0.0, std::log(3.0)}, {10.0, 20.0}}; }

TEST_CASE("reference attention: two keys by hand", "[reference]") {
  Inputs const in = two_keys();
  auto const result = reference::attend(in, [&](std::int64_t, std::int64_t row) { return dense_keys(in, row); });
  CHECK(result.out[0] == Approx(10.0));
  CHECK(result.out[1] == Approx(17.5));  // weights 1/4 and 3/4
  CHECK(result.lse[0] == Approx(0.0).margin(1e-15));
  CHECK(result.lse[1] == Approx(std::log(4.0)));
}

TEST_CASE("reference attention: only the named keys count", "[reference]") {
  auto const result = reference::attend(two_keys(), [](std::int64_t, std::int64_t) { return Keys{1}; });
  CHECK(result.out[0] == 20.0);
  CHECK(result.out[1] == 20.0);
}

TEST_CASE("reference attention: no key gives zero and minus infinity", "[reference]") {
  auto const result = reference::attend(two_keys(), [](std::int64_t, std::int64_t) { return Keys{}; });
  CHECK(result.out[1] == 0.0);
  CHECK(result.lse[1] == -kInf);
}

TEST_CASE("reference attention: queries are aligned to the end of the keys", "[reference]") {
  Inputs const in{1, 3, 1, 1, 1, {0.0}, {0.0, 0.0, 0.0}, {3.0, 6.0, 9.0}};
  auto const result = reference::attend(in, [&](std::int64_t, std::int64_t row) { return dense_keys(in, row); });
  CHECK(result.out[0] == Approx(6.0));
}

TEST_CASE("reference attention: neighbouring query heads share a KV head", "[reference]") {
  Inputs const in{1, 1, 4, 2, 1, {0.0, 0.0, 0.0, 0.0}, {0.0, 0.0}, {5.0, 7.0}};
  auto const result = reference::attend(in, [](std::int64_t, std::int64_t) { return Keys{0}; });
  CHECK(result.out == std::vector<double>{5.0, 5.0, 7.0, 7.0});
}

TEST_CASE("reference attention: a NaN reaches the rows that see it and no others", "[reference]") {
  Inputs in = two_keys();
  in.k[1] = std::numeric_limits<double>::quiet_NaN();
  auto const result = reference::attend(in, [&](std::int64_t, std::int64_t row) { return dense_keys(in, row); });
  CHECK(result.out[0] == 10.0);
  CHECK(std::isnan(result.out[1]));
}

}  // namespace
