#include "reference/vertical_slash.hpp"

#include <algorithm>
#include <set>

#include "reference/golden.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace {

using reference::Keys;
using reference::Units;

TEST_CASE("reference vertical-slash: the three golden conversions", "[reference]") {
  for (auto const& golden : reference::conversion_goldens()) {
    CAPTURE(golden.len);
    for (std::size_t m = 0; m < golden.rows.size(); ++m) {
      CAPTURE(m);
      auto const row = reference::convert_row(golden.vertical, golden.slash, static_cast<std::int64_t>(m), 64);
      CHECK(row.tiles == golden.rows[m].tiles);
      CHECK(row.columns == golden.rows[m].columns);
    }
  }
}

TEST_CASE("reference vertical-slash: density and the paper's sparsity of the second golden", "[reference]") {
  auto const golden = reference::conversion_goldens()[1];
  double kept = 0.0;
  for (std::int64_t i = 0; i < golden.len; ++i)
    kept += static_cast<double>(reference::vertical_slash_keys(golden.vertical, golden.slash, i, 64).size());
  CHECK(kept / (256.0 * 257.0 / 2.0) == Approx(0.928).margin(5e-4));
  CHECK(reference::vertical_slash_paper_sparsity(golden.vertical, golden.slash, 256, 64) ==
        Approx(-0.255).margin(5e-4));
  CHECK(reference::vertical_slash_paper_sparsity({0, 1, 2, 3}, reference::first_offsets(64), 64, 64) ==
        Approx(-0.969).margin(5e-4));
}

TEST_CASE("reference vertical-slash: invariants of the conversion on random choices", "[reference]") {
  support::Random random(1);
  for (int round = 0; round < 200; ++round) {
    std::int64_t const tile = std::vector<std::int64_t>{8, 16, 64}[static_cast<std::size_t>(random.below(3))];
    std::int64_t const len = tile + random.below(6 * tile);
    Units const vertical = random.subset(len, 0.1);
    Units slash = random.subset(len, random.uniform() * 0.2);
    if (slash.empty() || slash[0] != 0) slash.insert(slash.begin(), 0);
    CAPTURE(round, tile, len);
    for (std::int64_t m = 0; m * tile < len; ++m) {
      auto const row = reference::convert_row(vertical, slash, m, tile);
      std::int64_t const end = (m + 1) * tile;
      REQUIRE(row.tiles.size() <= slash.size());
      REQUIRE(row.columns.size() <= vertical.size());
      for (std::size_t r = 1; r < row.tiles.size(); ++r) REQUIRE(row.tiles[r] >= row.tiles[r - 1] + tile);
      REQUIRE(row.tiles.back() + tile >= end);
      REQUIRE(row.tiles.back() + tile < end + tile);
      for (std::int64_t v : row.columns) REQUIRE(v < m * tile);
    }
    for (std::int64_t i = 0; i < len; ++i) {
      Keys const keys = reference::vertical_slash_keys(vertical, slash, i, tile);
      std::set<std::int64_t> const once(keys.begin(), keys.end());
      REQUIRE(once.size() == keys.size());
      REQUIRE(keys.back() == i);
      for (std::int64_t o : slash)
        if (o <= i) REQUIRE(once.count(i - o) == 1);
      for (std::int64_t v : vertical)
        if (v <= i) REQUIRE(once.count(v) == 1);
    }
  }
}

TEST_CASE("reference vertical-slash: scores of one head by hand", "[reference]") {
  // Zero queries attend evenly: row 1 gives 1/2 to keys 0 and 1, row 2 gives 1/3 to keys 0, 1 and 2.
  reference::Inputs const in{3, 3, 1, 1, 1, {0, 0, 0}, {1, 2, 3}, {0, 0, 0}};
  auto const scores = reference::vertical_slash_scores(in, 0, 2);
  std::vector<double> const columns{5.0 / 6, 5.0 / 6, 1.0 / 3};
  std::vector<double> const slashes{5.0 / 6, 5.0 / 6, 1.0 / 3};
  for (std::size_t j = 0; j < 3; ++j) {
    CHECK(scores.columns[j] == Approx(columns[j]));
    CHECK(scores.slashes[j] == Approx(slashes[j]));
  }
}

TEST_CASE("reference vertical-slash: a window longer than the prompt is the whole prompt", "[reference]") {
  reference::Inputs const in{3, 3, 1, 1, 1, {0, 0, 0}, {1, 2, 3}, {0, 0, 0}};
  CHECK(reference::vertical_slash_scores(in, 0, 3).columns == reference::vertical_slash_scores(in, 0, 99).columns);
}

TEST_CASE("reference vertical-slash: where dense runs instead", "[reference]") {
  CHECK(reference::vertical_slash_is_dense(63, 16, 8, 64));
  CHECK(reference::vertical_slash_is_dense(100, 1, 8, 64));
  CHECK(reference::vertical_slash_is_dense(100, 16, 100, 64));
  CHECK_FALSE(reference::vertical_slash_is_dense(100, 16, 99, 64));
}

}  // namespace
