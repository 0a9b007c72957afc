#include "lacuna/kv/page_pool.hpp"

#include <cstdint>
#include <set>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/memory.hpp"
#include "support/random.hpp"

namespace {

using lacuna::PagePool;

TEST_CASE("page pool: pages are handed out once, taken back, and handed out again", "[kv]") {
  support::GuardedMemory memory(PagePool<float>::bytes(20, 4, 8));
  PagePool<float> pool(memory.data(), 20, 4, 8);
  support::Random random(1);
  std::vector<std::int32_t> held;
  for (int step = 0; step < 2000; ++step) {
    bool const take = held.empty() || (held.size() < 20 && random.below(2) == 0);
    if (take) {
      held.push_back(pool.acquire());
    } else {
      std::swap(held[static_cast<std::size_t>(random.below(static_cast<std::int64_t>(held.size())))], held.back());
      pool.release(held.back());
      held.pop_back();
    }
    REQUIRE(std::set<std::int32_t>(held.begin(), held.end()).size() == held.size());
    REQUIRE(pool.free_pages() == 20 - static_cast<std::int64_t>(held.size()));
    for (std::int32_t page : held) REQUIRE((page >= 0 && page < 20));
  }
  CHECK(memory.guards_untouched());
}

TEST_CASE("page pool: keys and values of a page do not overlap, nor do pages", "[kv]") {
  support::GuardedMemory memory(PagePool<float>::bytes(3, 4, 8));
  PagePool<float> pool(memory.data(), 3, 4, 8);
  CHECK(pool.values() - pool.keys() == 4 * 8);
  CHECK(pool.stride_page() == 2 * 4 * 8);
  CHECK(memory.size() == 3 * 64 * sizeof(float));
}

TEMPLATE_TEST_CASE("page pool: the smallest page of the smallest types can still be taken back", "[kv]",
                   lacuna::bfloat16, std::int8_t, lacuna::float8_e4m3) {
  support::GuardedMemory memory(PagePool<TestType>::bytes(3, 1, 1));
  PagePool<TestType> pool(memory.data(), 3, 1, 1);
  auto const a = pool.acquire(), b = pool.acquire(), c = pool.acquire();
  pool.release(b), pool.release(a), pool.release(c);
  CHECK(std::set<std::int32_t>{pool.acquire(), pool.acquire(), pool.acquire()} == std::set<std::int32_t>{a, b, c});
  CHECK(memory.guards_untouched());
}

}  // namespace
