// As refusals_decode_test.cu, of prefill.

#include <cstdint>
#include <string>

#include "lacuna/kernels/attend_blocks.hpp"
#include "lacuna/kernels/attend_vertical_slash.hpp"
#include "lacuna/kernels/group_mass.hpp"
#include "lacuna/kernels/pick_blocks.hpp"
#include "lacuna/kernels/pool_blocks.hpp"
#include "lacuna/kernels/pooled_scores.hpp"
#include "lacuna/kernels/window_scores.hpp"
#include "lacuna/selectors/group_shared.hpp"
#include "lacuna/units/block.hpp"
#include "lacuna/units/vertical_slash.hpp"
#include "support/catch.hpp"
#include "support/on_path.hpp"
#include "support/sound_batch.hpp"

namespace {

using namespace support;
using lacuna::bfloat16;
using lacuna::cuda::Path;

constexpr lacuna::Cuda kExec{};

/// What check_aligned() has to find in the problem of `door(problem)`.
template <class Door>
void check_rows(Door const& door, char const* sentence) {
  auto const said = [&](auto const& spoil) {
    auto problem = sound_batch<bfloat16>(64);
    spoil(problem);
    return std::string(door(problem).message);
  };
  CHECK(said([](auto& p) { p.q.data = nowhere<bfloat16 const>(4); }) == sentence);
  CHECK(said([](auto& p) { p.kv.k = nowhere<bfloat16 const>(4); }) == sentence);
  CHECK(said([](auto& p) { p.q.strides[0] += 4; }) == sentence);
  CHECK(said([](auto& p) { p.q.strides[1] += 4; }) == sentence);
  CHECK(said([](auto& p) { p.kv.stride_head = 68; }) == sentence);
  CHECK(said([](auto& p) { p.kv.stride_token = 132; }) == sentence);
  CHECK(said([](auto& p) { p.kv.stride_page = 4; }) == sentence);
}

TEST_CASE("refusals: window_scores", "[kernels]") {
  auto const door = [](lacuna::BatchProblem<bfloat16> const& problem) {
    lacuna::WindowScoresBatchArgs<bfloat16> args;
    args.problem = problem;
    args.columns = args.diagonals = unread<float, 2>({12, 4});
    return window_scores(kExec, args);
  };
  check_rows(door, "window_scores: rows must begin at multiples of 16 bytes");
  CHECK(door(sound_batch<bfloat16>(32)).message == std::string("window_scores: dim must be 64, 128 or 256"));
  CHECK(door(sound_batch<bfloat16>(64)).message == std::string("window_scores: the workspace is smaller than planned"));
}

lacuna::GroupMassBatchArgs<bfloat16> group_mass_args(lacuna::BatchProblem<bfloat16> const& problem) {
  lacuna::GroupMassBatchArgs<bfloat16> args;
  args.problem = problem;
  args.scores = unread<float, 3>({4, 7, 4});
  return args;
}

TEST_CASE("refusals: group_mass", "[kernels]") {
  auto const door = [](auto const& problem) { return group_mass(kExec, group_mass_args(problem)); };
  check_rows(door, "group_mass: rows must begin at multiples of 16 bytes");
  CHECK(door(sound_batch<bfloat16>(32)).message == std::string("group_mass: dim must be 64, 128 or 256"));
  // Below the door, which asks the device first which tiles it can hold.
  using Traits = lacuna::cuda::GroupMassTraits<bfloat16, 64, 64, 64>;
  CHECK(lacuna::cuda::launch_group_mass<Traits>(kExec, group_mass_args(sound_batch<bfloat16>(64))).message ==
        std::string("group_mass: the workspace is smaller than planned"));
}

TEST_CASE("refusals: pool_blocks and pooled_scores", "[kernels]") {
  auto const door = [](lacuna::BatchProblem<bfloat16> const& problem) {
    lacuna::PoolBlocksBatchArgs<bfloat16> args;
    args.problem = problem;
    args.queries = unread<bfloat16, 4>({4, 7, 2, problem.dim()});
    args.keys = unread<bfloat16, 4>({6, 1, 2, problem.dim()});
    return pool_blocks(kExec, args);
  };
  check_rows(door, "pool_blocks: rows must begin at multiples of 16 bytes");
  CHECK(door(sound_batch<bfloat16>(32)).message == std::string("pool_blocks: dim must be 64, 128 or 256"));

  lacuna::PooledScoresBatchArgs<bfloat16> scores;
  scores.problem = sound_batch<bfloat16>(32);
  scores.queries = unread<bfloat16 const, 4>({4, 7, 2, 32});
  scores.keys = unread<bfloat16 const, 4>({6, 1, 2, 32});
  scores.scores = unread<float, 3>({4, 7, 4});
  CHECK(pooled_scores(kExec, scores).message == std::string("pooled_scores: dim must be 64, 128 or 256"));
}

lacuna::AttendBlocksBatchArgs<bfloat16> blocks_args(std::int64_t dim = 64) {
  auto const problem = sound_batch<bfloat16>(dim);
  lacuna::BlockIndex index;
  index.room = 1;
  index.counts = unread<std::int32_t, 2>({4, 6});
  index.blocks = unread<std::int32_t, 2>({4, 6});
  return {problem, index, sound_out(problem), {}};
}

TEST_CASE("refusals: attend_blocks", "[kernels]") {
  auto const args = blocks_args();
  {
    OnPath const generic(Path::generic);
    CHECK(attend_blocks(kExec, args).message == std::string("attend_blocks: the workspace is smaller than planned"));
    for (lacuna::cuda::UnionGroup const& group : {lacuna::cuda::UnionGroup{0, 1}, {1, 0}, {1, 1000}, {1000, 1}})
      CHECK(lacuna::cuda::attend_union(kExec, args.problem, args.index, args.out, {}, &group).message ==
            std::string("attend_blocks: a tile has fewer units than its group"));
  }
  OnPath const hopper(Path::hopper);
  auto const odd = blocks_args(32);  // no kernel of any path has it
  CHECK(attend_blocks(kExec, odd).message ==
        std::string("path: Hopper's was not compiled for this device or does not serve these shapes and strides"));
  CHECK(lacuna::cuda::launch_flash_wgmma(kExec, odd.problem, odd.out, {}).message ==
        std::string("flash_wgmma: not compiled for this device"));
  CHECK(lacuna::cuda::launch_flash_wgmma(kExec, odd.problem, odd.out, odd.index, {}).message ==
        std::string("flash_wgmma: not compiled for this device"));
}

TEST_CASE("refusals: attend_vertical_slash", "[kernels]") {
  auto const problem = sound_batch<bfloat16>(64);
  lacuna::VerticalSlashIndex index;
  index.columns = index.diagonals = unread<std::int32_t, 2>({12, 4});
  index.counts = unread<std::int32_t, 2>({12, 2});
  lacuna::AttendVerticalSlashBatchArgs<bfloat16> const args{problem, index, sound_out(problem), {}};
  OnPath const generic(Path::generic);
  CHECK(attend_vertical_slash(kExec, args).message ==
        std::string("attend_vertical_slash: the workspace is smaller than planned"));
  CHECK(lacuna::cuda::launch_flash_wgmma(kExec, problem, args.out, index, {}).message ==
        std::string("flash_wgmma: scratch is too small"));
}

TEST_CASE("refusals: a unit and a selector with less memory than they reserved", "[kernels]") {
  auto const problem = sound_batch<bfloat16>(64);
  lacuna::VerticalSlashUnit<64> const unit;
  lacuna::VerticalSlashIndex index;
  CHECK(unit.pick(kExec, problem, unread<float, 3>({12, 2, 4}), unread<std::int32_t, 2>({12, 2}), {}, index).message ==
        std::string("vertical_slash: the workspace is smaller than planned"));

  struct Alike {
    std::int64_t heads(lacuna::Block<16> const&, lacuna::Shape const& shape) const { return shape.heads_q; }
    lacuna::Status score(lacuna::Cpu, lacuna::Block<16> const&, lacuna::Problem<float> const&, lacuna::Workspace,
                         lacuna::RowChunk const&, lacuna::Scores) const {
      return {};
    }
    lacuna::Status score(lacuna::Cuda, lacuna::Block<16> const&, lacuna::BatchProblem<bfloat16> const&,
                         lacuna::Workspace, lacuna::BatchChunk const&, lacuna::Counts, lacuna::Scores) const {
      return {};
    }
  };
  lacuna::GroupShared<Alike> const shared;
  CHECK(shared
            .score(kExec, lacuna::Block<16>{}, problem, {}, lacuna::BatchChunk{0, 6}, unread<std::int32_t, 2>({2, 6}),
                   unread<float, 3>({2, 6, 4}))
            .message == std::string("group_shared: the workspace is smaller than planned"));
}

}  // namespace
