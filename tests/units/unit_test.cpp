#include "lacuna/units/unit.hpp"

#include "lacuna/units/page.hpp"
#include "lacuna/units/token.hpp"
#include "lacuna/units/vertical_slash.hpp"
#include "support/catch.hpp"

namespace {

static_assert(lacuna::Unit<lacuna::VerticalSlashUnit<64>>);
static_assert(lacuna::Unit<lacuna::Page<16>>);
static_assert(lacuna::Unit<lacuna::Token>);
static_assert(!lacuna::Unit<int>);

TEST_CASE("unit: each decides at its own moment", "[units]") {
  CHECK(lacuna::VerticalSlashUnit<64>::moment == lacuna::Moment::prefill);
  CHECK(lacuna::Token::moment == lacuna::Moment::prompt_end);
  CHECK(lacuna::Page<16>::moment == lacuna::Moment::each_step);
}

}  // namespace
