#include "lacuna/kernels/gather_kv.hpp"

#include <string>
#include <vector>

#include "support/cache_case.hpp"
#include "support/catch.hpp"
#include "support/exec.hpp"
#include "support/index_case.hpp"
#include "support/sizes.hpp"

namespace {

using support::Data;

/// Keeps random tokens of each head and finds them again at the front.
template <class T>
void keeps_what_was_picked(support::Layout const& layout, lacuna::Cpu const& exec, std::uint64_t seed) {
  support::Random random(seed);
  std::int64_t const len = 1 + random.below(120);
  CAPTURE(name_of(layout), len, seed);
  auto const in = support::make_inputs<T>({1, len, 3, 1, 16}, Data::random, seed);
  support::ProblemCase<T> c(in, layout);
  auto kv = c.problem().kv;
  std::vector<reference::Units> const kept{random.subset(len, 0.5), {}, reference::both_ends(len, len, 0)};
  support::IdTable table(kept);
  std::vector<std::int32_t> lens(3, static_cast<std::int32_t>(len));
  lacuna::TokenIndex const index{table.ids(), table.counts(), lacuna::dense_view<std::int32_t, 1>(lens.data(), {3})};
  REQUIRE(lacuna::gather_kv(exec, lacuna::GatherKvArgs<T>{kv, const_cast<T*>(kv.k), const_cast<T*>(kv.v), index}));
  std::vector<std::int32_t> now;
  for (auto const& units : kept) now.push_back(static_cast<std::int32_t>(units.size()));
  kv.lens = now.data();
  for (std::int64_t head = 0; head < 3; ++head)
    REQUIRE(support::explain_tokens(kv, head, in, kept[static_cast<std::size_t>(head)]) == "");
}

TEST_CASE("gather kv: kept tokens move to the front in order, in every layout", "[kernels]") {
  std::uint64_t seed = 1;
  for (auto const& layout : support::layouts()) {
    for (int round = 0; round < 5; ++round) {
      keeps_what_was_picked<float>(layout, {}, seed++);
      keeps_what_was_picked<lacuna::bfloat16>(layout, support::backwards(2), seed++);
    }
  }
}

TEST_CASE("gather kv: an index of another cache is refused", "[kernels]") {
  support::ProblemCase<float> c(support::make_inputs<float>({1, 10, 1, 1, 16}, Data::random, 1));
  auto const kv = c.problem().kv;
  support::IdTable table({{0, 3}, {1}});
  std::vector<std::int32_t> lens{9, 9};
  auto complaint = [&](float* k, float* v, std::int64_t heads) {
    lacuna::TokenIndex index{table.ids(), table.counts(), lacuna::dense_view<std::int32_t, 1>(lens.data(), {heads})};
    index.counts.extents[0] = heads;
    return std::string(lacuna::gather_kv(lacuna::Cpu{}, lacuna::GatherKvArgs<float>{kv, k, v, index}).message);
  };
  float* const k = const_cast<float*>(kv.k);
  float* const v = const_cast<float*>(kv.v);
  CHECK(complaint(k + 1, v, 1) == "gather_kv: k and v must be those of kv");
  CHECK(complaint(k, nullptr, 1) == "gather_kv: k and v must be those of kv");
  CHECK(complaint(k, v, 2) == "gather_kv: the index must have one row per KV head");
  CHECK(complaint(k, v, 1) == "gather_kv: the index was made for another length");
  lens[0] = 10;
  CHECK(complaint(k, v, 1).empty());
}

}  // namespace
