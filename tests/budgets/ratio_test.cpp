#include "lacuna/budgets/ratio.hpp"

#include <limits>
#include <string>
#include <vector>

#include "lacuna/units/page.hpp"
#include "lacuna/units/token.hpp"
#include "support/catch.hpp"

namespace {

using lacuna::Page;
using lacuna::Ratio;
using lacuna::Token;

static_assert(lacuna::BudgetFor<Ratio, Token>);
static_assert(lacuna::BudgetFor<Ratio, Page<16>>);

TEST_CASE("ratio: a share of the length, exact where the share is", "[budgets]") {
  CHECK(Ratio{0.05}.limit(Token{}, 0, 2000) == 100);
  CHECK(Ratio{0.1}.limit(Token{}, 0, 30) == 3);
  CHECK(Ratio{0.7}.limit(Token{}, 0, 10) == 7);
  CHECK(Ratio{1.0}.limit(Token{}, 0, 12345) == 12345);
  CHECK(Ratio{0.05}.limit(Page<16>{}, 0, 3200) == 10);
}

TEST_CASE("ratio: at least one unit, however small the share", "[budgets]") {
  CHECK(Ratio{1e-9}.limit(Token{}, 0, 100) == 1);
  CHECK(Ratio{1e-9}.limit(Page<16>{}, 0, 100) == 1);
}

TEST_CASE("ratio: longer never gets less, and never more than there is", "[budgets]") {
  for (double share : {0.01, 0.05, 1.0 / 3.0, 0.5, 1.0}) {
    std::int64_t before = 0;
    for (std::int64_t len = 1; len < 3000; ++len) {
      std::int64_t const now = Ratio{share}.limit(Token{}, 0, len);
      if (now < before || now > len) FAIL("share " << share << ", length " << len << ": " << now);
      before = now;
    }
  }
}

TEST_CASE("ratio: a share of 0 or less, or above 1, is refused", "[budgets]") {
  for (double share :
       {0.0, -0.1, 1.0000001, 2.0, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    CAPTURE(share);
    CHECK(std::string(Ratio{share}.check(Token{}).message) ==
          "ratio: share must be in (0, 1]; value and bound are in millionths");
  }
  CHECK(Ratio{1.0}.check(Token{}));
}

}  // namespace
