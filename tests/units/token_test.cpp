#include "lacuna/units/token.hpp"

#include <limits>
#include <string>
#include <vector>

#include "reference/ranking.hpp"
#include "support/catch.hpp"
#include "support/index_case.hpp"
#include "support/memory.hpp"
#include "support/sizes.hpp"

namespace {

using lacuna::Token;
using reference::Units;

constexpr float kInf = std::numeric_limits<float>::infinity();

TEST_CASE("token unit: one token is one unit", "[units]") {
  CHECK(Token{}.count(17) == 17);
  CHECK(Token{}.tokens(17) == 17);
  CHECK(Token{}.candidates(17) == 17);
  CHECK(Token{}.candidates(0) == 0);
}

TEST_CASE("token unit: anchors are the first and the last tokens of each head's own length", "[units]") {
  support::ProblemCase<float> c(support::make_inputs<float>({1, 8, 2, 1, 4}, support::Data::random, 1));
  std::vector<std::int32_t> const lens{8, 5};
  c.kv().lens = lens.data();
  std::vector<float> memory(16, 0.0F);
  Token{}.anchor(c.problem(), 1, 2, lacuna::dense_view<float, 3>(memory.data(), {2, 1, 8}));
  CHECK(memory == std::vector<float>{kInf, 0, 0, 0, 0, 0, kInf, kInf, kInf, 0, 0, kInf, kInf, 0, 0, 0});
  Token{}.anchor(c.problem(), 100, 100, lacuna::dense_view<float, 3>(memory.data(), {2, 1, 8}));
  for (std::size_t token = 0; token < 16; ++token) CHECK((memory[token] == kInf) == (token < 13));
}

/// An index and the scratch to pick into it, for a problem of 1 query.
struct Fixture {
  support::ProblemCase<float> c{support::make_inputs<float>({1, 8, 2, 1, 4}, support::Data::random, 1)};
  support::GuardedMemory index_memory{4096}, scratch{4096};
  std::vector<float> scores{5, 1, 5, 0, 5, 2, 5, 1, 0, 1, 2, 3, 4, 5, 6, 7};
  std::vector<std::int32_t> counts{3, 2};

  lacuna::TokenIndex make_index(std::int64_t most) {
    lacuna::Workspace memory = index_memory.workspace();
    return Token{}.make_index({1, 8, 2, 2, 4}, 2, {most}, memory);
  }
  std::string pick(lacuna::TokenIndex& index) {
    return Token{}
        .pick(lacuna::Cpu{}, c.problem(), lacuna::dense_view<float, 3>(scores.data(), {2, 1, 8}),
              lacuna::dense_view<std::int32_t, 2>(counts.data(), {2, 1}), scratch.workspace(), index)
        .message;
  }
};

TEST_CASE("token unit: picks the best of each head, ties to the lower token", "[units]") {
  Fixture f;
  auto index = f.make_index(3);
  REQUIRE(f.pick(index) == "");
  CHECK(support::units_of(index.tokens, 0, index.counts(0)) == Units{0, 2, 4});
  CHECK(support::units_of(index.tokens, 1, index.counts(1)) == Units{6, 7});
  CHECK(index.lens(1) == 8);
}

TEST_CASE("token unit: a shorter head chooses among its own tokens", "[units]") {
  Fixture f;
  std::vector<std::int32_t> const lens{8, 5};
  f.c.kv().lens = lens.data();
  auto index = f.make_index(3);
  REQUIRE(f.pick(index) == "");
  CHECK(support::units_of(index.tokens, 1, index.counts(1)) == Units{3, 4});
}

TEST_CASE("token unit: keeping all, and an index that has no room or another shape", "[units]") {
  Fixture f;
  auto index = f.make_index(8);
  REQUIRE(Token{}.keep_all(f.c.problem(), index));
  CHECK(support::units_of(index.tokens, 1, index.counts(1)) == reference::both_ends(8, 8, 0));
  auto small = f.make_index(2);
  CHECK(std::string(Token{}.keep_all(f.c.problem(), small).message) == "token: the index has no room for every token");
  CHECK(f.pick(small) == "pick_top: the index has no room for that many units; plan for this shape and budget");
  lacuna::TokenIndex none{};
  CHECK(f.pick(none) == "token: the index must have one row per KV head");
}

}  // namespace
