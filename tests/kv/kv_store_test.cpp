#include "lacuna/kv/kv_store.hpp"

#include <string>
#include <vector>

#include "lacuna/kv/contiguous.hpp"
#include "lacuna/kv/evicting.hpp"
#include "lacuna/kv/paged.hpp"
#include "lacuna/units/page.hpp"
#include "lacuna/units/token.hpp"
#include "lacuna/units/vertical_slash.hpp"
#include "support/catch.hpp"
#include "support/memory.hpp"

namespace {

// Full stores agree with every unit; only whole tokens can be evicted.
static_assert(lacuna::KvStoreFor<lacuna::ContiguousCache<float>, lacuna::VerticalSlashUnit<64>>);
static_assert(lacuna::KvStoreFor<lacuna::PagedCache<float>, lacuna::Page<16>>);
static_assert(lacuna::KvStoreFor<lacuna::EvictingCache<float>, lacuna::Token>);
static_assert(!lacuna::KvStoreFor<lacuna::EvictingCache<float>, lacuna::Page<16>>);

TEST_CASE("kv store: rows that do not fit the store are refused", "[kv]") {
  support::GuardedMemory memory(lacuna::ContiguousCache<float>::bytes(10, 2, 8));
  lacuna::ContiguousCache<float> cache(memory.data(), 10, 2, 8);
  std::vector<float> rows(64);
  auto complaint = [&](auto const& spoil) {
    auto k = lacuna::dense_view<float const, 3>(rows.data(), {3, 2, 8}), v = k;
    spoil(k, v);
    return std::string(cache.append(lacuna::Cpu{}, k, v).message);
  };
  CHECK(complaint([](auto&, auto&) {}).empty());
  CHECK(complaint([](auto&, auto& v) { v.extents[0] = 2; }) == "append: k and v must have the same extents");
  CHECK(complaint([](auto& k, auto& v) { k.extents[1] = v.extents[1] = 1; }) ==
        "append: k must have one row per KV head");
  CHECK(complaint([](auto& k, auto& v) { k.extents[2] = v.extents[2] = 4; }) == "append: k must have the store's dim");
  CHECK(complaint([](auto&, auto& v) { v.strides[2] = 2; }) == "append: the last axis of k and v must be dense");
  CHECK(complaint([](auto& k, auto& v) { k.extents[0] = v.extents[0] = -1; }) == "append: tokens must not be negative");
  CHECK(complaint([](auto&, auto& v) { v.data = nullptr; }) == "append: k and v must not be null");
  CHECK(cache.length() == 3);
}

}  // namespace
