#include <algorithm>
#include <bit>
#include <cstdint>

#include "lacuna/lacuna.hpp"
#include "support/any_method.hpp"
#include "support/catch.hpp"

namespace own {

using namespace lacuna;

// The two words that docs/concepts.md writes.
template <class S>
struct Fading {  // old pages lose a little
  S inner{};
  float per_page = 0.01F;

  template <class U, Storage T>
  Status score(Cpu exec, U const& unit, Problem<T> const& problem, Workspace memory,
               Scores scores) const requires WholeSelectorFor<S, U> {
    if (Status s = inner.score(exec, unit, problem, memory, scores); !s) return s;
    for (std::int64_t row = 0; row < scores.extent(0); ++row) {
      std::int64_t const len = problem.kv.length(row * problem.heads_kv() / scores.extent(0));
      for (std::int64_t page = 0; page < unit.candidates(len); ++page)
        scores(row, 0, page) -= per_page * static_cast<float>(unit.candidates(len) - page);
    }
    return {};
  }
};

struct PagesPerDoubling {
  std::int64_t pages = 4;

  template <class U>
  Status check(U const&) const {
    return pages < 1 ? Status::invalid("pages_per_doubling: pages must be at least 1", pages, 1) : Status{};
  }
  template <class U>
  std::int64_t limit(U const&, int, std::int64_t len) const {
    return pages * std::bit_width(static_cast<std::uint64_t>(len));
  }
  template <class U>
  Status allot(Cpu, U const& unit, Scores scores, Counts counts) const {
    auto const most = static_cast<std::int32_t>(limit(unit, 0, unit.tokens(scores.extent(2))));
    for (std::int64_t head = 0; head < counts.extent(0); ++head)
      for (std::int64_t row = 0; row < counts.extent(1); ++row) counts(head, row) = std::min(counts(head, row), most);
    return {};
  }
};

using Mine = Method<Page<16>, Anchored<Fading<MinMaxBound>>, PagesPerDoubling, PagedCache>;

}  // namespace own

namespace {

own::Mine mine(std::int64_t pages, float per_page, std::int64_t anchored = 0) {
  own::Mine method;
  method.budget.pages = pages;
  method.selector = {{{}, per_page}, anchored, anchored};
  return method;
}

TEST_CASE("own words: a selector and a budget of one's own are a method like any other", "[methods]") {
  for (std::int64_t len : {1, 16, 17, 300})
    for (std::int64_t group : {1, 5}) {
      auto const in = support::make_inputs<float>({1, len, 2, group, 32}, support::Data::random, 5);
      CHECK(support::holds<float>(mine(1, 0.01F, 20), in, {true, 3, 8}, support::Data::random) == "");
    }
}

TEST_CASE("own words: what fades fast enough leaves the newest pages", "[methods]") {
  auto const in = support::make_inputs<float>({1, 300, 1, 2, 32}, support::Data::random, 5);
  support::BoundsCase<float> c(in, 16);
  own::Mine const method = mine(1, 1e4F);
  support::MethodRun<own::Mine> run(method, c.problem());
  REQUIRE(run.select(c.problem()) == "");
  REQUIRE(run.index().counts(0) == 10);  // 288 tokens in full pages are 9 bits; and the current page
  for (std::int64_t i = 0; i < 10; ++i) CHECK(run.index().pages(0, i) == 9 + i);
  CHECK_FALSE(mine(0, 0.0F).plan({}, lacuna::shape_of(c.problem())));
}

}  // namespace
