#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "lacuna/budgets/fixed.hpp"
#include "lacuna/core/thread_pool.hpp"
#include "lacuna/kernels/bound_scores.hpp"
#include "lacuna/kernels/page_mass.hpp"
#include "lacuna/kernels/window_scores.hpp"
#include "lacuna/kv/evicting.hpp"
#include "lacuna/methods/dense.hpp"
#include "lacuna/methods/method.hpp"
#include "lacuna/methods/streaming.hpp"
#include "lacuna/selectors/random.hpp"
#include "lacuna/units/block.hpp"
#include "lacuna/units/page.hpp"
#include "lacuna/units/token.hpp"
#include "lacuna/units/vertical_slash.hpp"
#include "reference/window.hpp"
#include "support/bounds_case.hpp"
#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/exec.hpp"
#include "support/index_keys.hpp"
#include "support/method_run.hpp"
#include "support/sizes.hpp"

namespace {

using support::Data;
using support::ProblemCase;
using support::Sizes;

/// What a problem says about its logits, besides causality.
struct Mask {
  std::int64_t window_tokens;
  double soft_cap;
  double sink;  // about where the sinks' logits lie; NaN: none
};

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

std::vector<Mask> masks() {
  return {{1, 0.0, kNone},  {2, 0.0, 0.0},   {16, 5.0, kNone}, {37, 0.0, 3.0},      {64, 50.0, -1.0},
          {100, 0.0, 60.0}, {0, 1.0, kNone}, {0, 0.0, 0.5},    {1000, 30.0, -50.0}, {65, 0.0, -kInf}};
}

template <class T>
reference::Inputs masked_inputs(Sizes const& sizes, Mask const& mask, Data data = Data::random) {
  auto in = support::make_inputs<T>(sizes, data, 70 + static_cast<std::uint64_t>(sizes.len_k));
  in.window_tokens = mask.window_tokens;
  in.soft_cap = mask.soft_cap;
  support::Random random(5);
  for (std::int64_t head = 0; head < in.heads_q && !std::isnan(mask.sink); ++head)
    in.sink_logits.push_back(static_cast<float>(mask.sink + random.normal()));
  return in;
}

/// Everything that the method picks, and nothing that the mask hides.
template <class T, class M>
void equals_the_oracle(M const& method, Sizes const& sizes, Mask const& mask, Data data = Data::random,
                       support::Layout const& layout = {}) {
  CAPTURE(name_of(sizes), name_of(data), name_of(layout), mask.window_tokens, mask.soft_cap, mask.sink);
  auto const in = masked_inputs<T>(sizes, mask, data);
  ProblemCase<T> c(in, layout);
  support::MethodRun<M> run(method, c.problem());
  REQUIRE(run.select(c.problem()) == "");
  lacuna::Workspace counting;
  lacuna::reserve_attend(lacuna::Cpu{}, lacuna::shape_of(c.problem()), run.index(), counting);
  support::GuardedMemory scratch(counting.used_bytes());
  REQUIRE(lacuna::attend(lacuna::Cpu{}, c.problem(), run.index(), scratch.workspace(), c.out()));
  REQUIRE(scratch.guards_untouched());
  REQUIRE(c.exactly_the_answer_was_written());
  auto const exact = reference::attend(
      in, [&](std::int64_t head, std::int64_t row) { return support::keys_of(run.index(), in, head, row); });
  REQUIRE(support::explain_answer(c, exact, data) == "");
}

using AnyColumns =
    lacuna::Method<lacuna::VerticalSlashUnit<16>, lacuna::RandomSelector, lacuna::FixedPair, lacuna::ContiguousCache>;
using AnyBlocks =
    lacuna::Method<lacuna::Block<16>, lacuna::RandomSelector, lacuna::FixedBudget, lacuna::ContiguousCache>;
using AnyPages = lacuna::Method<lacuna::Page<16>, lacuna::RandomSelector, lacuna::FixedBudget, lacuna::ContiguousCache>;
using AnyTokens = lacuna::Method<lacuna::Token, lacuna::RandomSelector, lacuna::FixedBudget, lacuna::EvictingCache>;

template <class T>
void every_path(Mask const& mask) {
  for (Sizes const& sizes : {Sizes{150, 150, 1, 4, 32}, Sizes{70, 260, 2, 1, 48}, Sizes{3, 200, 1, 3, 20}}) {
    equals_the_oracle<T>(lacuna::Dense{}, sizes, mask);
    equals_the_oracle<T>(lacuna::Streaming{.sink_tokens = 4, .window_tokens = 50}, sizes, mask);
    equals_the_oracle<T>(AnyColumns{.budget = {.columns = 20, .diagonals = 3}}, sizes, mask);
    equals_the_oracle<T>(AnyBlocks{.budget = {.tokens = 48}}, sizes, mask);
    equals_the_oracle<T>(AnyTokens{.budget = {.tokens = 90}}, sizes, mask);
  }
  for (Sizes const& sizes : {Sizes{1, 300, 2, 4, 64}, Sizes{1, 90, 1, 16, 40}})
    equals_the_oracle<T>(AnyPages{.budget = {.tokens = 48}}, sizes, mask);
}

TEST_CASE("masks: a window, a cap and sinks equal the oracle on every path in float", "[kernels]") {
  for (Mask const& mask : masks()) every_path<float>(mask);
}

TEST_CASE("masks: a window, a cap and sinks equal the oracle on every path in bfloat16", "[kernels]") {
  for (Mask const& mask : masks()) every_path<lacuna::bfloat16>(mask);
}

TEST_CASE("masks: prompts and continued prompts of every size equal the oracle", "[kernels]") {
  for (auto const& list : {support::prompt_sizes(), support::continued_sizes()})
    for (Sizes const& sizes : list) {
      equals_the_oracle<float>(lacuna::Dense{}, sizes, {30, 20.0, 1.0});
      equals_the_oracle<lacuna::half>(lacuna::Dense{}, sizes, {64, 0.0, kNone});
    }
}

TEST_CASE("masks: tied, huge, tiny, NaN and infinite inputs in any layout equal the oracle", "[kernels]") {
  for (Data data : {Data::ties, Data::huge, Data::tiny, Data::nan_key, Data::infinite_query})
    for (Sizes const& sizes : {Sizes{130, 130, 2, 2, 32}, Sizes{1, 150, 1, 4, 16}}) {
      equals_the_oracle<float>(lacuna::Dense{}, sizes, {20, 30.0, 1.0}, data);
      equals_the_oracle<float>(lacuna::Dense{}, sizes, {20, 0.0, kNone}, data);
    }
  for (auto const& layout : support::layouts())
    equals_the_oracle<float>(lacuna::Dense{}, {90, 120, 2, 2, 32}, {33, 10.0, 0.0}, Data::random, layout);
}

TEST_CASE("masks: a window hides the NaN of a value from later rows", "[kernels]") {
  for (std::int64_t len_q : {130, 5}) {
    auto in = support::make_inputs<float>({len_q, 130, 1, 1, 16}, Data::random, 4);
    in.window_tokens = 3;
    in.v[126 * 16] = std::nan("");
    ProblemCase<float> c(in);
    support::MethodRun<lacuna::Dense> run({}, c.problem());
    REQUIRE(run.run(c.problem(), c.out()) == "");
    for (std::int64_t position = 125; position < 130; ++position) {
      CAPTURE(len_q, position);
      CHECK(std::isnan(c.out_at(position - 130 + len_q, 0, 0)) == (position >= 126 && position < 129));
    }
  }
}

TEST_CASE("masks: a sink alone answers zero and its own logit", "[kernels]") {
  auto in = support::make_inputs<float>({1, 50, 2, 1, 16}, Data::random, 3);
  in.sink_logits = {1.5, -2.0};
  ProblemCase<float> c(in);
  std::vector<std::int32_t> ids{7}, counts{0, 0}, lens{50, 50};
  lacuna::TokenIndex const none{{ids.data(), {2, 0}, {0, 1}},
                                lacuna::dense_view<std::int32_t, 1>(counts.data(), {2}),
                                lacuna::dense_view<std::int32_t, 1>(lens.data(), {2})};
  support::GuardedMemory scratch(1 << 20);
  REQUIRE(lacuna::attend(lacuna::Cpu{}, c.problem(), none, scratch.workspace(), c.out()));
  CHECK(c.out_at(0, 0, 0) == 0.0);
  CHECK(c.lse_at(0, 0) == Approx(1.5).epsilon(1e-6));
  CHECK(c.lse_at(0, 1) == Approx(-2.0).epsilon(1e-6));
}

TEST_CASE("masks: any number of workers and any order give the same bits", "[kernels]") {
  lacuna::ThreadPool pool(3);
  auto const in = masked_inputs<float>({200, 700, 2, 3, 64}, {130, 20.0, 1.0});
  std::vector<double> first;
  for (lacuna::Cpu const& exec : {lacuna::Cpu{}, pool.exec(), support::backwards(3)}) {
    ProblemCase<float> c(in);
    support::MethodRun<lacuna::Dense> run({}, c.problem(), exec);
    REQUIRE(run.run(c.problem(), c.out()) == "");
    if (first.empty()) first = c.answer();
    REQUIRE(c.answer() == first);
  }
}

TEST_CASE("masks: the window's scores are those of attention", "[kernels]") {
  for (Mask const& mask : masks())
    for (Sizes const& sizes : {Sizes{150, 150, 2, 2, 32}, Sizes{40, 300, 1, 4, 20}})
      for (std::int64_t window : {1, 32, 100}) {
        CAPTURE(name_of(sizes), mask.window_tokens, mask.soft_cap, mask.sink, window);
        auto const in = masked_inputs<float>(sizes, mask);
        ProblemCase<float> const c(in);
        auto const problem = c.problem();
        std::vector<float> columns(static_cast<std::size_t>(in.heads_q * in.len_k), -1.0F), diagonals = columns;
        lacuna::Workspace counting;
        lacuna::reserve_window_scores(lacuna::Cpu{}, lacuna::shape_of(problem), window, counting);
        support::GuardedMemory scratch(counting.used_bytes());
        REQUIRE(lacuna::window_scores<float>(
            lacuna::Cpu{},
            {problem, window, lacuna::dense_view<float, 2>(columns.data(), {in.heads_q, in.len_k}),
             lacuna::dense_view<float, 2>(diagonals.data(), {in.heads_q, in.len_k}), scratch.workspace()}));
        REQUIRE(scratch.guards_untouched());
        for (std::int64_t head = 0; head < in.heads_q; ++head) {
          std::vector<double> by_key(static_cast<std::size_t>(in.len_k)), by_offset = by_key;
          auto const rows = reference::window_attention(in, head, window);
          std::int64_t const first = in.len_k - static_cast<std::int64_t>(rows.size());
          for (std::size_t t = 0; t < rows.size(); ++t)
            for (std::int64_t j = 0; j <= first + static_cast<std::int64_t>(t); ++j) {
              double const weight = rows[t][static_cast<std::size_t>(j)];
              by_key[static_cast<std::size_t>(j)] += weight;
              by_offset[static_cast<std::size_t>(first + static_cast<std::int64_t>(t) - j)] += weight;
            }
          for (std::int64_t j = 0; j < in.len_k; ++j) {
            std::size_t const at = static_cast<std::size_t>(head * in.len_k + j), key = static_cast<std::size_t>(j);
            CAPTURE(head, j, columns[at], by_key[key], diagonals[at], by_offset[key]);
            REQUIRE(std::abs(columns[at] - by_key[key]) <= 2e-5 * by_key[key] + 1e-12);
            REQUIRE(std::abs(diagonals[at] - by_offset[key]) <= 2e-5 * by_offset[key] + 1e-12);
          }
        }
      }
}

TEST_CASE("masks: pages that the window leaves behind are no candidates", "[kernels]") {
  for (std::int64_t window : {1, 10, 17, 40, 99, 100, 101}) {
    CAPTURE(window);
    auto in = support::make_inputs<float>({1, 100, 2, 2, 16}, Data::random, 8);
    support::BoundsCase<float> plain(in, 10);
    in.window_tokens = window;
    support::BoundsCase<float> windowed(in, 10);
    auto const scores_of = [](support::BoundsCase<float> const& c) {
      std::vector<float> scores(2 * 9);
      support::GuardedMemory scratch(1 << 16);
      REQUIRE(lacuna::bound_scores<float>(
          lacuna::Cpu{}, {c.problem(), lacuna::dense_view<float, 2>(scores.data(), {2, 9}), scratch.workspace()}));
      return scores;
    };
    auto const all = scores_of(plain), some = scores_of(windowed);
    for (std::int64_t page = 0; page < 9; ++page)
      for (std::int64_t head = 0; head < 2; ++head) {
        CAPTURE(page, head);
        std::size_t const at = static_cast<std::size_t>(head * 9 + page);
        CHECK(some[at] == ((page + 1) * 10 <= 100 - window ? -std::numeric_limits<float>::infinity() : all[at]));
      }
  }
}

TEST_CASE("masks: the mass of pages is that of the keys in the window, by capped logits", "[kernels]") {
  auto in = support::make_inputs<float>({1, 100, 1, 2, 16}, Data::random, 8);
  in.window_tokens = 37;
  in.soft_cap = 1.5;
  ProblemCase<float> const c(in);
  std::vector<std::int32_t> const pages{2, 6, 7, 9}, counts{4};
  std::vector<float> mass(10);
  support::GuardedMemory scratch(1 << 16);
  REQUIRE(lacuna::page_mass<float>(lacuna::Cpu{},
                                   {c.problem(), lacuna::dense_view<std::int32_t const, 2>(pages.data(), {1, 4}),
                                    lacuna::dense_view<std::int32_t const, 1>(counts.data(), {1}), 10,
                                    lacuna::dense_view<float, 2>(mass.data(), {1, 10}), scratch.workspace()}));
  std::vector<double> exact(10);
  for (std::int64_t head = 0; head < 2; ++head) {
    std::vector<double> one(10);
    double total = 0.0;
    for (std::int32_t page : pages)
      for (std::int64_t j = page * 10; j < page * 10 + 10; ++j) {
        if (in.too_old(j, 0)) continue;
        double const weight = std::exp(in.capped(in.beta() * reference::dot(in.query(0, head), in.key(j, 0), in.dim)));
        one[static_cast<std::size_t>(page)] += weight;
        total += weight;
      }
    for (std::size_t page = 0; page < 10; ++page) exact[page] += one[page] / total / 2.0;
  }
  for (std::int32_t page : pages)
    CHECK(mass[static_cast<std::size_t>(page)] ==
          Approx(exact[static_cast<std::size_t>(page)]).margin(1e-9).epsilon(1e-5));
}

}  // namespace
