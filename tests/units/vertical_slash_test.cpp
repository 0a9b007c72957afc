#include "lacuna/units/vertical_slash.hpp"

#include <limits>
#include <string>
#include <vector>

#include "reference/ranking.hpp"
#include "support/catch.hpp"
#include "support/index_case.hpp"
#include "support/memory.hpp"
#include "support/sizes.hpp"

namespace {

using lacuna::VerticalSlashUnit;
using reference::Units;

constexpr float kInf = std::numeric_limits<float>::infinity();

/// One head of ten tokens, tile 4.
struct Fixture {
  VerticalSlashUnit<4> unit;
  support::ProblemCase<float> c{support::make_inputs<float>({10, 10, 1, 1, 4}, support::Data::random, 1)};
  support::GuardedMemory index_memory{4096}, scratch{4096};
  std::vector<float> scores = {0, 0, 3, 0, 0, 0, 0, 0, 3, 0, 9, 8, 0, 0, 0, 7, 0, 0, 0, 0};
  std::vector<std::int32_t> counts{2, 3};

  lacuna::VerticalSlashIndex make_index(std::int64_t columns, std::int64_t diagonals) {
    lacuna::Workspace memory = index_memory.workspace();
    return unit.make_index({10, 10, 1, 1, 4}, 1, {columns, diagonals}, memory);
  }
  std::string pick(lacuna::VerticalSlashIndex& index) {
    return unit
        .pick(lacuna::Cpu{}, c.problem(), lacuna::dense_view<float, 3>(scores.data(), {1, 2, 10}),
              lacuna::dense_view<std::int32_t, 2>(counts.data(), {1, 2}), scratch.workspace(), index)
        .message;
  }
};

TEST_CASE("vertical-slash unit: picks columns and diagonals apart", "[units]") {
  Fixture f;
  auto index = f.make_index(2, 3);
  REQUIRE(f.pick(index) == "");
  CHECK(support::units_of(index.columns, 0, index.counts(0, 0)) == Units{2, 8});
  CHECK(support::units_of(index.diagonals, 0, index.counts(0, 1)) == Units{0, 1, 5});
  CHECK(index.tile == 4);
  CHECK(index.len_k == 10);
}

TEST_CASE("vertical-slash unit: anchors are the first columns and the nearest diagonals", "[units]") {
  Fixture f;
  f.scores.assign(20, 0.0F);
  f.unit.anchor(f.c.problem(), 2, 3, lacuna::dense_view<float, 3>(f.scores.data(), {1, 2, 10}));
  for (std::size_t unit = 0; unit < 20; ++unit)
    CHECK((f.scores[unit] == kInf) == (unit < 2 || (unit >= 10 && unit < 13)));
}

TEST_CASE("vertical-slash unit: a budget that covers the prompt keeps every column", "[units]") {
  Fixture f;
  f.counts = {2, 10};
  auto index = f.make_index(2, 10);
  REQUIRE(f.pick(index) == "");
  CHECK(support::units_of(index.columns, 0, index.counts(0, 0)) == reference::both_ends(10, 10, 0));
  CHECK(support::units_of(index.diagonals, 0, index.counts(0, 1)) == Units{0});
}

TEST_CASE("vertical-slash unit: an index that does not fit is refused", "[units]") {
  Fixture f;
  auto small = f.make_index(2, 3);
  CHECK(std::string(f.unit.keep_all(f.c.problem(), small).message) ==
        "vertical_slash: the index has no room for every column; plan for this shape");
  auto other = f.make_index(2, 3);
  other.tile = 64;
  CHECK(f.pick(other) == "vertical_slash: the index has another tile");
  lacuna::VerticalSlashIndex none{};
  CHECK(f.pick(none) == "vertical_slash: the index must have one row per query head or per KV head");
  support::ProblemCase<float> ragged(support::make_inputs<float>({1, 10, 2, 1, 4}, support::Data::random, 1));
  std::vector<std::int32_t> const lens{10, 9};
  ragged.kv().lens = lens.data();
  lacuna::Workspace memory = f.index_memory.workspace();
  auto two = f.unit.make_index({1, 10, 2, 2, 4}, 2, {10, 10}, memory);
  CHECK(std::string(f.unit.keep_all(ragged.problem(), two).message) ==
        "vertical_slash: every KV head must hold the same tokens");
}

}  // namespace
