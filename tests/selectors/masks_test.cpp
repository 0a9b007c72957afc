#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "lacuna/budgets/fixed.hpp"
#include "lacuna/budgets/top_mass.hpp"
#include "lacuna/kv/contiguous.hpp"
#include "lacuna/methods/method.hpp"
#include "lacuna/selectors/anchored.hpp"
#include "lacuna/selectors/antidiagonal.hpp"
#include "lacuna/selectors/group_shared.hpp"
#include "lacuna/selectors/mean_pool.hpp"
#include "lacuna/selectors/min_max_bound.hpp"
#include "lacuna/selectors/normalised.hpp"
#include "lacuna/selectors/oracle.hpp"
#include "lacuna/selectors/query_aware.hpp"
#include "lacuna/selectors/random.hpp"
#include "reference/antidiagonal.hpp"
#include "reference/block_sparse.hpp"
#include "reference/page_attention.hpp"
#include "reference/top_mass.hpp"
#include "reference/window.hpp"
#include "support/block_case.hpp"
#include "support/bounds_case.hpp"
#include "support/score_run.hpp"
#include "support/sizes.hpp"

// What a window hides from every query of a choice is no candidate: -inf, whatever scores it and wraps that.

namespace {

using lacuna::Block;
using lacuna::MeanPool;
using lacuna::Normalised;
using reference::Inputs;
using reference::UnitScores;

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr std::int64_t kTokens = 16;

std::vector<Inputs> masked_prompts() {
  std::vector<Inputs> all;
  for (auto const& sizes : {support::Sizes{130, 130, 2, 2, 16}, {37, 150, 1, 3, 24}, {1, 97, 1, 2, 16}})
    for (std::int64_t window : {1, 15, 33, 64, 200})
      for (double cap : {0.0, 0.7}) {
        all.push_back(support::make_inputs<float>(sizes, support::Data::random, 8));
        all.back().window_tokens = window;
        all.back().soft_cap = cap;
      }
  return all;
}

/// The first block that any query of block m sees.
std::int64_t oldest_block(Inputs const& in, std::int64_t m) {
  std::int64_t const first_row = std::max<std::int64_t>(m * kTokens - (in.len_k - in.len_q), 0);
  std::int64_t block = 0;
  while (in.too_old((block + 1) * kTokens - 1, first_row)) ++block;
  return block;
}

/// Scores of every row of blocks, [rows of heads][query block][key block], as a method would ask for them.
template <class S>
std::vector<std::vector<std::vector<float>>> block_scores(S const& selector, lacuna::Problem<float> const& problem) {
  Block<kTokens> const unit;
  lacuna::Shape const shape = lacuna::shape_of(problem);
  lacuna::Workspace counting;
  lacuna::reserve_scoring({}, selector, unit, shape, counting);
  support::GuardedMemory memory(counting.used_bytes());
  REQUIRE(lacuna::prepare_scoring({}, selector, unit, problem, memory.workspace()));
  std::vector<std::vector<std::vector<float>>> all;
  for (std::int64_t head = 0; head < lacuna::heads_of(selector, unit, shape); ++head) {
    all.emplace_back();
    for (std::int64_t first = 0; first < unit.choices(shape); first += 5) {
      lacuna::RowChunk const chunk{head, first, std::min<std::int64_t>(5, unit.choices(shape) - first), 0};
      std::int64_t const wide = unit.chunk_units(shape, chunk);
      std::vector<float> rows(static_cast<std::size_t>(chunk.rows * wide), 99.0F);
      REQUIRE(selector.score(lacuna::Cpu{}, unit, problem, memory.workspace(), chunk,
                             lacuna::dense_view<float, 3>(rows.data(), {1, chunk.rows, wide})));
      for (std::int64_t r = 0; r < chunk.rows; ++r)
        all.back().emplace_back(rows.begin() + r * wide, rows.begin() + r * wide + wide - chunk.rows + 1 + r);
    }
  }
  REQUIRE(memory.guards_untouched());
  return all;
}

/// expected(head, m): the scores without regard to what the window hides.
template <class S, class Expected>
void blocks_equal_the_oracle(S const& selector, Inputs const& in, double tolerance, Expected const& expected) {
  CAPTURE(in.len_q, in.len_k, in.window_tokens, in.soft_cap);
  support::ProblemCase<float> const c(in);
  auto const got = block_scores(selector, c.problem());
  for (std::size_t head = 0; head < got.size(); ++head)
    for (std::size_t r = 0; r < got[head].size(); ++r) {
      std::int64_t const m = reference::first_query_block(in, kTokens) + static_cast<std::int64_t>(r);
      UnitScores exact = expected(static_cast<std::int64_t>(head), m);
      REQUIRE(exact.size() == got[head][r].size());
      for (std::int64_t block = 0; block < oldest_block(in, m); ++block) exact[static_cast<std::size_t>(block)] = -kInf;
      for (std::size_t block = 0; block < exact.size(); ++block) {
        CAPTURE(head, m, block);
        double const score = static_cast<double>(got[head][r][block]);
        if (exact[block] == -kInf)
          REQUIRE(score == -kInf);
        else
          REQUIRE(score == Approx(exact[block]).margin(tolerance));
      }
    }
}

/// The softmax of pooled products over what the window leaves.
UnitScores pooled_mass(Inputs const& in, std::int64_t head, std::int64_t m) {
  UnitScores scores = reference::pooled_block_scores(in, head, m, kTokens);
  for (std::size_t block = 0; block < scores.size(); ++block)
    scores[block] =
        static_cast<std::int64_t>(block) < oldest_block(in, m) ? -kInf : in.capped(in.beta() * scores[block]);
  return reference::softmax(scores, 1.0);
}

UnitScores mean_over_group(Inputs const& in, std::int64_t head_kv,
                           std::function<UnitScores(std::int64_t)> const& of_head) {
  UnitScores mean;
  for (std::int64_t g = 0; g < in.group(); ++g) {
    UnitScores const one = of_head(head_kv * in.group() + g);
    mean.resize(one.size());
    for (std::size_t unit = 0; unit < one.size(); ++unit) mean[unit] += one[unit] / static_cast<double>(in.group());
  }
  return mean;
}

TEST_CASE("masks in selection: pooled products, as they are, softmaxed and of a group", "[selectors]") {
  for (Inputs const& in : masked_prompts()) {
    auto const products = [&](std::int64_t head, std::int64_t m) {
      return reference::pooled_block_scores(in, head, m, kTokens);
    };
    auto const mass = [&](std::int64_t head, std::int64_t m) { return pooled_mass(in, head, m); };
    auto const of_group = [&](auto const& scores) {
      return [&](std::int64_t head, std::int64_t m) {
        return mean_over_group(in, head, [&](std::int64_t one) { return scores(one, m); });
      };
    };
    blocks_equal_the_oracle(MeanPool{}, in, 1e-5, products);
    blocks_equal_the_oracle(Normalised<MeanPool>{}, in, 1e-5, mass);
    blocks_equal_the_oracle(lacuna::GroupShared<MeanPool>{}, in, 1e-5, of_group(products));
    blocks_equal_the_oracle(lacuna::GroupShared<Normalised<MeanPool>>{}, in, 1e-5, of_group(mass));
  }
}

TEST_CASE("masks in selection: pairs of a query-aware head hold at most the share, and nothing that is hidden",
          "[selectors]") {
  for (Inputs const& in : masked_prompts()) {
    CAPTURE(in.len_q, in.len_k, in.window_tokens, in.soft_cap);
    support::ProblemCase<float> const c(in);
    auto const got = block_scores(lacuna::QueryAware{{}, 0.6}, c.problem());
    for (std::size_t head = 0; head < got.size(); ++head) {
      double held = 0.0;
      for (std::size_t r = 0; r < got[head].size(); ++r) {
        std::int64_t const m = reference::first_query_block(in, kTokens) + static_cast<std::int64_t>(r);
        UnitScores const mass = pooled_mass(in, static_cast<std::int64_t>(head), m);
        for (std::size_t block = 0; block < mass.size(); ++block) {
          double const score = static_cast<double>(got[head][r][block]);
          if (score == -kInf) continue;
          REQUIRE(static_cast<std::int64_t>(block) >= oldest_block(in, m));
          REQUIRE(score == Approx(mass[block]).margin(1e-5));
          held += score;
        }
      }
      REQUIRE(held <= 0.6 * static_cast<double>(got[head].size()) + 1e-5);
    }
  }
}

TEST_CASE("masks in selection: antidiagonals and the oracle of blocks", "[selectors]") {
  for (Inputs const& in : masked_prompts())
    for (std::int64_t stride : {1, 4, 16}) {
      auto const mass = [&](std::int64_t head, std::int64_t m) {
        return reference::antidiagonal_scores(in, head, m, kTokens, stride);
      };
      blocks_equal_the_oracle(lacuna::Antidiagonal{stride}, in, 1e-5, mass);
      if (stride == 1) blocks_equal_the_oracle(lacuna::OracleSelector{}, in, 1e-5, mass);
    }
}

TEST_CASE("masks in selection: pages by bounds, by their true attention and by chance", "[selectors]") {
  for (std::int64_t window : {1, 16, 17, 40, 64, 500}) {
    auto in = support::make_inputs<float>({1, 150, 2, 2, 16}, support::Data::random, 3);
    in.window_tokens = window;
    support::BoundsCase<float> c(in, kTokens);
    lacuna::Page<kTokens> const unit;
    auto const oracle = support::score(lacuna::OracleSelector{}, unit, c.problem());
    auto const random = support::score(lacuna::RandomSelector{}, unit, c.problem());
    auto const anchored = support::score(lacuna::Anchored<lacuna::MinMaxBound>{{}, 20, 20}, unit, c.problem());
    auto const softened = support::score(Normalised<lacuna::MinMaxBound>{}, unit, c.problem());
    for (std::size_t head = 0; head < 2; ++head) {
      std::vector<double> mass(10);
      for (std::int64_t g = 0; g < 2; ++g) {
        auto const row = reference::window_attention(in, static_cast<std::int64_t>(head) * 2 + g, 1)[0];
        for (std::size_t j = 0; j < row.size(); ++j) mass[j / kTokens] += row[j] / 2.0;
      }
      for (std::size_t page = 0; page < 9; ++page) {
        CAPTURE(window, head, page);
        bool const hidden = in.too_old(static_cast<std::int64_t>(page) * kTokens + kTokens - 1, 0);
        for (auto const* run : {&oracle, &random, &anchored, &softened})
          CHECK((run->rows[head][page] == -std::numeric_limits<float>::infinity()) == hidden);
        if (!hidden) CHECK(static_cast<double>(oracle.rows[head][page]) == Approx(mass[page]).margin(1e-6));
      }
    }
  }
}

/// The share of attention's mass that blocks by coverage keep, and the fewest of them, under a window: as if what lies
/// before the window were not there.
TEST_CASE("masks in selection: a budget of coverage counts what the window leaves", "[selectors]") {
  using Covering = lacuna::Method<Block<kTokens>, lacuna::Anchored<Normalised<MeanPool>, 16>, lacuna::TopMass,
                                  lacuna::ContiguousCache>;
  for (Inputs const& in : masked_prompts())
    for (double share : {0.5, 1.0}) {
      CAPTURE(in.len_q, in.len_k, in.window_tokens, share);
      support::ProblemCase<float> c(in);
      Covering const method{.selector = {.sink_tokens = 16}, .budget = {.share = share, .floor_tokens = 16}};
      support::MethodRun<Covering> run(method, c.problem());
      REQUIRE(run.run(c.problem(), c.out()) == "");
      for (std::int64_t head = 0; head < in.heads_q; ++head)
        for (std::int64_t r = 0; r < run.index().rows(); ++r) {
          std::int64_t const m = run.index().first_block() + r, oldest = oldest_block(in, m);
          UnitScores mass = pooled_mass(in, head, m);
          mass.erase(mass.begin(), mass.begin() + oldest);
          auto const left = static_cast<std::int64_t>(mass.size());
          std::int64_t const cover = share == 1.0 ? left : reference::cover(mass, share);
          auto const kept = support::kept_blocks(run.index(), head, r);
          CHECK(kept.front() >= oldest);
          CHECK(std::abs(static_cast<std::int64_t>(kept.size()) - cover) <= (share == 1.0 ? 0 : 1));
        }
      if (share == 1.0) CHECK(lacuna::density(run.index(), in.window_tokens) == 1.0);
    }
}

}  // namespace
