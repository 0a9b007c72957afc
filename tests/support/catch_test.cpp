#include "support/catch.hpp"

#include <string>

TEST_CASE("catch: both versions answer to the same names", "[support]") {
  CHECK(1.0 == Approx(1.0 + 1e-9));
  CHECK_THAT(std::string("one river, and rooms along it"), test::contains("rooms"));
}
