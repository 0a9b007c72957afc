// As batch_args_test.cpp, of the doors that caches and methods of decode use.

#include <cstdint>
#include <string>
#include <vector>

#include "lacuna/budgets/given.hpp"
#include "lacuna/kernels/append_ring.hpp"
#include "lacuna/kernels/page_mass.hpp"
#include "lacuna/kernels/page_tables.hpp"
#include "lacuna/kernels/share_pool.hpp"
#include "lacuna/kernels/smooth.hpp"
#include "lacuna/units/token.hpp"
#include "support/catch.hpp"
#include "support/sound_batch.hpp"

namespace {

using lacuna::bfloat16;
using support::complaint;
using support::nowhere;
using support::sound_batch;
using support::unread;

lacuna::PageTablesView sound_tables() {
  return {unread<std::int32_t, 3>({3, 2, 5}), unread<std::int32_t, 2>({3, 2}), 16};
}

TEST_CASE("batch arguments: page tables", "[kernels]") {
  lacuna::GrowTablesArgs grow;
  grow.tables = sound_tables();
  grow.capacity_tokens = 80;
  CHECK(complaint(grow, [](auto& a) { a.tables.page_tokens = 0; }) == "page_tables: page_tokens must be at least 1");
  char const* const extents = "page_tables: pages and lens must have the same sequences and heads";
  CHECK(complaint(grow, [](auto& a) { a.tables.pages.extents[0] = 2; }) == extents);
  CHECK(complaint(grow, [](auto& a) { a.tables.pages.extents[1] = 1; }) == extents);
  CHECK(complaint(grow, [](auto& a) { a.tables.pages.strides[2] = 2; }) ==
        "page_tables: the last axis of pages must be dense");
  CHECK(complaint(grow, [](auto& a) { a.new_tokens = -1; }) == "grow_tables: new_tokens must not be negative");
  CHECK(complaint(grow, [](auto& a) { a.capacity_tokens = 81; }) ==
        "grow_tables: pages have no room for capacity_tokens");
  CHECK(complaint(grow, [](auto& a) { a.ring_tokens = -1; }) == "grow_tables: ring_tokens must not be negative");

  lacuna::ShrinkTablesArgs shrink;
  shrink.tables = sound_tables();
  shrink.counts = unread<std::int32_t const, 1>({6});
  CHECK(complaint(shrink, [](auto& a) { a.tables.page_tokens = 0; }) == "page_tables: page_tokens must be at least 1");
  char const* const either = "shrink_tables: either counts or ended must be given";
  CHECK(complaint(shrink, [](auto& a) { a.counts = {}; }) == either);
  CHECK(complaint(shrink, [](auto& a) { a.ended = nowhere<std::uint8_t const>(); }) == either);
  CHECK(complaint(shrink, [](auto& a) { a.counts.extents[0] = 3; }) ==
        "shrink_tables: counts must have one entry per KV head of a sequence");
}

TEST_CASE("batch arguments: append_ring", "[kernels]") {
  lacuna::AppendRingArgs<bfloat16> sound;
  sound.kv = sound_batch<bfloat16>().kv;
  sound.k = sound.v = const_cast<bfloat16*>(sound.kv.k);
  sound.batch = 3;
  sound.new_k = sound.new_v = unread<bfloat16 const, 3>({3, 2, 8});
  sound.new_tokens = 1;
  sound.sink_tokens = 2;
  sound.ring_tokens = 5;
  CHECK(complaint(sound, [](auto& a) { a.k = nullptr; }) == "append_ring: k and v must be those of kv");
  CHECK(complaint(sound, [](auto& a) { a.sink_tokens = -1; }) == "append_ring: sink_tokens must not be negative");
  CHECK(complaint(sound, [](auto& a) { a.ring_tokens = 2; }) == "append_ring: ring_tokens must exceed sink_tokens");
  char const* const rows = "append_ring: new_k and new_v must be [tokens, heads_kv, dim], the last axis dense";
  CHECK(complaint(sound, [](auto& a) { a.new_k.extents[0] = 2; }) == rows);
  CHECK(complaint(sound, [](auto& a) { a.new_k.extents[1] = a.new_v.extents[1] = 1; }) == rows);
  CHECK(complaint(sound, [](auto& a) { a.new_v.strides[2] = 2; }) == rows);
}

TEST_CASE("batch arguments: smooth and share_pool", "[kernels]") {
  lacuna::SmoothArgs smooth;
  smooth.from = smooth.to = unread<float, 3>({6, 1, 9});
  smooth.candidates = unread<std::int32_t, 2>({6, 1});
  CHECK(complaint(smooth, [](auto& a) { a.to.extents[2] = 8; }) == "smooth: from and to must have the same extents");
  CHECK(complaint(smooth, [](auto& a) { a.candidates.extents[0] = 5; }) ==
        "smooth: candidates must have one entry per row of scores");
  CHECK(complaint(smooth, [](auto& a) { a.from.strides[2] = 2; }) == "smooth: the last axis of scores must be dense");
  char const* const width = "smooth: width must be odd and at least 1";
  CHECK(complaint(smooth, [](auto& a) { a.width = 0; }) == width);
  CHECK(complaint(smooth, [](auto& a) { a.width = 4; }) == width);

  lacuna::SharePoolArgs pool;
  pool.scores = unread<float, 3>({6, 1, 9});
  pool.counts = unread<std::int32_t, 2>({6, 1});
  pool.batch = 3;
  pool.tokens = 4;
  char const* const rows = "share_pool: scores and counts must have one row per head";
  CHECK(complaint(pool, [](auto& a) { a.counts.extents[0] = 3; }) == rows);
  CHECK(complaint(pool, [](auto& a) { a.scores.extents[1] = a.counts.extents[1] = 2; }) == rows);
  CHECK(complaint(pool, [](auto& a) { a.batch = 4; }) ==
        "share_pool: scores must have as many heads for every sequence");
  CHECK(complaint(pool, [](auto& a) { a.scores.strides[2] = 2; }) ==
        "share_pool: the last axis of scores must be dense");
}

TEST_CASE("batch arguments: page_mass", "[kernels]") {
  lacuna::PageMassBatchArgs<bfloat16> sound;
  sound.problem = sound_batch<bfloat16>(8, 1);
  sound.pages = unread<std::int32_t const, 2>({6, 3});
  sound.counts = unread<std::int32_t const, 1>({6});
  sound.page_tokens = 1;
  sound.mass = unread<float, 2>({6, 3});
  CHECK(complaint(sound, [](auto& a) { a.problem.batch = -1; }) == "batch_problem: batch must not be negative");
  CHECK(complaint(sound, [](auto& a) { a.problem = sound_batch<bfloat16>(); }) == "page_mass: max_len_q must be 1");
  CHECK(complaint(sound, [](auto& a) { a.page_tokens = 0; }) == "page_mass: page_tokens must be at least 1");
  CHECK(complaint(sound, [](auto& a) { a.mass.extents[0] = 5; }) ==
        "page_mass: mass must have one row per KV head or per query head of a sequence");
  char const* const rows = "page_mass: pages and counts must have the rows of mass";
  CHECK(complaint(sound, [](auto& a) { a.pages.extents[0] = 5; }) == rows);
  CHECK(complaint(sound, [](auto& a) { a.counts.extents[0] = 5; }) == rows);
  char const* const dense = "page_mass: the last axes of pages and mass must be dense";
  CHECK(complaint(sound, [](auto& a) { a.pages.strides[1] = 2; }) == dense);
  CHECK(complaint(sound, [](auto& a) { a.mass.strides[1] = 2; }) == dense);
}

TEST_CASE("given budget: as many as the array says, for each choice or for all", "[budgets]") {
  using lacuna::GivenBudget;
  lacuna::Token const unit;
  std::int32_t const tokens[] = {3, -2, 900};
  GivenBudget const each{8, lacuna::dense_view<std::int32_t const, 1>(tokens, {3})};
  GivenBudget const all{8, lacuna::dense_view<std::int32_t const, 1>(tokens, {1})};
  std::vector<float> scores(30);
  std::vector<std::int32_t> counts{10, 10, 10};
  auto const view = lacuna::dense_view<float, 3>(scores.data(), {3, 1, 10});
  CHECK(each.allot(lacuna::Cpu{}, unit, view, lacuna::dense_view<std::int32_t, 2>(counts.data(), {3, 1})));
  CHECK(counts == std::vector<std::int32_t>{3, 0, 8});
  counts = {10, 2, 5};
  CHECK(all.allot(lacuna::Cpu{}, unit, view, lacuna::dense_view<std::int32_t, 2>(counts.data(), {3, 1})));
  CHECK(counts == std::vector<std::int32_t>{3, 2, 3});
  CHECK(each.limit(unit, 0, 4) == 8);
  char const* const entries = "given_budget: tokens must have one entry, or one per choice";
  CHECK(std::string(GivenBudget{}.check(unit).message) == entries);
  counts.resize(2);
  auto const two = lacuna::dense_view<float, 3>(scores.data(), {2, 1, 10});
  CHECK(std::string(
            each.allot(lacuna::Cpu{}, unit, two, lacuna::dense_view<std::int32_t, 2>(counts.data(), {2, 1})).message) ==
        entries);
}

}  // namespace
