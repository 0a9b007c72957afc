#include <string>
#include <vector>

#include "lacuna/kernels/attend_blocks.hpp"
#include "support/batch_blocks.hpp"
#include "support/batch_run.hpp"
#include "support/catch.hpp"
#include "support/on_path.hpp"

namespace {

using lacuna::bfloat16;
using lacuna::half;
using support::BatchBlocks;
using support::BatchCase;
using support::Data;
using support::Layout;
using support::Lengths;
using support::Masks;
using support::Sizes;

template <class T>
std::string attend(BatchCase<T>& c, BatchBlocks const& kept) {
  auto const problem = c.problem();
  auto const index = kept.index();
  return support::run_on_device(
      c,
      [&](lacuna::Cuda exec, lacuna::Workspace& w) {
        lacuna::reserve_attend_blocks(exec, lacuna::shape_of(problem), index.heads(), index.block_tokens, index.room,
                                      w);
      },
      [&](lacuna::Cuda exec, lacuna::Workspace w) {
        return lacuna::attend_blocks(exec, lacuna::AttendBlocksBatchArgs<T>{problem, index, c.out(), w});
      });
}

struct Choice {
  std::int64_t block_tokens;
  bool shared;
};

template <class T>
void equals_the_oracle(std::vector<Lengths> const& lengths, Sizes const& heads, Choice choice, Data data = Data::random,
                       Masks masks = {}, Layout layout = {}) {
  CAPTURE(name_of(data), heads.dim, heads.group, choice.block_tokens, choice.shared, masks.window_tokens,
          masks.soft_cap, masks.sinks, layout.page_tokens, layout.padding);
  auto const inputs = support::make_batch<T>(lengths, heads, data, masks);
  BatchCase<T> c(inputs, layout);
  BatchBlocks const kept(inputs, choice.shared ? heads.heads_kv : heads.heads_kv * heads.group, choice.block_tokens,
                         0.6, static_cast<std::uint64_t>(choice.block_tokens));
  for (lacuna::cuda::Path path : support::kPaths) {
    support::OnPath const on_path(path);
    CAPTURE(static_cast<int>(path));
    REQUIRE(attend(c, kept) == "");
    REQUIRE(support::explain_batch(
                c,
                [&](std::size_t b, std::int64_t head, std::int64_t row) { return kept.keys(b, inputs[b], head, row); },
                data) == "");
  }
}

std::vector<Lengths> const kRagged{{65, 65},  {1, 1},    {0, 0},     {17, 130}, {63, 200}, {0, 40},
                                   {64, 128}, {15, 257}, {129, 129}, {2, 2},    {200, 391}};

TEST_CASE("cuda attend blocks: ragged batches and every size of block equal the oracle", "[cuda]") {
  for (std::int64_t block : {8, 16, 32, 64, 128})
    for (bool shared : {false, true}) {
      equals_the_oracle<bfloat16>(kRagged, {0, 0, 2, 4, 128}, {block, shared});
      equals_the_oracle<half>(kRagged, {0, 0, 1, 5, 64}, {block, shared});
      equals_the_oracle<bfloat16>(kRagged, {0, 0, 1, 2, 256}, {block, shared});
    }
}

TEST_CASE("cuda attend blocks: every group equals the oracle", "[cuda]") {
  for (std::int64_t group : {1, 2, 3, 5, 7, 8, 16})
    for (std::int64_t block : {16, 64})
      for (bool shared : {false, true}) equals_the_oracle<bfloat16>(kRagged, {0, 0, 1, group, 64}, {block, shared});
}

template <class T>
std::string attend_grouped(BatchCase<T>& c, BatchBlocks const& kept, lacuna::cuda::UnionGroup group) {
  auto const problem = c.problem();
  auto const index = kept.index();
  return support::run_on_device(
      c,
      [&](lacuna::Cuda exec, lacuna::Workspace& w) {
        lacuna::cuda::reserve_attend_union(exec, lacuna::shape_of(problem), index.block_tokens, index.room, w, &group);
      },
      [&](lacuna::Cuda exec, lacuna::Workspace w) {
        return lacuna::cuda::attend_union(exec, problem, index, c.out(), w, &group);
      });
}

TEST_CASE("cuda attend blocks: which units share a tile does not change a bit", "[cuda]") {
  for (std::int64_t group : {4, 5})
    for (std::int64_t block : {16, 32}) {
      auto const inputs = support::make_batch<bfloat16>(kRagged, {0, 0, 2, group, 128}, Data::random);
      BatchCase<bfloat16> c(inputs);
      BatchBlocks const kept(inputs, 2 * group, block, 0.8);
      std::vector<bfloat16> first;
      for (lacuna::cuda::Path path : support::kPaths)
        for (lacuna::cuda::UnionGroup units :
             {lacuna::cuda::UnionGroup{8, 1}, {1, 1}, {2, 4}, {4, 2}, {3, 2}, {1, 5}}) {
          CAPTURE(group, block, units.blocks, units.heads, static_cast<int>(path));
          support::OnPath const on_path(path);
          REQUIRE(attend_grouped(c, kept, units) == "");
          if (first.empty()) first = c.out_bits();
          REQUIRE(c.out_bits() == first);
        }
    }
}

TEST_CASE("cuda attend blocks: windows, caps and sinks equal the oracle", "[cuda]") {
  for (Masks const& masks : {Masks{50, 0.0, true}, Masks{64, 20.0, false}, Masks{0, 5.0, true}, Masks{1, 0.0, true}})
    for (std::int64_t block : {16, 64, 128})
      equals_the_oracle<bfloat16>(kRagged, {0, 0, 1, 3, 128}, {block, false}, Data::random, masks);
}

TEST_CASE("cuda attend blocks: tied, huge, tiny, NaN and infinite inputs equal the oracle", "[cuda]") {
  for (Data data : {Data::ties, Data::huge, Data::tiny, Data::nan_key, Data::infinite_query})
    for (std::int64_t block : {16, 64}) {
      equals_the_oracle<bfloat16>({{70, 150}, {150, 150}}, {0, 0, 1, 2, 128}, {block, false}, data);
      if (data != Data::huge) equals_the_oracle<half>({{70, 150}, {150, 150}}, {0, 0, 1, 4, 64}, {block, true}, data);
    }
}

TEST_CASE("cuda attend blocks: pages and padding equal the oracle", "[cuda]") {
  for (Layout const& layout : {Layout{true, 0, 0}, Layout{false, 8, 0}, Layout{false, 5, 0}, Layout{false, 0, 1},
                               Layout{false, 8, 16}, Layout{false, 0, 64}, Layout{false, 3, 48}})
    for (std::int64_t block : {16, 64})
      equals_the_oracle<bfloat16>(kRagged, {0, 0, 2, 2, 128}, {block, false}, Data::random, {}, layout);
}

}  // namespace

// For the tests of whole methods, which do not compile it again (support/cuda_doors.hpp).
template lacuna::Status lacuna::attend_blocks<lacuna::bfloat16>(lacuna::Cuda,
                                                                lacuna::AttendBlocksBatchArgs<lacuna::bfloat16> const&);
