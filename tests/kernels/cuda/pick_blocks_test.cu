#include "lacuna/kernels/pick_blocks.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "lacuna/kernels/pick_top.hpp"
#include "support/batch_case.hpp"
#include "support/catch.hpp"
#include "support/inputs.hpp"

namespace {

enum class Kind { normal, ties, special, octaves };

float draw(Kind kind, support::Random& random) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  float const special[] = {kInf, -kInf, std::nanf(""), -std::nanf(""), 0.0F, -0.0F, 1e-40F, -1e-40F, 3e38F, -3e38F};
  switch (kind) {
    case Kind::normal: return static_cast<float>(random.normal());
    case Kind::ties: return static_cast<float>(random.below(4)) - 1.0F;
    case Kind::special: return special[random.below(10)];
    case Kind::octaves:
      return static_cast<float>(std::ldexp(random.normal(), static_cast<int>(random.below(200)) - 100));
  }
  return 0.0F;
}

/// The picks of the CPU, for the same scores: bit for bit.
void equals_the_cpu(Kind kind, std::vector<support::Sizes> const& sizes, std::int64_t tokens, std::int64_t room) {
  CAPTURE(static_cast<int>(kind), tokens, room);
  using T = lacuna::bfloat16;
  std::vector<reference::Inputs> inputs;
  for (auto const& s : sizes) inputs.push_back(support::make_inputs<T>(s, support::Data::random, 3));
  support::BatchCase<T> const c(inputs);
  auto const problem = c.problem();
  std::int64_t const heads = problem.heads_q(), blocks = (problem.max_len_k + tokens - 1) / tokens;
  std::int64_t const rows = lacuna::BlockIndex::first_row(problem.batch, problem.tokens_q(), tokens);
  std::int64_t const wide = (blocks + 3) / 4 * 4;
  support::Random random(static_cast<std::uint64_t>(blocks + room));
  std::vector<float> scores;
  std::vector<std::int32_t> counts;
  for (std::int64_t i = 0; i < heads * rows * wide; ++i) scores.push_back(draw(kind, random));
  for (std::int64_t i = 0; i < heads * rows; ++i) counts.push_back(static_cast<std::int32_t>(random.below(room + 3)));
  support::DeviceArray<float> d_scores(scores);
  support::DeviceArray<std::int32_t> d_counts(counts), d_blocks(static_cast<std::size_t>(heads * rows * room)),
      d_kept(counts.size());
  lacuna::BlockIndex index;
  index.blocks = lacuna::dense_view<std::int32_t, 2>(d_blocks.data(), {heads, rows * room});
  index.counts = lacuna::dense_view<std::int32_t, 2>(d_kept.data(), {heads, rows});
  index.block_tokens = tokens;
  index.room = room;
  support::Stream stream;
  for (std::int64_t first = 0; first < rows; first += 19) {
    std::int64_t const count = std::min<std::int64_t>(19, rows - first);
    auto const s = lacuna::pick_blocks(
        lacuna::Cuda{stream},
        lacuna::PickBlocksBatchArgs<T>{problem,
                                       {d_scores.data() + first * wide, {heads, count, wide}, {rows * wide, wide, 1}},
                                       {d_counts.data() + first, {heads, count}, {rows, 1}},
                                       first,
                                       index});
    CAPTURE(s.message);
    REQUIRE(s);
  }
  stream.wait();
  auto const got = d_blocks.download(), kept = d_kept.download();
  REQUIRE(d_blocks.guards_untouched());
  REQUIRE(d_kept.guards_untouched());

  std::vector<std::int32_t> expected(static_cast<std::size_t>(room));
  std::vector<float> scratch(static_cast<std::size_t>(blocks) + 64);
  std::int64_t first_query = 0;
  for (std::size_t b = 0; b < inputs.size(); first_query += inputs[b].len_q, ++b) {
    auto const& in = inputs[b];
    if (in.len_q == 0) continue;
    std::int64_t const first_block = (in.len_k - in.len_q) / tokens;
    for (std::int64_t head = 0; head < heads; ++head)
      for (std::int64_t m = first_block; m <= (in.len_k - 1) / tokens; ++m) {
        std::int64_t const row =
            lacuna::BlockIndex::first_row(static_cast<std::int64_t>(b), first_query, tokens) + m - first_block;
        std::size_t const at = static_cast<std::size_t>(head * rows + row);
        std::int32_t wanted = static_cast<std::int32_t>(std::min<std::int64_t>(counts[at], room)), number = 0;
        auto const s = lacuna::pick_top(
            lacuna::Cpu{},
            {lacuna::dense_view<float const, 2>(scores.data() + static_cast<std::int64_t>(at) * wide, {1, m + 1}),
             lacuna::dense_view<std::int32_t const, 1>(&wanted, {1}),
             {},
             lacuna::dense_view<std::int32_t, 2>(expected.data(), {1, room}),
             lacuna::dense_view<std::int32_t, 1>(&number, {1}),
             {scratch.data(), scratch.size() * sizeof(float)}});
        REQUIRE(s);
        CAPTURE(b, head, m, wanted);
        REQUIRE(kept[at] == number);
        REQUIRE(std::equal(expected.begin(), expected.begin() + number,
                           got.begin() + static_cast<std::int64_t>(at) * room));
      }
  }
}

TEST_CASE("cuda pick blocks: what the CPU picks from the same scores", "[kernels]") {
  for (Kind kind : {Kind::normal, Kind::ties, Kind::special, Kind::octaves}) {
    equals_the_cpu(kind, {{90, 200, 1, 2, 64}, {0, 8, 1, 2, 64}, {40, 40, 1, 2, 64}, {1, 77, 1, 2, 64}}, 16, 5);
    equals_the_cpu(kind, {{64, 1500, 1, 1, 64}}, 8, 40);
    equals_the_cpu(kind, {{64, 9000, 1, 1, 64}}, 8, 200);
    equals_the_cpu(kind, {{64, 27000, 1, 1, 64}}, 8, 500);
    equals_the_cpu(kind, {{32, 60000, 1, 1, 64}}, 8, 700);
    equals_the_cpu(kind, {{16, 100000, 1, 1, 64}}, 8, 900);
  }
}

}  // namespace

// For the tests of whole methods, which do not compile it again (support/cuda_doors.hpp).
template lacuna::Status lacuna::pick_blocks<lacuna::bfloat16>(lacuna::Cuda,
                                                              lacuna::PickBlocksBatchArgs<lacuna::bfloat16> const&);
