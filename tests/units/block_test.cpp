#include "lacuna/units/block.hpp"

#include <string>
#include <vector>

#include "lacuna/kernels/attend_blocks.hpp"
#include "lacuna/kernels/pool_blocks.hpp"
#include "lacuna/kernels/pooled_scores.hpp"
#include "lacuna/selectors/mean_pool.hpp"
#include "support/catch.hpp"
#include "support/memory.hpp"
#include "support/sizes.hpp"

namespace {

using lacuna::Block;
using lacuna::BlockIndex;
using lacuna::Shape;
using support::Data;
using support::ProblemCase;

static_assert(lacuna::Unit<Block<16>> && lacuna::StreamedUnit<Block<8>> && !lacuna::WholeUnit<Block<128>>);
static_assert(lacuna::SelectorFor<lacuna::MeanPool, Block<16>>);

/// An index made for one shape, in memory of its own.
struct Made {
  explicit Made(Shape const& shape, std::int64_t heads, std::int64_t most) : memory(1 << 16) {
    lacuna::Workspace workspace = memory.workspace();
    index = Block<16>{}.make_index(shape, heads, {most}, workspace);
  }
  support::GuardedMemory memory;
  BlockIndex index;
};

ProblemCase<float> problem_of(std::int64_t len_q, std::int64_t len_k) {
  return ProblemCase<float>(support::make_inputs<float>({len_q, len_k, 1, 2, 16}, Data::random, 1));
}

TEST_CASE("block: counts round up, candidates are the causal blocks", "[units]") {
  Block<16> const unit;
  CHECK(unit.count(0) == 0);
  CHECK(unit.count(1) == 1);
  CHECK(unit.count(17) == 2);
  CHECK(unit.tokens(3) == 48);
  CHECK(unit.candidates(33) == 3);
  CHECK(unit.choices({0, 40, 1, 1, 1}) == 0);
  CHECK(unit.choices({40, 40, 1, 1, 1}) == 3);
  CHECK(unit.choices({2, 33, 1, 1, 1}) == 2);  // positions 31 and 32
  CHECK(unit.chunk_units({2, 33, 1, 1, 1}, {0, 0, 2, 0}) == 3);
}

TEST_CASE("block: keep_all keeps every causal block, and says when there is no room", "[units]") {
  auto const c = problem_of(40, 40);
  Made made({40, 40, 2, 1, 16}, 2, 3);
  REQUIRE(Block<16>{}.keep_all(c.problem(), made.index));
  CHECK(made.index.check({40, 40, 2, 1, 16}));
  CHECK(made.index.counts(1, 2) == 3);
  Made narrow({40, 40, 2, 1, 16}, 2, 2);
  CHECK(std::string(Block<16>{}.keep_all(c.problem(), narrow.index).message) ==
        "block: the index has no room for every block");
}

TEST_CASE("block: an index that was made for something else is refused", "[units]") {
  auto c = problem_of(40, 40);
  auto const complaint = [&](BlockIndex index) { return std::string(Block<16>{}.begin(c.problem(), index).message); };
  Shape const shape{40, 40, 2, 1, 16};
  Made made(shape, 2, 3);
  CHECK(complaint(made.index).empty());
  BlockIndex index = made.index;
  index.block_tokens = 32;
  CHECK(complaint(index) == "block: the index has another block size");
  CHECK(complaint(Made({40, 40, 3, 1, 16}, 3, 3).index) ==
        "block: the index must have one row per query head or per KV head");
  CHECK(complaint(Made({20, 20, 2, 1, 16}, 2, 3).index) ==
        "block: the index has no room for every query block; plan for this shape");
  index = made.index;
  index.room = 100;
  index.blocks.extents[1] = 5;
  CHECK(complaint(index) == "block: the index has no room for that many blocks; plan for this shape and budget");
}

TEST_CASE("block_index: check proves every id that attention takes for granted", "[index]") {
  Shape const shape{40, 40, 2, 1, 16};
  auto const c = problem_of(40, 40);
  Made made(shape, 2, 3);
  REQUIRE(Block<16>{}.keep_all(c.problem(), made.index));
  auto const complaint = [&](auto const& change, Shape const& of) {
    REQUIRE(Block<16>{}.keep_all(c.problem(), made.index));
    BlockIndex index = made.index;
    change(index);
    return std::string(index.check(of).message);
  };
  auto const nothing = [](BlockIndex&) {};
  CHECK(complaint(nothing, shape).empty());
  CHECK(complaint([](BlockIndex& i) { i.block_tokens = 0; }, shape) == "block_index: block_tokens must be at least 1");
  CHECK(complaint(nothing, {40, 40, 3, 3, 16}) == "block_index: must have one row per query head or per KV head");
  CHECK(complaint([](BlockIndex& i) { i.blocks.extents[0] = 1; }, shape) ==
        "block_index: blocks and counts must have the same heads");
  CHECK(complaint(nothing, {39, 40, 2, 1, 16}) == "block_index: len_q is not the problem's");
  CHECK(complaint(nothing, {40, 41, 2, 1, 16}) == "block_index: len_k is not the problem's");
  CHECK(complaint([](BlockIndex& i) { i.counts.extents[1] = 2; }, shape) ==
        "block_index: must have a count and an offset for every query block");
  CHECK(complaint([](BlockIndex& i) { i.offsets(2) = 0; }, shape) ==
        "block_index: offsets must ascend within the capacity");
  CHECK(complaint([](BlockIndex& i) { i.counts(1, 0) = 2; }, shape) ==
        "block_index: a count is beyond the room of its row");
  CHECK(complaint([](BlockIndex& i) { i.row(1, 1)[1] = 2; }, shape) ==
        "block_index: blocks must be ascending, unique and causal");
}

TEST_CASE("attend_blocks: an index of another problem is refused", "[kernels]") {
  auto c = problem_of(40, 40);
  Made made({40, 40, 2, 1, 16}, 2, 3);
  REQUIRE(Block<16>{}.keep_all(c.problem(), made.index));
  auto const complaint = [&](auto const& change) {
    BlockIndex index = made.index;
    change(index);
    return std::string(lacuna::AttendBlocksArgs<float>{c.problem(), index, c.out(), {}}.check().message);
  };
  CHECK(complaint([](BlockIndex&) {}).empty());
  CHECK(complaint([](BlockIndex& i) { i.block_tokens = 0; }) == "attend_blocks: block_tokens must be at least 1");
  CHECK(complaint([](BlockIndex& i) { i.counts.extents[0] = 3; }) ==
        "attend_blocks: the index must have one row per query head or per KV head");
  CHECK(complaint([](BlockIndex& i) { i.len_q = 39; }) == "attend_blocks: the index was made for another len_q");
  CHECK(complaint([](BlockIndex& i) { i.len_k = 41; }) == "attend_blocks: the index was made for another len_k");
}

TEST_CASE("attend_blocks: a group may share its choice", "[kernels]") {
  auto shared = problem_of(40, 40), single = problem_of(40, 40);
  Made one({40, 40, 2, 1, 16}, 1, 3), two({40, 40, 2, 1, 16}, 2, 3);
  REQUIRE(Block<16>{}.keep_all(shared.problem(), one.index));
  REQUIRE(Block<16>{}.keep_all(single.problem(), two.index));
  for (std::int64_t head : {0, 1}) two.index.row(head, 2)[1] = 2, two.index.counts(head, 2) = 2;
  one.index.row(0, 2)[1] = 2, one.index.counts(0, 2) = 2;
  support::GuardedMemory scratch(1 << 20);
  REQUIRE(lacuna::attend_blocks<float>({}, {shared.problem(), one.index, shared.out(), scratch.workspace()}));
  REQUIRE(lacuna::attend_blocks<float>({}, {single.problem(), two.index, single.out(), scratch.workspace()}));
  for (std::int64_t row = 0; row < 40; ++row)
    for (std::int64_t head : {0, 1}) CHECK(shared.lse_at(row, head) == Approx(single.lse_at(row, head)));
}

TEST_CASE("pool_blocks and pooled_scores: shapes are checked, means divide by the block", "[kernels]") {
  auto c = problem_of(20, 40);
  std::vector<float> queries(2 * 2 * 16), keys(3 * 16);
  auto const q = [&](std::int64_t rows) { return lacuna::dense_view<float, 3>(queries.data(), {2, rows, 16}); };
  auto const k = [&](std::int64_t rows) { return lacuna::dense_view<float, 3>(keys.data(), {1, rows, 16}); };
  auto const complaint = [&](std::int64_t block, std::int64_t q_rows, std::int64_t k_rows) {
    return std::string(lacuna::PoolBlocksArgs<float>{c.problem(), block, q(q_rows), k(k_rows)}.check().message);
  };
  CHECK(complaint(16, 2, 3).empty());
  CHECK(complaint(0, 2, 3) == "pool_blocks: block_tokens must be at least 1");
  CHECK(complaint(16, 1, 3) == "pool_blocks: queries must be [heads_q, query blocks, dim]");
  CHECK(complaint(16, 2, 2) == "pool_blocks: keys must be [heads_kv, key blocks, dim]");
  REQUIRE(lacuna::pool_blocks<float>({}, {c.problem(), 16, q(2), k(3)}));
  double sum = 0.0;
  for (std::int64_t token = 32; token < 40; ++token) sum += c.inputs().key(token, 0)[5];
  CHECK(static_cast<double>(keys[2 * 16 + 5]) == Approx(sum / 16.0).epsilon(1e-5));
  std::int32_t const lens[] = {40, 39};
  ProblemCase<float> ragged(support::make_inputs<float>({20, 40, 2, 1, 16}, Data::random, 1));
  ragged.kv().lens = lens;
  CHECK(std::string(lacuna::PoolBlocksArgs<float>{ragged.problem(), 16, q(2), k(3)}.check().message) ==
        "pool_blocks: every KV head must hold the same tokens");

  std::vector<float> scores(6);
  lacuna::PooledScoresArgs args{{queries.data(), {2, 16}, {16, 1}},
                                {keys.data(), {3, 16}, {16, 1}},
                                16,
                                1,
                                lacuna::dense_view<float, 2>(scores.data(), {2, 3})};
  CHECK(args.check());
  args.scores.extents[1] = 2;
  CHECK(std::string(args.check().message) == "pooled_scores: scores must be as wide as the last row's blocks");
  args.scores.extents[0] = 1;
  CHECK(std::string(args.check().message) == "pooled_scores: scores must have one row per query");
}

TEST_CASE("mean_pool: a workspace that is too small is refused", "[selectors]") {
  auto const c = problem_of(40, 40);
  CHECK(std::string(lacuna::MeanPool{}.prepare({}, Block<16>{}, c.problem(), {}).message) ==
        "mean_pool: the workspace is smaller than planned");
}

}  // namespace
