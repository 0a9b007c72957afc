// As batch_args_test.cpp, of the doors that make and pick scores for a whole prompt.

#include <cstdint>
#include <limits>

#include "lacuna/kernels/coverage.hpp"
#include "lacuna/kernels/group_mass.hpp"
#include "lacuna/kernels/pick_blocks.hpp"
#include "lacuna/kernels/pool_blocks.hpp"
#include "lacuna/kernels/pooled_scores.hpp"
#include "lacuna/kernels/soften.hpp"
#include "lacuna/kernels/window_scores.hpp"
#include "support/catch.hpp"
#include "support/sound_batch.hpp"

namespace {

using lacuna::bfloat16;
using support::complaint;
using support::sound_batch;
using support::unread;

TEST_CASE("batch arguments: window_scores", "[kernels]") {
  lacuna::WindowScoresBatchArgs<bfloat16> sound;
  sound.problem = sound_batch<bfloat16>();
  sound.columns = unread<float, 2>({12, 4});
  sound.diagonals = unread<float, 2>({12, 4});
  CHECK(complaint(sound, [](auto& a) { a.problem.batch = -1; }) == "batch_problem: batch must not be negative");
  CHECK(complaint(sound, [](auto& a) { a.window = 0; }) == "window_scores: window must be in 1..4096");
  CHECK(complaint(sound, [](auto& a) { a.window = 4097; }) == "window_scores: window must be in 1..4096");
  CHECK(complaint(sound, [](auto& a) { a.columns.extents[0] = 4; }) ==
        "window_scores: columns must have one row per sequence and KV head or query head");
  CHECK(complaint(sound, [](auto& a) { a.columns.extents[1] = 3; }) ==
        "window_scores: columns must be as wide as max_len_k");
  char const* const extents = "window_scores: columns and diagonals must have the same extents";
  CHECK(complaint(sound, [](auto& a) { a.diagonals.extents[0] = 6; }) == extents);
  CHECK(complaint(sound, [](auto& a) { a.diagonals.extents[1] = 3; }) == extents);
  char const* const dense = "window_scores: rows of columns and diagonals must be dense";
  CHECK(complaint(sound, [](auto& a) { a.columns.strides[1] = 2; }) == dense);
  CHECK(complaint(sound, [](auto& a) { a.diagonals.strides[1] = 2; }) == dense);
  CHECK(complaint(sound, [](auto& a) { a.reduction = lacuna::WindowReduction::highest; }) ==
        "window_scores: diagonals are plain sums; otherwise their data must be null");
}

TEST_CASE("batch arguments: group_mass", "[kernels]") {
  lacuna::GroupMassBatchArgs<bfloat16> sound;
  sound.problem = sound_batch<bfloat16>();
  sound.stride = 2;
  sound.block_tokens = 2;
  sound.scores = unread<float, 3>({4, 9, 2});
  CHECK(complaint(sound, [](auto& a) { a.problem.batch = -1; }) == "batch_problem: batch must not be negative");
  char const* const stride = "group_mass: stride must divide block_tokens, which is at most 128";
  CHECK(complaint(sound, [](auto& a) { a.stride = 0; }) == stride);
  CHECK(complaint(sound, [](auto& a) { a.stride = 4; }) == stride);
  CHECK(complaint(sound, [](auto& a) { a.block_tokens = 0; }) == stride);
  CHECK(complaint(sound, [](auto& a) { a.block_tokens = 130; }) == stride);
  char const* const extents = "group_mass: scores must be [heads_q, rows, key blocks]";
  CHECK(complaint(sound, [](auto& a) { a.scores.extents[0] = 2; }) == extents);
  CHECK(complaint(sound, [](auto& a) { a.scores.extents[2] = 1; }) == extents);
  CHECK(complaint(sound, [](auto& a) { a.scores.strides[2] = 2; }) ==
        "group_mass: the last axis of scores must be dense");
  CHECK(complaint(sound, [](auto& a) { a.first_row = -1; }) == "group_mass: first_row must not be negative");
}

TEST_CASE("batch arguments: pool_blocks and pooled_scores", "[kernels]") {
  lacuna::PoolBlocksBatchArgs<bfloat16> pool;
  pool.problem = sound_batch<bfloat16>();
  pool.block_tokens = 2;
  pool.queries = unread<bfloat16, 4>({4, 9, 2, 8});
  pool.keys = unread<bfloat16, 4>({6, 2, 2, 8});
  CHECK(complaint(pool, [](auto& a) { a.problem.batch = -1; }) == "batch_problem: batch must not be negative");
  CHECK(complaint(pool, [](auto& a) { a.block_tokens = 0; }) == "pool_blocks: block_tokens must be at least 1");
  for (int axis : {0, 1, 2, 3}) {
    CHECK(complaint(pool, [axis](auto& a) { a.queries.extents[axis] = 1; }) ==
          "pool_blocks: queries must be [heads_q, rows, 2, dim]");
    CHECK(complaint(pool, [axis](auto& a) { a.keys.extents[axis] = 1; }) ==
          "pool_blocks: keys must be [batch * heads_kv, key blocks, 2, dim]");
  }

  for (int axis : {0, 1, 2, 3}) {
    CHECK(complaint(pool, [axis](auto& a) { a.queries.strides[axis] += 1; }) ==
          "pool_blocks: queries and keys must have no gaps");
    CHECK(complaint(pool, [axis](auto& a) { a.keys.strides[axis] += 1; }) ==
          "pool_blocks: queries and keys must have no gaps");
  }

  lacuna::PooledScoresBatchArgs<bfloat16> scores;
  scores.problem = pool.problem;
  scores.block_tokens = 2;
  scores.queries = pool.queries;
  scores.keys = pool.keys;
  scores.scores = unread<float, 3>({4, 9, 2});
  char const* const extents = "pooled_scores: scores must be [heads_q, rows, key blocks]";
  CHECK(complaint(scores, [](auto& a) { a.problem.batch = -1; }) == "batch_problem: batch must not be negative");
  CHECK(complaint(scores, [](auto& a) { a.scores.extents[0] = 2; }) == extents);
  CHECK(complaint(scores, [](auto& a) { a.scores.extents[2] = 1; }) == extents);
  CHECK(complaint(scores, [](auto& a) { a.block_tokens = 0; }) == "pooled_scores: block_tokens must be at least 1");
  for (int axis : {0, 2, 3})
    CHECK(complaint(scores, [axis](auto& a) { a.queries.extents[axis] = 1; }) ==
          "pooled_scores: queries must be [heads_q, rows, 2, dim]");
  for (int axis : {0, 1, 2, 3})
    CHECK(complaint(scores, [axis](auto& a) { a.keys.extents[axis] = 1; }) ==
          "pooled_scores: keys must be [batch * heads_kv, key blocks, 2, dim]");
  for (int axis : {0, 1, 2, 3}) {
    char const* const gaps = "pooled_scores: queries and keys must have no gaps";
    CHECK(complaint(scores, [axis](auto& a) { a.queries.strides[axis] += 1; }) == gaps);
    CHECK(complaint(scores, [axis](auto& a) { a.keys.strides[axis] += 1; }) == gaps);
  }
  for (std::int64_t first_row : {-1, 1})
    CHECK(complaint(scores, [first_row](auto& a) { a.first_row = first_row; }) ==
          "pooled_scores: there are not so many rows of queries");
  CHECK(complaint(scores, [](auto& a) { a.scores.data += 1; }) ==
        "pooled_scores: rows of scores must be dense and begin at even places");
  for (int axis : {0, 1, 2})
    CHECK(complaint(scores, [axis](auto& a) { a.scores.strides[axis] = 3; }) ==
          "pooled_scores: rows of scores must be dense and begin at even places");
}

TEST_CASE("batch arguments: pick_blocks", "[kernels]") {
  lacuna::PickBlocksBatchArgs<bfloat16> sound;
  sound.problem = sound_batch<bfloat16>();
  sound.scores = unread<float, 3>({4, 5, 4});
  sound.counts = unread<std::int32_t, 2>({4, 5});
  sound.first_row = 4;
  sound.index.block_tokens = 2;
  sound.index.room = 2;
  sound.index.counts = unread<std::int32_t, 2>({4, 9});
  sound.index.blocks = unread<std::int32_t, 2>({4, 18});
  CHECK(complaint(sound, [](auto& a) { a.problem.batch = -1; }) == "batch_problem: batch must not be negative");
  CHECK(complaint(sound, [](auto& a) { a.index.offsets = unread<std::int64_t, 1>({10}); }) ==
        "pick_blocks: on the device the rows of an index have room each; offsets must be null");
  char const* const same = "pick_blocks: scores, counts and the index must have the same heads and rows";
  CHECK(complaint(sound, [](auto& a) { a.scores.extents[0] = 2; }) == same);
  CHECK(complaint(sound, [](auto& a) { a.counts.extents[0] = 2; }) == same);
  CHECK(complaint(sound, [](auto& a) { a.counts.extents[1] = 4; }) == same);
  CHECK(complaint(sound, [](auto& a) { a.first_row = -1; }) == "pick_blocks: the index has no room for these rows");
  CHECK(complaint(sound, [](auto& a) { a.first_row = 5; }) == "pick_blocks: the index has no room for these rows");
  CHECK(complaint(sound, [](auto& a) { a.index.room = 3; }) ==
        "pick_blocks: the index has no room for that many blocks");
  CHECK(complaint(sound, [](auto& a) { a.index.blocks.extents[0] = 2; }) == same);
  CHECK(complaint(sound, [](auto& a) { a.index.block_tokens = 0; }) == "pick_blocks: block_tokens must be at least 1");
  char const* const dense = "pick_blocks: the rows of an index must be dense";
  CHECK(complaint(sound, [](auto& a) { a.index.blocks.strides[1] = 2; }) == dense);
  CHECK(complaint(sound, [](auto& a) { a.index.counts.strides[1] = 2; }) == dense);
  CHECK(complaint(sound, [](auto& a) { a.scores.strides[2] = 2; }) ==
        "pick_blocks: the last axis of scores must be dense");
}

TEST_CASE("batch arguments: coverage and soften", "[kernels]") {
  lacuna::CoverageArgs coverage;
  coverage.scores = unread<float, 3>({4, 9, 2});
  coverage.counts = unread<std::int32_t, 2>({4, 9});
  for (int axis : {0, 1})
    CHECK(complaint(coverage, [axis](auto& a) { a.counts.extents[axis] = 2; }) ==
          "coverage: counts must have one entry per row of scores");
  CHECK(complaint(coverage, [](auto& a) { a.scores.strides[2] = 2; }) ==
        "coverage: the last axis of scores must be dense");
  char const* const negative = "coverage: floor_units and most_units must not be negative";
  CHECK(complaint(coverage, [](auto& a) { a.floor_units = -1; }) == negative);
  CHECK(complaint(coverage, [](auto& a) { a.most_units = -1; }) == negative);
  for (double share : {-0.1, 1.1, std::numeric_limits<double>::quiet_NaN()})
    CHECK(complaint(coverage, [share](auto& a) { a.share = share; }) == "coverage: share must be in [0, 1]");

  lacuna::SoftenArgs soften;
  soften.scores = coverage.scores;
  soften.candidates = coverage.counts;
  for (int axis : {0, 1})
    CHECK(complaint(soften, [axis](auto& a) { a.candidates.extents[axis] = 2; }) ==
          "soften: candidates must have one entry per row of scores");
  CHECK(complaint(soften, [](auto& a) { a.scores.strides[2] = 2; }) == "soften: the last axis of scores must be dense");
}

}  // namespace
