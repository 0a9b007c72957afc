#include "lacuna/units/page.hpp"

#include <limits>
#include <string>
#include <vector>

#include "reference/quest.hpp"
#include "support/catch.hpp"
#include "support/index_case.hpp"
#include "support/memory.hpp"
#include "support/sizes.hpp"

namespace {

using lacuna::Page;
using reference::Units;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

TEST_CASE("page unit: candidates are the pages before the newest token's", "[units]") {
  Page<16> const page;
  for (std::int64_t len : {1, 15, 16, 17, 32, 33, 1000, 1024}) {
    CAPTURE(len);
    CHECK(page.candidates(len) == reference::current_page(len, 16));
  }
  CHECK(page.candidates(0) == 0);
  CHECK(page.count(0) == 0);
  CHECK(page.count(1) == 1);
  CHECK(page.count(16) == 1);
  CHECK(page.count(17) == 2);
  CHECK(page.tokens(3) == 48);
}

/// Pages of two tokens over two KV heads of ten tokens: four candidates, and the current page 4.
struct Fixture {
  Page<2> page;
  support::ProblemCase<float> c{support::make_inputs<float>({1, 10, 2, 2, 4}, support::Data::random, 1)};
  support::GuardedMemory index_memory{4096}, scratch{4096};
  std::vector<float> scores;
  std::vector<std::int32_t> counts;

  lacuna::PageIndex make_index(std::int64_t rows, std::int64_t most) {
    lacuna::Workspace memory = index_memory.workspace();
    return page.make_index({1, 10, 4, 2, 4}, rows, {most}, memory);
  }
  lacuna::Scores view() {
    std::int64_t const rows = static_cast<std::int64_t>(counts.size());
    return lacuna::dense_view<float, 3>(scores.data(), {rows, 1, 4});
  }
  lacuna::Status pick(lacuna::PageIndex& index, lacuna::Workspace memory) {
    std::int64_t const rows = static_cast<std::int64_t>(counts.size());
    return page.pick(lacuna::Cpu{}, c.problem(), view(), lacuna::dense_view<std::int32_t, 2>(counts.data(), {rows, 1}),
                     memory, index);
  }
};

TEST_CASE("page unit: picks the best pages and the current one on top", "[units]") {
  Fixture f;
  f.scores = {1, 2, 2, 2, kNan, 0, kNan, -1};
  f.counts = {2, 3};
  auto index = f.make_index(2, 3);
  REQUIRE(f.pick(index, f.scratch.workspace()));
  CHECK(support::units_of(index.pages, 0, index.counts(0)) == Units{1, 2, 4});
  CHECK(support::units_of(index.pages, 1, index.counts(1)) == Units{0, 1, 3, 4});
  CHECK(index.check({1, 10, 4, 2, 4}));
}

TEST_CASE("page unit: heads of different lengths have their own current page", "[units]") {
  Fixture f;
  std::vector<std::int32_t> const lens{10, 3};
  f.c.kv().lens = lens.data();
  f.scores = {1, 2, 3, 4, 0, 9, 9, 9};
  f.counts = {1, 3};
  auto index = f.make_index(2, 3);
  REQUIRE(f.pick(index, f.scratch.workspace()));
  CHECK(support::units_of(index.pages, 0, index.counts(0)) == Units{3, 4});
  CHECK(support::units_of(index.pages, 1, index.counts(1)) == Units{0, 1});
  CHECK(index.kept_tokens(1) == 3);
}

TEST_CASE("page unit: anchors are whole pages at both ends of the candidates", "[units]") {
  Fixture f;
  f.scores.assign(8, 0.0F);
  f.counts = {1, 1};
  f.page.anchor(f.c.problem(), 1, 3, f.view());
  CHECK(f.scores == std::vector<float>{kInf, 0, 0, kInf, kInf, 0, 0, kInf});
}

TEST_CASE("page unit: keeping all, and an index or a workspace that does not fit", "[units]") {
  Fixture f;
  f.scores.assign(8, 0.0F);
  f.counts = {1, 1};
  auto index = f.make_index(2, 99);
  REQUIRE(f.page.keep_all(f.c.problem(), index));
  CHECK(support::units_of(index.pages, 1, index.counts(1)) == Units{0, 1, 2, 3, 4});
  auto small = f.make_index(2, 3);
  CHECK(std::string(f.page.keep_all(f.c.problem(), small).message) == "page: the index has no room for every page");
  CHECK(std::string(f.pick(index, {}).message) == "page: the workspace is smaller than planned");
  auto other = index;
  other.page_tokens = 16;
  CHECK(std::string(f.pick(other, f.scratch.workspace()).message) == "page: the index has another page size");
  auto three = f.make_index(3, 3);
  CHECK(std::string(f.pick(three, f.scratch.workspace()).message) ==
        "page: the index must have one row per KV head or per query head");
}

}  // namespace
