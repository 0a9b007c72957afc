#include "lacuna/index/density.hpp"

#include <vector>

#include "reference/golden.hpp"
#include "reference/quest.hpp"
#include "support/catch.hpp"
#include "support/index_case.hpp"
#include "support/random.hpp"
#include "support/vertical_slash_case.hpp"

namespace {

using lacuna::density;

TEST_CASE("density: vertical-slash counts exactly the pairs that the oracle keeps", "[index]") {
  support::Random random(13);
  for (int round = 0; round < 100; ++round) {
    std::int64_t const tile = std::vector<std::int64_t>{8, 16, 64}[static_cast<std::size_t>(random.below(3))];
    std::int64_t const len = 1 + random.below(5 * tile), len_q = 1 + random.below(len);
    reference::Units const columns = random.subset(len, 0.2);
    reference::Units const one = support::random_slash(random, len), other = support::random_slash(random, len);
    support::VerticalSlashCase by_hand({columns, {}}, {one, other}, len, tile);
    for (std::int64_t rows : {len, len_q}) {
      CAPTURE(round, tile, len, rows);
      by_hand.index().len_q = rows;
      double kept = 0.0, dense = 0.0;
      for (std::int64_t i = len - rows; i < len; ++i) {
        kept += static_cast<double>(by_hand.keys(0, i).size() + by_hand.keys(1, i).size());
        dense += 2.0 * static_cast<double>(i + 1);
      }
      REQUIRE(density(by_hand.index()) == Approx(kept / dense).epsilon(1e-12));
    }
  }
}

TEST_CASE("density: the paper's sparsity of whole tiles, negative on short prompts", "[index]") {
  auto const golden = reference::conversion_goldens()[1];
  support::VerticalSlashCase by_hand({golden.vertical}, {golden.slash}, golden.len, 64);
  CHECK(lacuna::paper_sparsity(by_hand.index()) == Approx(-0.255).margin(5e-4));
  CHECK(density(by_hand.index()) == Approx(0.928).margin(5e-4));
  support::VerticalSlashCase one_tile({{0, 1, 2, 3}}, {reference::first_offsets(64)}, 64, 64);
  CHECK(lacuna::paper_sparsity(one_tile.index()) == Approx(1.0 - 4096.0 / 2080.0));
}

TEST_CASE("density: pages and tokens against what is held", "[index]") {
  support::IdTable pages({{0, 3}, {1, 2, 3}});
  std::vector<std::int32_t> lens{14, 14};
  auto const held = lacuna::dense_view<std::int32_t, 1>(lens.data(), {2});
  CHECK(density(lacuna::PageIndex{pages.ids(), pages.counts(), held, 4}) == Approx((6.0 + 10.0) / 28.0));
  support::IdTable tokens({{0, 3, 5}, {}});
  CHECK(density(lacuna::TokenIndex{tokens.ids(), tokens.counts(), held}) == Approx(3.0 / 28.0));
}

TEST_CASE("density: dense and empty are one", "[index]") {
  CHECK(density(lacuna::DenseIndex{3, 5, 2}) == 1.0);
  CHECK(density(lacuna::TokenIndex{}) == 1.0);
  CHECK(density(lacuna::PageIndex{}) == 1.0);
  support::VerticalSlashCase nothing({{}}, {{}}, 0, 8);
  CHECK(density(nothing.index()) == 1.0);
}

TEST_CASE("density: the papers' token formula is not clamped", "[index]") {
  CHECK(lacuna::paper_sparsity(128, 512) == 0.75);
  CHECK(lacuna::paper_sparsity(1024, 512) == -1.0);
  CHECK(lacuna::paper_sparsity(16, 0) == 0.0);
}

}  // namespace
