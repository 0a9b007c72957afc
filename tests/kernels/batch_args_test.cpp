// What the doors of the device refuse before they launch anything: sound arguments, spoilt in one place at a time.

#include <cstdint>

#include "lacuna/kernels/attend_band.hpp"
#include "lacuna/kernels/attend_blocks.hpp"
#include "lacuna/kernels/attend_dense.hpp"
#include "lacuna/kernels/attend_pages.hpp"
#include "lacuna/kernels/attend_tokens.hpp"
#include "lacuna/kernels/attend_vertical_slash.hpp"
#include "lacuna/kernels/bound_scores.hpp"
#include "lacuna/kernels/gather_kv.hpp"
#include "lacuna/kernels/page_bounds.hpp"
#include "lacuna/kernels/pick_top.hpp"
#include "support/catch.hpp"
#include "support/sound_batch.hpp"

namespace {

using lacuna::bfloat16;
using support::complaint;
using support::nowhere;
using support::sound_batch;
using support::sound_out;
using support::unread;

TEST_CASE("batch arguments: attend_dense and attend_band", "[kernels]") {
  auto const problem = sound_batch<bfloat16>();
  lacuna::AttendDenseBatchArgs<bfloat16> const dense{problem, sound_out(problem), {}};
  CHECK(complaint(dense, [](auto& a) { a.problem.batch = -1; }) == "batch_problem: batch must not be negative");
  CHECK(complaint(dense, [](auto& a) { a.out.out.extents[1] = 2; }) == "out: must have the extents of q");
  CHECK(complaint(dense, [](auto& a) { a.out.out.strides[2] = 2; }) == "out: the last axis must be dense");
  CHECK(complaint(dense, [](auto& a) { a.out.out.data = nullptr; }) == "out: must not be null");
  CHECK(complaint(dense, [](auto& a) { a.out.lse.extents[0] = 6; }) == "lse: must be null or [tokens_q, heads_q]");
  CHECK(complaint(dense, [](auto& a) { a.out.lse.extents[1] = 2; }) == "lse: must be null or [tokens_q, heads_q]");
  CHECK(complaint(dense, [](auto& a) { a.out.lse.data = nullptr; }).empty());

  lacuna::AttendBandBatchArgs<bfloat16> const band{problem, {1, 2, 0, 4, 4, 4}, sound_out(problem), {}};
  char const* const sizes = "attend_band: sink_tokens must be at least 0 and window_tokens at least 1";
  CHECK(complaint(band, [](auto& a) { a.problem.batch = -1; }) == "batch_problem: batch must not be negative");
  CHECK(complaint(band, [](auto& a) { a.out.out.data = nullptr; }) == "out: must not be null");
  CHECK(complaint(band, [](auto& a) { a.index.sink_tokens = -1; }) == sizes);
  CHECK(complaint(band, [](auto& a) { a.index.window_tokens = 0; }) == sizes);
}

TEST_CASE("batch arguments: attend_blocks", "[kernels]") {
  auto const problem = sound_batch<bfloat16>();
  lacuna::BlockIndex index;
  index.block_tokens = 2;
  index.room = 2;
  index.counts = unread<std::int32_t, 2>({4, 9});
  index.blocks = unread<std::int32_t, 2>({4, 18});
  lacuna::AttendBlocksBatchArgs<bfloat16> const sound{problem, index, sound_out(problem), {}};
  CHECK(complaint(sound, [](auto& a) { a.problem.batch = -1; }) == "batch_problem: batch must not be negative");
  CHECK(complaint(sound, [](auto& a) { a.out.out.data = nullptr; }) == "out: must not be null");
  CHECK(complaint(sound, [](auto& a) { a.index.block_tokens = 0; }) ==
        "attend_blocks: block_tokens must be at least 1");
  CHECK(complaint(sound, [](auto& a) { a.index.counts.extents[0] = 3; }) ==
        "attend_blocks: the index must have one row per query head or per KV head");
  CHECK(complaint(sound, [](auto& a) { a.index.counts.data = nullptr; }) ==
        "attend_blocks: the index must not be null");
  CHECK(complaint(sound, [](auto& a) { a.index.blocks.data = nullptr; }) ==
        "attend_blocks: the index must not be null");
  char const* const counts = "attend_blocks: the index must have a dense count for every row of the batch";
  CHECK(complaint(sound, [](auto& a) { a.index.counts.extents[1] = 8; }) == counts);
  CHECK(complaint(sound, [](auto& a) { a.index.counts.strides[1] = 2; }) == counts);
  char const* const room = "attend_blocks: the index must have room for every row of the batch";
  CHECK(complaint(sound, [](auto& a) { a.index.room = -1; }) == room);
  CHECK(complaint(sound, [](auto& a) { a.index.blocks.extents[1] = 17; }) == room);
  CHECK(complaint(sound, [](auto& a) { a.index.blocks.strides[1] = 2; }) == room);
}

TEST_CASE("batch arguments: attend_vertical_slash", "[kernels]") {
  auto const problem = sound_batch<bfloat16>();
  lacuna::VerticalSlashIndex index;
  index.columns = unread<std::int32_t, 2>({12, 4});
  index.diagonals = unread<std::int32_t, 2>({12, 4});
  index.counts = unread<std::int32_t, 2>({12, 2});
  lacuna::AttendVerticalSlashBatchArgs<bfloat16> const sound{problem, index, sound_out(problem), {}};
  CHECK(sound.heads() == 4);
  CHECK(complaint(sound, [](auto& a) { a.problem.batch = -1; }) == "batch_problem: batch must not be negative");
  CHECK(complaint(sound, [](auto& a) { a.out.out.data = nullptr; }) == "out: must not be null");
  CHECK(complaint(sound, [](auto& a) { a.index.tile = 0; }) == "attend_vertical_slash: tile must be at least 1");
  CHECK(complaint(sound, [](auto& a) { a.index.counts.extents[0] = 4; }) ==
        "attend_vertical_slash: the index must have a row per head of every sequence");
  char const* const rows = "attend_vertical_slash: columns, diagonals and counts must have the same rows";
  CHECK(complaint(sound, [](auto& a) { a.index.columns.extents[0] = 6; }) == rows);
  CHECK(complaint(sound, [](auto& a) { a.index.diagonals.extents[0] = 6; }) == rows);
  CHECK(complaint(sound, [](auto& a) { a.index.counts.extents[1] = 1; }) == rows);
  char const* const dense = "attend_vertical_slash: the last axes of the index must be dense";
  CHECK(complaint(sound, [](auto& a) { a.index.columns.strides[1] = 2; }) == dense);
  CHECK(complaint(sound, [](auto& a) { a.index.diagonals.strides[1] = 2; }) == dense);
  CHECK(complaint(sound, [](auto& a) { a.index.counts.strides[1] = 2; }) == dense);
}

TEST_CASE("batch arguments: attend_pages and attend_tokens", "[kernels]") {
  auto const problem = sound_batch<bfloat16>(8, 1);
  lacuna::PageIndex const index{unread<std::int32_t, 2>({6, 2}), unread<std::int32_t, 1>({6}), {}, 2};
  lacuna::AttendPagesBatchArgs<bfloat16> const pages{problem, index, sound_out(problem), {}, {}};
  CHECK(pages.heads() == 2);
  CHECK(complaint(pages, [](auto& a) { a.problem.batch = -1; }) == "batch_problem: batch must not be negative");
  CHECK(complaint(pages, [](auto& a) { a.out.out.extents[1] = 2; }) == "out: must have the extents of q");
  CHECK(complaint(pages, [](auto& a) { a.out.out.strides[2] = 2; }) == "out: the last axis must be dense");
  CHECK(complaint(pages, [](auto& a) { a.out.out.data = nullptr; }) == "out: must not be null");
  CHECK(complaint(pages, [](auto& a) { a.out.lse.extents[0] = 2; }) == "lse: must be null or [tokens_q, heads_q]");
  CHECK(complaint(pages, [](auto& a) { a.index.page_tokens = 0; }) == "attend_pages: page_tokens must be at least 1");
  CHECK(complaint(pages, [](auto& a) { a.index.counts.extents[0] = 2; }) ==
        "attend_pages: the index must have one row per KV head or per query head of a sequence");
  CHECK(complaint(pages, [](auto& a) { a.index.pages.strides[1] = 2; }) ==
        "attend_pages: the last axis of pages must be dense");
  CHECK(complaint(pages, [](auto& a) { a.index = {}; }).empty());

  lacuna::TokenIndex const kept{unread<std::int32_t, 2>({6, 2}), unread<std::int32_t, 1>({6}), {}};
  lacuna::AttendTokensBatchArgs<bfloat16> const tokens{problem, kept, sound_out(problem), {}, {}};
  char const* const rows = "attend_tokens: the index must have one row per KV head of a sequence";
  CHECK(complaint(tokens, [](auto& a) { a.index.counts.extents[0] = 12; }) == rows);
  CHECK(complaint(tokens, [](auto& a) { a.index.tokens.data = nullptr; }) == rows);
  CHECK(complaint(tokens, [](auto& a) { a.out.out.data = nullptr; }) == "out: must not be null");
}

TEST_CASE("batch arguments: bound_scores", "[kernels]") {
  auto const problem = sound_batch<bfloat16>(8, 1);
  lacuna::BoundScoresBatchArgs<bfloat16> const sound{problem, unread<bfloat16 const, 5>({3, 2, 2, 2, 8}), 2,
                                                     unread<float, 2>({6, 2})};
  CHECK(sound.heads() == 2);
  CHECK(complaint(sound, [](auto& a) { a.problem.batch = -1; }) == "batch_problem: batch must not be negative");
  CHECK(complaint(sound, [](auto& a) { a.problem.max_len_q = 2; }) == "bound_scores: max_len_q must be 1");
  CHECK(complaint(sound, [](auto& a) { a.page_tokens = 0; }) == "bound_scores: page_tokens must be at least 1");
  for (int axis : {0, 1, 3, 4})
    CHECK(complaint(sound, [axis](auto& a) { a.bounds.extents[axis] = 1; }) ==
          "bound_scores: bounds must be [batch, heads_kv, pages, 2, dim], the last two axes dense");
  for (int axis : {3, 4})
    CHECK(complaint(sound, [axis](auto& a) { a.bounds.strides[axis] = 16; }) ==
          "bound_scores: bounds must be [batch, heads_kv, pages, 2, dim], the last two axes dense");
  CHECK(complaint(sound, [](auto& a) { a.scores.extents[0] = 4; }) ==
        "bound_scores: scores must have one row per KV head or per query head of a sequence");
  CHECK(complaint(sound, [](auto& a) { a.scores.strides[1] = 2; }) ==
        "bound_scores: the last axis of scores must be dense");
  CHECK(complaint(sound, [](auto& a) { a.scores.extents[1] = 0; }) ==
        "bound_scores: scores and bounds must hold every full page");
  CHECK(complaint(sound, [](auto& a) { a.bounds.extents[2] = 0; }) ==
        "bound_scores: scores and bounds must hold every full page");
}

TEST_CASE("batch arguments: pick_pages", "[kernels]") {
  lacuna::PickPagesBatchArgs const sound{
      unread<float const, 2>({6, 2}),
      unread<std::int32_t const, 1>({6}),
      unread<std::int32_t const, 2>({3, 2}),
      {unread<std::int32_t, 2>({6, 2}), unread<std::int32_t, 1>({6}), unread<std::int32_t, 1>({6}), 2},
      {}};
  CHECK(complaint(sound, [](auto& a) { a.index.page_tokens = 0; }) == "pick_pages: page_tokens must be at least 1");
  char const* const rows = "pick_pages: scores and the index must have the same rows";
  CHECK(complaint(sound, [](auto& a) { a.index.counts.extents[0] = 5; }) == rows);
  CHECK(complaint(sound, [](auto& a) { a.index.pages.extents[0] = 5; }) == rows);
  CHECK(complaint(sound, [](auto& a) { a.index.lens.extents[0] = 5; }) == rows);
  CHECK(complaint(sound, [](auto& a) { a.lens.extents[0] = 4; }) ==
        "pick_pages: rows must be a multiple of batch * heads_kv");
  CHECK(complaint(sound, [](auto& a) { a.lens.extents[0] = 0; }) ==
        "pick_pages: rows must be a multiple of batch * heads_kv");
  CHECK(complaint(sound, [](auto& a) { a.index.pages.extents[1] = 0; }) ==
        "pick_pages: the index has no room for the current page");
}

TEST_CASE("batch arguments: page_bounds and append_kv", "[kernels]") {
  auto const kv = sound_batch<bfloat16>().kv;
  lacuna::PageBoundsBatchArgs<bfloat16> const bounds{kv, 3, 4, 1, unread<bfloat16, 5>({3, 2, 2, 2, 8}), 2};
  CHECK(complaint(bounds, [](auto& a) { a.page_tokens = 0; }) == "page_bounds: page_tokens must be at least 1");
  for (int axis : {0, 1, 3, 4})
    CHECK(complaint(bounds, [axis](auto& a) { a.bounds.extents[axis] = 1; }) ==
          "page_bounds: bounds must be [batch, heads_kv, pages, 2, dim]");
  CHECK(complaint(bounds, [](auto& a) { a.bounds.strides[4] = 2; }) ==
        "page_bounds: bounds must be [batch, heads_kv, pages, 2, dim]");
  CHECK(complaint(bounds, [](auto& a) { a.max_len_k = 5; }) == "page_bounds: more tokens than pages");
  CHECK(complaint(bounds, [](auto& a) { a.kv.dim = a.bounds.extents[4] = 7; }) ==
        "page_bounds: dim must be even on the device");
  char const* const even = "page_bounds: strides of keys and bounds must be even on the device";
  for (int axis : {0, 1, 2, 3}) CHECK(complaint(bounds, [axis](auto& a) { a.bounds.strides[axis] += 1; }) == even);
  CHECK(complaint(bounds, [](auto& a) { a.kv.stride_token += 1; }) == even);

  auto const fresh = unread<bfloat16 const, 3>({3, 2, 8});
  lacuna::AppendKvBatchArgs<bfloat16> const append{bounds, nowhere<bfloat16>(), nowhere<bfloat16>(), fresh, fresh};
  CHECK(complaint(append, [](auto& a) { a.k = nullptr; }) == "append_kv: k and v must be those of the cache");
  CHECK(complaint(append, [](auto& a) { a.v = nullptr; }) == "append_kv: k and v must be those of the cache");
  CHECK(complaint(append, [](auto& a) { a.cache.page_tokens = 0; }) == "page_bounds: page_tokens must be at least 1");
  char const* const extents = "append_kv: new_k and new_v must be [tokens, heads_kv, dim], the last axis dense";
  CHECK(complaint(append, [](auto& a) { a.new_v.extents[0] = 4; }) == extents);
  CHECK(complaint(append, [](auto& a) { a.new_k.extents[1] = a.new_v.extents[1] = 1; }) == extents);
  CHECK(complaint(append, [](auto& a) { a.new_k.extents[2] = a.new_v.extents[2] = 4; }) == extents);
  CHECK(complaint(append, [](auto& a) { a.new_k.strides[2] = 2; }) == extents);
  CHECK(complaint(append, [](auto& a) { a.new_v.strides[2] = 2; }) == extents);
  CHECK(complaint(append, [](auto& a) { a.cache.new_tokens = 2; }) ==
        "append_kv: without cu_new every sequence must have new_tokens");
  auto const odd = [](auto& a) {
    a.cache.bounds.data = nullptr;
    a.cache.kv.dim = a.new_k.extents[2] = a.new_v.extents[2] = 7;
  };
  char const* const rows = "append_kv: strides of rows must be even on the device";
  for (int axis : {0, 1}) {
    CHECK(complaint(append, [axis](auto& a) { a.new_k.strides[axis] += 1; }) == rows);
    CHECK(complaint(append, [axis](auto& a) { a.new_v.strides[axis] += 1; }) == rows);
  }
  auto const apart = [](auto& a) {
    a.cache.bounds.data = nullptr;
    a.cache.kv.stride_token += 1;
  };
  CHECK(complaint(append, apart) == rows);
  CHECK(complaint(append, odd) == "append_kv: dim must be even on the device");
}

TEST_CASE("batch arguments: gather_kv", "[kernels]") {
  auto const kv = sound_batch<bfloat16>().kv;
  auto elsewhere = kv;
  elsewhere.k = elsewhere.v = nowhere<bfloat16 const>(64);
  lacuna::GatherKvBatchArgs<bfloat16> sound{kv, elsewhere, nowhere<bfloat16>(64), nowhere<bfloat16>(64), 3, {}, {}, {}};
  sound.index.tokens = unread<std::int32_t, 2>({6, 2});
  sound.index.counts = unread<std::int32_t, 1>({6});
  CHECK(complaint(sound, [](auto& a) { a.to_k = nullptr; }) == "gather_kv: to_k and to_v must be those of to");
  CHECK(complaint(sound, [](auto& a) { a.to_v = nullptr; }) == "gather_kv: to_k and to_v must be those of to");
  CHECK(complaint(sound, [](auto& a) { a.to.dim = 4; }) ==
        "gather_kv: from and to must have the same heads_kv and dim");
  CHECK(complaint(sound, [](auto& a) { a.to.heads_kv = 1; }) ==
        "gather_kv: from and to must have the same heads_kv and dim");
  CHECK(complaint(sound, [](auto& a) { a.index.counts.extents[0] = 3; }) ==
        "gather_kv: the index must have one row per KV head of a sequence");
  CHECK(complaint(sound, [](auto& a) { a.index.tokens.strides[1] = 2; }) ==
        "gather_kv: the last axis of tokens must be dense");
  CHECK(complaint(sound, [](auto& a) {
          a.freed_pages = unread<std::int32_t, 2>({3, 2});
        }) == "gather_kv: without pages none can be freed");
  auto const without_lens = [](auto& a) {
    a.freed_pages = unread<std::int32_t, 2>({3, 2});
    a.from.page_table = unread<std::int32_t const, 3>({3, 2, 2});
    a.from.lens.data = nullptr;
  };
  CHECK(complaint(sound, without_lens) == "gather_kv: freed_pages needs the lens of from");

  auto in_place = sound;
  in_place.to = kv;
  in_place.to_k = in_place.to_v = nowhere<bfloat16>();
  char const* const same = "gather_kv: in place, from and to must be the same view";
  CHECK(complaint(in_place, [](auto& a) { a.to.v = a.to_v = nowhere<bfloat16>(64); }) == same);
  CHECK(complaint(in_place, [](auto& a) { a.to.page_table = unread<std::int32_t const, 3>({3, 2, 2}); }) == same);
  CHECK(complaint(in_place, [](auto& a) { a.to.first_token = nowhere<std::int32_t const>(); }) == same);
  CHECK(complaint(in_place, [](auto& a) { a.to.stride_token = 8; }) == same);
  CHECK(complaint(in_place, [](auto& a) { a.to.stride_head = 16; }) == same);
  CHECK(complaint(in_place, [](auto& a) { a.to.stride_page = 16; }) == same);
}

}  // namespace
