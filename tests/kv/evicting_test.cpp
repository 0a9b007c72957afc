#include "lacuna/kv/evicting.hpp"

#include <string>
#include <vector>

#include "support/bounds_check.hpp"
#include "support/cache_case.hpp"
#include "support/catch.hpp"
#include "support/exec.hpp"
#include "support/index_case.hpp"
#include "support/sizes.hpp"

namespace {

using lacuna::EvictingCache;
using reference::Units;
using support::CacheCase;
using support::Data;

/// Keeps `kept` of the `held` tokens of each head.
template <class Cache>
lacuna::Status retain(Cache& cache, std::vector<Units> const& kept, std::int64_t held) {
  support::IdTable table(kept);
  std::vector<std::int32_t> lens(kept.size(), static_cast<std::int32_t>(held));
  return cache.retain(lacuna::Cpu{},
                      {table.ids(), table.counts(),
                       lacuna::dense_view<std::int32_t, 1>(lens.data(), {static_cast<std::int64_t>(kept.size())})});
}

TEST_CASE("evicting cache: keeps what was picked, gives pages back, and goes on at each head's end", "[kv]") {
  for (std::int64_t page_tokens : {1, 8, 16, 48}) {
    CAPTURE(page_tokens);
    support::Random random(3);
    auto const in = support::make_inputs<float>({0, 130, 3, 1, 20}, Data::random, 1);
    CacheCase<float, EvictingCache> cache(3, 20, 130, page_tokens, 16);
    REQUIRE(cache.append(in, 0, 100) == "");
    std::vector<Units> held{random.subset(100, 0.3), {}, random.subset(100, 0.9)};
    REQUIRE(retain(cache.store(), held, 100));
    std::int64_t used = 0;
    for (Units const& units : held) used += (static_cast<std::int64_t>(units.size()) + page_tokens - 1) / page_tokens;
    CHECK(cache.pool().free_pages() == cache.pool().pages() - used);
    for (std::int64_t token = 100; token < 130; ++token) {
      for (std::int64_t head = 0; head < 3; ++head)
        REQUIRE(support::explain_tokens(cache.store().view(), head, in, held[static_cast<std::size_t>(head)]) == "");
      REQUIRE(cache.append(in, token, token + 1) == "");
      for (Units& units : held) units.push_back(token);
    }
    CHECK(cache.guards_untouched());
  }
}

TEST_CASE("evicting cache: bounds after eviction are those of the kept keys", "[kv]") {
  auto const in = support::make_inputs<float>({0, 100, 1, 1, 20}, Data::random, 1);
  CacheCase<float, EvictingCache> cache(1, 20, 100, 8, 16);
  REQUIRE(cache.append(in, 0, 90) == "");
  Units kept = support::Random(4).subset(90, 0.4);
  REQUIRE(retain(cache.store(), {kept}, 90));
  REQUIRE(cache.append(in, 90, 100) == "");
  for (std::int64_t token = 90; token < 100; ++token) kept.push_back(token);
  reference::Inputs compact = support::rows_of(in, 0, 0, 0);
  for (std::int64_t token : kept) compact.k.insert(compact.k.end(), in.key(token, 0), in.key(token, 0) + 20);
  compact.len_k = static_cast<std::int64_t>(kept.size());
  CHECK(support::explain_bounds<float>(cache.store().view().bounds, compact, 16) == "");
}

TEST_CASE("evicting cache: pages given back serve another cache at once", "[kv]") {
  auto const in = support::make_inputs<float>({0, 40, 1, 1, 20}, Data::random, 1);
  CacheCase<float, EvictingCache> a(1, 20, 40, 8, 0, 5);
  support::GuardedMemory memory(EvictingCache<float>::bytes(a.pool(), 40, 1));
  EvictingCache<float> b(a.pool(), memory.data(), 40, 1);
  support::RowsCase<float> const rows(in, 0, 24);
  REQUIRE(a.append(in, 0, 40) == "");
  CHECK(b.append(lacuna::Cpu{}, rows.k(), rows.v()).code == lacuna::Errc::out_of_pages);
  REQUIRE(retain(a.store(), {{1, 5, 20, 39}}, 40));
  CHECK(b.append(lacuna::Cpu{}, rows.k(), rows.v()));
  CHECK(support::explain_tokens(a.store().view(), 0, in, {1, 5, 20, 39}) == "");
  CHECK(support::explain_tokens(b.view(), 0, in, reference::both_ends(24, 24, 0)) == "");
}

TEST_CASE("evicting cache: an index that does not fit is refused and nothing is lost", "[kv]") {
  auto const in = support::make_inputs<float>({0, 40, 2, 1, 20}, Data::random, 1);
  CacheCase<float, EvictingCache> cache(2, 20, 40, 8, 0);
  REQUIRE(cache.append(in, 0, 40) == "");
  auto complaint = [&](std::vector<Units> const& kept, std::int64_t held) {
    return std::string(retain(cache.store(), kept, held).message);
  };
  CHECK(complaint({{0}}, 40) == "evicting_cache: the index must have one row per KV head");
  CHECK(complaint({{0}, {40}}, 40) == "token_index: tokens must be ascending, unique and below the length");
  CHECK(complaint({{0}, {5, 5}}, 40) == "token_index: tokens must be ascending, unique and below the length");
  CHECK(complaint({{0}, {1}}, 39) == "gather_kv: the index was made for another length");
  for (std::int64_t head : {0, 1})
    CHECK(support::explain_tokens(cache.store().view(), head, in, reference::both_ends(40, 40, 0)) == "");
}

TEST_CASE("evicting cache: thousands of random calls on a pool that two caches empty lose no page", "[kv]") {
  std::int64_t const heads = 2, dim = 3, page = 4, capacity = 70;
  auto const in = support::make_inputs<float>({0, 4000, heads, 1, dim}, Data::random, 1);
  support::Random random(17);
  CacheCase<float, EvictingCache> first(heads, dim, capacity, page, 8, 14);
  support::GuardedMemory memory(EvictingCache<float>::bytes(first.pool(), capacity, heads, 8));
  EvictingCache<float> second(first.pool(), memory.data(), capacity, heads, 8);
  EvictingCache<float>* const caches[2] = {&first.store(), &second};
  std::vector<Units> held[2] = {std::vector<Units>(2), std::vector<Units>(2)};
  std::int64_t refused = 0, next = 0;
  for (int call = 0; call < 5000; ++call) {
    CAPTURE(call);
    std::size_t const which = static_cast<std::size_t>(random.below(2));
    EvictingCache<float>& cache = *caches[which];
    std::int64_t const kind = random.below(20);
    if (kind < 14) {  // append, mostly one token
      std::int64_t const tokens = kind < 11 ? 1 : random.below(12);
      next = next + tokens > 4000 ? 0 : next;
      support::RowsCase<float> const rows(in, next, next + tokens);
      if (cache.append(lacuna::Cpu{}, rows.k(), rows.v())) {
        for (Units& units : held[which])
          for (std::int64_t token = next; token < next + tokens; ++token) units.push_back(token);
        next += tokens;
      } else {
        ++refused;
      }
    } else if (kind < 19) {  // evict, each head its own share
      std::vector<Units> kept;
      std::vector<std::int32_t> lens;
      for (Units& units : held[which]) {
        kept.push_back(random.subset(static_cast<std::int64_t>(units.size()), random.uniform()));
        lens.push_back(static_cast<std::int32_t>(units.size()));
        Units left;
        for (std::int64_t place : kept.back()) left.push_back(units[static_cast<std::size_t>(place)]);
        units = left;
      }
      support::IdTable table(kept);
      REQUIRE(cache.retain(lacuna::Cpu{},
                           {table.ids(), table.counts(), lacuna::dense_view<std::int32_t, 1>(lens.data(), {heads})}));
    } else if (random.below(10) == 0) {
      cache.clear();
      for (Units& units : held[which]) units.clear();
    }
    std::int64_t used = 0;
    for (std::size_t c = 0; c < 2; ++c)
      for (std::size_t head = 0; head < 2; ++head) {
        REQUIRE(support::explain_tokens(caches[c]->view(), static_cast<std::int64_t>(head), in, held[c][head]) == "");
        used += (static_cast<std::int64_t>(held[c][head].size()) + page - 1) / page;
      }
    REQUIRE(first.pool().pages() - first.pool().free_pages() == used);
  }
  CHECK(refused > 200);
  CHECK((first.guards_untouched() && memory.guards_untouched()));
}

}  // namespace
