#include "lacuna/cost/solve_density.hpp"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>
#include <vector>

#include "support/catch.hpp"

namespace {

using namespace lacuna;
using Counts = std::vector<std::int64_t>;

// The densities that the study's settings were solved for; the seven of Block-Sparse end in 1/3 and 1/2.
std::vector<double> const kTenDensities{0.05, 0.0667, 0.1, 0.1333, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7};
std::vector<double> const kSevenDensities{1.0 / 20, 1.0 / 15, 1.0 / 10, 2.0 / 15, 1.0 / 5, 1.0 / 3, 1.0 / 2};

TEST_CASE("solve: Block-Sparse at 16384 tokens gives the study's row, both ways", "[cost][golden]") {
  Counts bisected, rounded;
  for (double density : kSevenDensities) {
    bisected.push_back(block_sparse_top_k(1024, density));
    rounded.push_back(std::llround(block_sparse_top_k_exact(1024, density)));
  }
  Counts const golden{26, 35, 53, 71, 108, 188, 300};
  CHECK(bisected == golden);
  CHECK(rounded == golden);
  static_assert(block_sparse_top_k(1024, 0.1) == 53);
}

TEST_CASE("solve: the sparsities of the study's Block-Sparse row", "[cost][golden]") {
  std::vector<double> const golden{.9499, .9328, .8992, .8662, .8003, .6667, .5001};
  Counts const top_k{26, 35, 53, 71, 108, 188, 300};
  for (std::size_t i = 0; i < golden.size(); ++i)
    CHECK(1.0 - block_sparse_density(1024, top_k[i]) == Approx(golden[i]).epsilon(0.0).margin(5.001e-5));
}

TEST_CASE("solve: no other top_k is nearer, few blocks keep all", "[cost]") {
  for (std::int64_t blocks = 1; blocks < 60; ++blocks)
    for (double density : {0.0, 0.03, 0.2, 0.5, 0.77, 1.0}) {
      std::int64_t const k = block_sparse_top_k(blocks, density);
      double nearest = 2.0;
      for (std::int64_t other = std::min<std::int64_t>(3, blocks); other <= blocks; ++other)
        nearest = std::min(nearest, std::abs(block_sparse_density(blocks, other) - density));
      CAPTURE(blocks, density, k);
      REQUIRE(std::abs(block_sparse_density(blocks, k) - density) == nearest);
    }
  CHECK(block_sparse_density(10, 11) == 1.0);
  CHECK(block_sparse_density(0, 3) == 1.0);
}

TEST_CASE("solve: SnapKV's capacities", "[cost][golden]") {
  auto const row = [](std::int64_t len) {
    Counts tokens;
    for (double density : kTenDensities) tokens.push_back(snap_kv_capacity(len, density));
    return tokens;
  };
  CHECK(row(16384) == Counts{819, 1092, 1638, 2183, 3276, 4915, 6553, 8192, 9830, 11468});
  CHECK(row(32768) == Counts{1638, 2185, 3276, 4367, 6553, 9830, 13107, 16384, 19660, 22937});
  CHECK(row(65536) == Counts{3276, 4371, 6553, 8735, 13107, 19660, 26214, 32768, 39321, 45875});
  CHECK(snap_kv_capacity(100, 0.29) == 29);
  CHECK(snap_kv_capacity(1000, 1.0 - 0.9) == 100);
  CHECK(snap_kv_capacity(1000, 0.0999) == 99);
}

TEST_CASE("solve: Quest's budgets are whole pages", "[cost][golden]") {
  auto const row = [](std::int64_t len) {
    Counts tokens;
    for (double density : kTenDensities) tokens.push_back(quest_budget_tokens(len, density, 16));
    return tokens;
  };
  CHECK(row(16384) == Counts{816, 1088, 1632, 2176, 3280, 4912, 6560, 8192, 9824, 11472});
  CHECK(row(32768) == Counts{1632, 2192, 3280, 4368, 6560, 9824, 13104, 16384, 19664, 22944});
  CHECK(row(65536) == Counts{3280, 4368, 6560, 8736, 13104, 19664, 26208, 32768, 39328, 45872});
  CHECK(row(128000) == Counts{6400, 8544, 12800, 17056, 25600, 38400, 51200, 64000, 76800, 89600});
}

TEST_CASE("solve: what Quest reads, the current page included", "[cost][golden]") {
  CHECK(quest_kept_tokens(144, 128, 16) == 144);
  CHECK(quest_kept_tokens(145, 128, 16) == 129);
  CHECK(quest_kept_tokens(1000, 128, 16) == 136);
  CHECK(quest_kept_tokens(1024, 128, 16) == 144);
  CHECK(quest_kept_tokens(0, 128, 16) == 0);
  CHECK(quest_kept_tokens(5, 128, 16) == 5);
}

TEST_CASE("solve: bisection finds the nearest, measures nothing twice, and few in all", "[cost]") {
  for (std::int64_t low : {0, 7})
    for (double target : {-1.0, 0.0, 0.123, 0.5, 0.99, 2.0}) {
      std::set<std::int64_t> measured;
      auto const density = [](std::int64_t k) { return static_cast<double>(k * k) / 1e6; };
      DensitySolution const found = solve_for_density(target, low, 1000, [&](std::int64_t k) {
        REQUIRE(measured.insert(k).second);
        return density(k);
      });
      double nearest = 1e9;
      for (std::int64_t k = low; k <= 1000; ++k) nearest = std::min(nearest, std::abs(density(k) - target));
      CAPTURE(low, target, found.parameter);
      CHECK(found.density == density(found.parameter));
      CHECK(std::abs(found.density - target) == nearest);
      CHECK(measured.size() <= 10);
    }
  CHECK(solve_for_density(0.5, 3, 3, [](std::int64_t) { return 0.9; }).parameter == 3);
}

TEST_CASE("solve: Vertical-Slash, the least and the most that tiles can cover", "[cost]") {
  DensityRange const range = vertical_slash_density_range(16384, 164, 164);
  CHECK(range.least == Approx(0.041).margin(5e-4));  // simulated with diagonals in one run
  CHECK(range.most > 0.38);                          // simulated with random ones, about half of the most
  CHECK(0.5 * range.most == Approx(0.38).margin(0.05));
  CHECK(vertical_slash_density_range(1000, 900, 900).most == 1.0);
}

TEST_CASE("solve: the study's Vertical-Slash settings lie within their brackets", "[cost][golden]") {
  std::vector<std::pair<std::int64_t, Counts>> const settings{
      {16384, {164, 240, 315, 400, 448, 576, 768, 1024, 1536, 2304}},
      {32768, {290, 384, 448, 576, 704, 1024, 1536, 2304, 3584, 4608}},
      {65536, {400, 448, 544, 640, 960, 1280, 2304, 4096, 6144, 8192}},
      {128000, {480, 768, 1024, 1536, 2048, 3584, 5632, 10240, 13312, 18432}}};
  for (auto const& [len, row] : settings)
    for (std::size_t i = 0; i < row.size(); ++i) {
      auto const [low, high] = vertical_slash_bracket(len, kTenDensities[i]);
      CAPTURE(len, row[i], low, high);
      CHECK((low <= row[i] && row[i] <= high));
      double const target = kTenDensities[i];
      // Nothing outside could do: just below, the most is still too little; just above, the least is too much.
      if (low > 64) CHECK(vertical_slash_density_range(len, low - 1, low - 1).most < target);
      CHECK(vertical_slash_density_range(len, high + 1, high + 1).least > target);
    }
  auto const [low, high] = vertical_slash_bracket(100, 0.001);
  CHECK((low == 64 && high == 64));
}

}  // namespace
