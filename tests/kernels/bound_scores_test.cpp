#include "lacuna/kernels/bound_scores.hpp"

#include <cmath>
#include <string>
#include <vector>

#include "lacuna/core/thread_pool.hpp"
#include "reference/quest.hpp"
#include "support/bounds_case.hpp"
#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/exec.hpp"
#include "support/kernel_run.hpp"
#include "support/sizes.hpp"

namespace {

using support::BoundsCase;
using support::Data;
using support::Sizes;

struct Bounded {
  std::vector<float> scores;  // [rows, pages]
  std::string complaint;
};

template <class T>
Bounded bound_scores(BoundsCase<T>& c, bool shared, lacuna::Cpu exec = {}) {
  auto const problem = c.problem();
  std::int64_t const rows = shared ? problem.heads_kv() : problem.heads_q(), pages = c.pages();
  Bounded result;
  result.scores.assign(static_cast<std::size_t>(rows * pages), -7.0F);
  result.complaint = support::run_in_exact_scratch(
      [&](lacuna::Workspace& w) { lacuna::reserve_bound_scores(exec, lacuna::shape_of(problem), w); },
      [&](lacuna::Workspace w) {
        return lacuna::bound_scores(
            exec,
            lacuna::BoundScoresArgs<T>{problem, lacuna::dense_view<float, 2>(result.scores.data(), {rows, pages}), w});
      },
      "bound_scores: the workspace is smaller than planned");
  return result;
}

template <class T>
void equals_the_oracle(Sizes const& sizes, std::int64_t page_tokens, Data data) {
  CAPTURE(name_of(sizes), name_of(data), page_tokens);
  auto const in = support::make_inputs<T>(sizes, data, 600 + static_cast<std::uint64_t>(sizes.len_k));
  BoundsCase<T> c(in, page_tokens);
  double const size = support::largest_magnitude(in.q) * support::largest_magnitude(in.k);
  double const tolerance = 1e-6 * static_cast<double>(in.dim * in.group()) * size + 1e-43;
  std::size_t const pages = static_cast<std::size_t>(c.pages());
  auto check = [&](std::vector<double> const& exact, float const* got) {
    for (std::size_t page = 0; page < exact.size(); ++page) {
      CAPTURE(page);
      if (std::isnan(exact[page])) {
        REQUIRE(std::isnan(got[page]));
      } else if (std::isinf(exact[page])) {
        REQUIRE(static_cast<double>(got[page]) == exact[page]);
      } else {
        REQUIRE(std::abs(static_cast<double>(got[page]) - exact[page]) <= tolerance);
      }
    }
    for (std::size_t page = exact.size(); page < pages; ++page) REQUIRE(got[page] == -7.0F);
  };
  Bounded const shared = bound_scores(c, true), each = bound_scores(c, false);
  REQUIRE(shared.complaint == "");
  REQUIRE(each.complaint == "");
  for (std::size_t head = 0; head < static_cast<std::size_t>(in.heads_kv); ++head)
    check(reference::quest_shared_scores(in, static_cast<std::int64_t>(head), page_tokens),
          &shared.scores[head * pages]);
  for (std::size_t head = 0; head < static_cast<std::size_t>(in.heads_q); ++head)
    check(reference::quest_scores(in, static_cast<std::int64_t>(head), page_tokens), &each.scores[head * pages]);
}

TEST_CASE("bound scores: shared and per query head equal the oracle", "[kernels]") {
  for (Sizes const& sizes : {Sizes{1, 1, 1, 1, 16}, Sizes{1, 16, 1, 3, 32}, Sizes{1, 17, 2, 8, 64},
                             Sizes{1, 145, 1, 5, 80}, Sizes{1, 300, 2, 7, 128}, Sizes{1, 333, 3, 4, 17}}) {
    for (std::int64_t page_tokens : {1, 8, 16, 64}) {
      equals_the_oracle<float>(sizes, page_tokens, Data::random);
      equals_the_oracle<lacuna::bfloat16>(sizes, page_tokens, Data::random);
    }
  }
}

TEST_CASE("bound scores: tied, huge, tiny, NaN and infinite inputs equal the oracle", "[kernels]") {
  for (Data data : {Data::ties, Data::huge, Data::tiny, Data::nan_key})
    equals_the_oracle<float>({1, 150, 2, 2, 32}, 16, data);
  equals_the_oracle<float>({1, 150, 1, 1, 32}, 16, Data::infinite_query);
}

TEST_CASE("bound scores: no product in a page exceeds its bound", "[kernels]") {
  auto const in = support::make_inputs<float>({1, 200, 1, 3, 64}, Data::random, 6);
  BoundsCase<float> c(in, 16);
  Bounded const each = bound_scores(c, false);
  for (std::int64_t head = 0; head < 3; ++head)
    for (std::int64_t j = 0; j < 192; ++j)
      CHECK(static_cast<double>(each.scores[static_cast<std::size_t>(head * c.pages() + j / 16)]) + 1e-4 >=
            reference::dot(in.query(0, head), in.key(j, 0), 64));
}

TEST_CASE("bound scores: any number of workers and any order give the same bits", "[kernels]") {
  lacuna::ThreadPool pool(3);
  BoundsCase<float> c(support::make_inputs<float>({1, 20000, 2, 4, 64}, Data::random, 7), 16);
  auto const first = bound_scores(c, true).scores;
  CHECK(bound_scores(c, true, pool.exec()).scores == first);
  CHECK(bound_scores(c, true, support::backwards(3)).scores == first);
}

TEST_CASE("bound scores: arguments that do not fit together are refused", "[kernels]") {
  BoundsCase<float> c(support::make_inputs<float>({1, 100, 1, 2, 16}, Data::random, 6), 16);
  std::vector<float> scores(14);
  support::GuardedMemory memory(1 << 16);
  auto complaint = [&](auto const& spoil) {
    lacuna::BoundScoresArgs<float> args{c.problem(), lacuna::dense_view<float, 2>(scores.data(), {2, 7}),
                                        memory.workspace()};
    spoil(args);
    return std::string(lacuna::bound_scores(lacuna::Cpu{}, args).message);
  };
  CHECK(complaint([](auto&) {}).empty());
  CHECK(complaint([](auto& a) { a.problem.kv.k = nullptr; }) ==
        "problem: k and v must not be null when tokens are held");
  CHECK(complaint([](auto& a) { a.problem.q.extents[0] = 0; }) == "bound_scores: len_q must be 1");
  CHECK(complaint([](auto& a) { a.problem.kv.bounds.data = nullptr; }) ==
        "bound_scores: the store keeps no page bounds");
  CHECK(complaint([](auto& a) { a.problem.kv.bounds.extents[2] = 1; }) ==
        "bound_scores: bounds must be [heads_kv, pages, 2, dim], the last axis dense");
  CHECK(complaint([](auto& a) { a.scores.extents[0] = 3; }) ==
        "bound_scores: scores must have one row per KV head or per query head");
  CHECK(complaint([](auto& a) { a.scores.extents[1] = 5; }) ==
        "bound_scores: scores and bounds must hold every full page");
}

}  // namespace
