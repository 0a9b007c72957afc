#include "lacuna/kv/contiguous.hpp"

#include <string>
#include <utility>

#include "reference/ranking.hpp"
#include "support/cache_case.hpp"
#include "support/catch.hpp"
#include "support/exec.hpp"
#include "support/sizes.hpp"

namespace {

using reference::both_ends;
using support::RowsCase;

TEST_CASE("contiguous cache: holds what was appended, in order, and forgets on clear", "[kv]") {
  auto const in = support::make_inputs<lacuna::bfloat16>({0, 50, 3, 1, 20}, support::Data::random, 1);
  support::GuardedMemory memory(lacuna::ContiguousCache<lacuna::bfloat16>::bytes(50, 3, 20));
  lacuna::ContiguousCache<lacuna::bfloat16> cache(memory.data(), 50, 3, 20);
  for (auto const& [first, last] : {std::pair{0, 17}, {17, 17}, {17, 18}, {18, 50}}) {
    RowsCase<lacuna::bfloat16> const rows(in, first, last);
    REQUIRE(cache.append(support::backwards(2), rows.k(), rows.v()));
    for (std::int64_t head = 0; head < 3; ++head)
      CHECK(support::explain_tokens(cache.view(), head, in, both_ends(last, last, 0)) == "");
  }
  CHECK(cache.length() == 50);
  CHECK(cache.retain(lacuna::Cpu{}, 0));
  CHECK(cache.length() == 50);
  CHECK(memory.guards_untouched());
  cache.clear();
  CHECK(cache.length() == 0);
  CHECK(cache.view().length(0) == 0);
}

TEST_CASE("contiguous cache: what does not fit is refused whole", "[kv]") {
  auto const in = support::make_inputs<float>({0, 12, 2, 1, 8}, support::Data::random, 1);
  support::GuardedMemory memory(lacuna::ContiguousCache<float>::bytes(10, 2, 8));
  lacuna::ContiguousCache<float> cache(memory.data(), 10, 2, 8);
  RowsCase<float> const first(in, 0, 8), second(in, 8, 12);
  REQUIRE(cache.append(lacuna::Cpu{}, first.k(), first.v()));
  lacuna::Status const full = cache.append(lacuna::Cpu{}, second.k(), second.v());
  CHECK(full.code == lacuna::Errc::out_of_pages);
  CHECK(std::string(full.message) == "contiguous_cache: no room for that many tokens");
  CHECK(support::explain_tokens(cache.view(), 1, in, both_ends(8, 8, 0)) == "");
  CHECK(memory.guards_untouched());
}

}  // namespace
