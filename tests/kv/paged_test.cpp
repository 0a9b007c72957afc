#include "lacuna/kv/paged.hpp"

#include <string>

#include "support/bounds_check.hpp"
#include "support/cache_case.hpp"
#include "support/catch.hpp"
#include "support/exec.hpp"
#include "support/sizes.hpp"

namespace {

using lacuna::PagedCache;
using reference::both_ends;
using support::CacheCase;
using support::Data;

template <class T>
void grows(std::int64_t page_tokens, std::int64_t bounds_tokens, Data data) {
  CAPTURE(page_tokens, bounds_tokens, name_of(data));
  auto const in = support::make_inputs<T>({0, 70, 2, 1, 20}, data, 1);
  CacheCase<T, PagedCache> cache(2, 20, 70, page_tokens, bounds_tokens);
  std::int64_t held = 0;
  for (std::int64_t tokens : {15, 1, 1, 0, 16, 1, 30, 6}) {
    REQUIRE(cache.append(in, held, held + tokens, support::backwards(2)) == "");
    held += tokens;
    auto const now = support::rows_of(in, 0, 0, held);
    for (std::int64_t head : {0, 1}) {
      if (data == Data::random)
        REQUIRE(support::explain_tokens(cache.store().view(), head, in, both_ends(held, held, 0)) == "");
      REQUIRE(cache.store().length(head) == held);
    }
    if (bounds_tokens > 0) REQUIRE(support::explain_bounds<T>(cache.store().view().bounds, now, bounds_tokens) == "");
  }
  CHECK(cache.guards_untouched());
  CHECK(cache.store().retain(lacuna::Cpu{}, 0));
  CHECK(cache.store().length(0) == 70);
}

TEST_CASE("paged cache: holds what was appended, and bounds as if built at once", "[kv]") {
  for (std::int64_t page_tokens : {1, 8, 16, 48}) {
    grows<float>(page_tokens, 16, Data::random);
    grows<lacuna::bfloat16>(page_tokens, 8, Data::random);
    grows<float>(page_tokens, 0, Data::random);
    grows<float>(page_tokens, 16, Data::nan_key);
  }
}

TEST_CASE("paged cache: clear gives every page back, and the next prompt starts clean", "[kv]") {
  auto const in = support::make_inputs<float>({0, 60, 2, 1, 20}, Data::random, 1);
  auto const other = support::make_inputs<float>({0, 60, 2, 1, 20}, Data::random, 2);
  CacheCase<float, PagedCache> cache(2, 20, 60, 8, 16);
  for (int round = 0; round < 3; ++round) {
    REQUIRE(cache.append(in, 0, 60) == "");
    CHECK(cache.pool().free_pages() == 0);
    cache.store().clear();
    CHECK(cache.pool().free_pages() == cache.pool().pages());
  }
  REQUIRE(cache.append(other, 0, 33) == "");
  CHECK(support::explain_tokens(cache.store().view(), 1, other, both_ends(33, 33, 0)) == "");
  CHECK(support::explain_bounds<float>(cache.store().view().bounds, support::rows_of(other, 0, 0, 33), 16) == "");
}

TEST_CASE("paged cache: a full pool is refused and what is stored stays as it was", "[kv]") {
  auto const in = support::make_inputs<float>({0, 60, 2, 1, 20}, Data::random, 1);
  CacheCase<float, PagedCache> cache(2, 20, 60, 8, 16, 7);  // three pages per head, and one
  REQUIRE(cache.append(in, 0, 24) == "");
  for (int again = 0; again < 2; ++again) {
    CHECK(cache.append(in, 24, 25) == "paged_cache: the pool has too few free pages");
    CHECK(cache.pool().free_pages() == 1);
    for (std::int64_t head : {0, 1})
      CHECK(support::explain_tokens(cache.store().view(), head, in, both_ends(24, 24, 0)) == "");
    CHECK(support::explain_bounds<float>(cache.store().view().bounds, support::rows_of(in, 0, 0, 24), 16) == "");
  }
  CHECK(cache.guards_untouched());
}

TEST_CASE("paged cache: more tokens than its table holds are refused whole", "[kv]") {
  auto const in = support::make_inputs<float>({0, 60, 1, 1, 20}, Data::random, 1);
  CacheCase<float, PagedCache> cache(1, 20, 20, 8, 0, 20);
  REQUIRE(cache.append(in, 0, 19) == "");
  CHECK(cache.append(in, 19, 21) == "paged_cache: no room for that many tokens");
  CHECK(cache.store().length(0) == 19);
  CHECK(cache.append(in, 19, 20) == "");
}

TEST_CASE("paged cache: two caches share a pool without touching each other's tokens", "[kv]") {
  auto const in = support::make_inputs<float>({0, 60, 1, 1, 20}, Data::random, 1);
  auto const other = support::make_inputs<float>({0, 60, 1, 1, 20}, Data::random, 2);
  CacheCase<float, PagedCache> a(1, 20, 60, 8, 0, 12);
  support::GuardedMemory memory(PagedCache<float>::bytes(a.pool(), 60, 1));
  PagedCache<float> b(a.pool(), memory.data(), 60, 1);
  for (std::int64_t token = 0; token < 40; ++token) {
    REQUIRE(a.append(in, token, token + 1) == "");
    support::RowsCase<float> const rows(other, token, token + 1);
    REQUIRE(b.append(lacuna::Cpu{}, rows.k(), rows.v()));
  }
  CHECK(support::explain_tokens(a.store().view(), 0, in, both_ends(40, 40, 0)) == "");
  CHECK(support::explain_tokens(b.view(), 0, other, both_ends(40, 40, 0)) == "");
  CHECK(a.pool().free_pages() == 2);
}

}  // namespace
