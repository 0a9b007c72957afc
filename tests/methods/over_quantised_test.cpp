#include "lacuna/methods/over_quantised.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "lacuna/budgets/ratio.hpp"
#include "lacuna/budgets/sublinear.hpp"
#include "lacuna/budgets/with_current.hpp"
#include "lacuna/core/thread_pool.hpp"
#include "lacuna/methods/ada_quest.hpp"
#include "lacuna/methods/quest.hpp"
#include "lacuna/methods/quest_top_p.hpp"
#include "reference/attention.hpp"
#include "reference/quest.hpp"
#include "support/bounds_case.hpp"
#include "support/bounds_check.hpp"
#include "support/cache_case.hpp"
#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/exec.hpp"
#include "support/index_case.hpp"
#include "support/method_run.hpp"

namespace {

using lacuna::float8_e4m3;
using lacuna::OverQuantised;
using lacuna::Quest;
using lacuna::QuestTopP;
using reference::Units;
using support::Data;

/// The number nearest to x among scale * (what the code can hold), by trying them all, ties to the even code; then
/// rounded to T. The quotient is a float, as a caller would expect of floats.
template <class T, class C>
double nearest_code(double x, double scale) {
  double const wanted = support::round_to<float>(x / scale);
  double best = 0.0;
  for (int bits = 0; bits < 256; ++bits) {
    double value = 0.0;
    if constexpr (std::is_same_v<C, float8_e4m3>) {
      int const exponent = bits >> 3 & 15, fraction = bits & 7;
      if (exponent == 15 && fraction == 7) continue;
      value = exponent == 0 ? std::ldexp(fraction, -9) : std::ldexp(8 + fraction, exponent - 10);
      if (bits >= 128) value = -value;
    } else {
      if (bits == 128) continue;
      value = bits < 128 ? bits : bits - 256;
    }
    double const distance = std::abs(value - wanted), closest = std::abs(best - wanted);
    if (distance < closest || (distance == closest && bits % 2 == 0)) best = value;
  }
  return support::round_to<T>(support::round_to<float>(scale * best));
}

template <class C>
double range_of() {
  return std::is_same_v<C, float8_e4m3> ? 448.0 : 127.0;
}

/// The same sequence, with the keys and values that survive the codes.
template <class T, class C>
reference::Inputs decoded(reference::Inputs in, std::vector<float> const& k_scales,
                          std::vector<float> const& v_scales) {
  for (std::size_t e = 0; e < in.k.size(); ++e) {
    std::size_t const head = e / static_cast<std::size_t>(in.dim) % static_cast<std::size_t>(in.heads_kv);
    in.k[e] = nearest_code<T, C>(in.k[e], k_scales[head]);
    in.v[e] = nearest_code<T, C>(in.v[e], v_scales[head]);
  }
  return in;
}

template <class T, class C, class M = Quest>
struct Run {
  explicit Run(reference::Inputs const& in, M const& pages, lacuna::Cpu exec = {})
      : method{pages}, exec(exec), shape{1, in.len_k, in.heads_q, in.heads_kv, in.dim} {
    for (std::int64_t head = 0; head < in.heads_kv; ++head) {
      k_scales.push_back(static_cast<float>(3.0 / range_of<C>() / static_cast<double>(head + 1)));
      v_scales.push_back(static_cast<float>(4.5 / range_of<C>()));
    }
  }
  OverQuantised<M, T, C> method;
  lacuna::Cpu exec;
  lacuna::Shape shape;
  std::vector<float> k_scales, v_scales;
};

template <class T, class C>
void decodes_like_the_oracle(std::int64_t prompt, std::int64_t steps, std::int64_t group, bool shared,
                             std::int64_t pool_page = 16) {
  CAPTURE(prompt, group, shared, pool_page);
  std::int64_t const total = prompt + steps, dim = 20;
  auto const original = support::make_inputs<T>({total, total, 2, group, dim}, Data::random, 51);
  Quest quest;
  quest.selector.share_group = shared;
  quest.budget.tokens = 48;
  Run<T, C> r(original, quest);
  auto const all = decoded<T, C>(original, r.k_scales, r.v_scales);
  std::int64_t const pages = 2 * ((total + pool_page - 1) / pool_page);
  support::GuardedMemory pool_memory(lacuna::PagePool<C>::bytes(pages, pool_page, dim));
  lacuna::PagePool<C> pool(pool_memory.data(), pages, pool_page, dim);
  for (std::int64_t page = 0; page < pages; ++page) (void)pool.acquire();
  for (std::int64_t page = 0; page < pages; ++page)
    pool.release(static_cast<std::int32_t>(pages - 1 - page));  // out of order
  support::GuardedMemory memory(lacuna::QuantisedCache<T, C>::bytes(pool, total, 2, 16));
  lacuna::QuantisedCache<T, C> cache(pool, memory.data(), total, 2, 16,
                                     lacuna::dense_view<float const, 1>(r.k_scales.data(), {2}),
                                     lacuna::dense_view<float const, 1>(r.v_scales.data(), {2}));
  auto const plan = r.method.plan(r.exec, r.shape);
  REQUIRE(plan);
  support::GuardedMemory index_memory(plan->index_bytes), scratch(plan->workspace_bytes);
  lacuna::Workspace carving = index_memory.workspace();
  auto index = r.method.make_index(r.shape, carving);
  for (std::int64_t len = prompt; len <= total; ++len) {
    CAPTURE(len);
    support::RowsCase<T> const rows(original, len == prompt ? 0 : len - 1, len);
    REQUIRE(cache.append(r.exec, rows.k(), rows.v()));
    auto const now = support::rows_of(all, len - 1, len, len);
    REQUIRE(support::explain_bounds<T>(cache.page_view().bounds, now, 16) == "");
    support::ProblemCase<T> c(now);
    REQUIRE(r.method.run(r.exec, c.problem(), cache, scratch.workspace(), index, c.out()));
    std::int64_t const per_row = 2 * group / index.rows();
    for (std::int64_t row = 0; row < index.rows(); ++row) {
      Units kept = support::units_of(index.pages, row, index.counts(row));
      kept.pop_back();
      auto const scores = shared ? reference::quest_shared_scores(now, row, 16) : reference::quest_scores(now, row, 16);
      REQUIRE(reference::explain_selection(kept, scores, {}, 3, 1e-4) == "");
    }
    auto const exact = reference::attend(now, [&](std::int64_t head, std::int64_t) {
      std::int64_t const row = head / per_row;
      return reference::page_keys(support::units_of(index.pages, row, index.counts(row)), 16, len);
    });
    REQUIRE(support::explain_answer(c, exact) == "");
  }
  cache.clear();
  CHECK(pool.free_pages() == pages);
  CHECK((memory.guards_untouched() && pool_memory.guards_untouched() && index_memory.guards_untouched() &&
         scratch.guards_untouched()));
}

TEST_CASE("quantised: quest over 8-bit keys and values equals the oracle over what the codes hold", "[methods]") {
  for (std::int64_t group : {1, 3, 8}) decodes_like_the_oracle<float, std::int8_t>(100, 20, group, true);
  for (bool shared : {true, false}) decodes_like_the_oracle<float, float8_e4m3>(100, 20, 2, shared);
  decodes_like_the_oracle<float, std::int8_t>(1, 70, 4, false);
  decodes_like_the_oracle<lacuna::bfloat16, float8_e4m3>(100, 10, 4, true);
  decodes_like_the_oracle<lacuna::half, std::int8_t>(100, 10, 4, true);
}

TEST_CASE("quantised: the pool's pages need not be those that are picked", "[methods]") {
  for (std::int64_t page : {1, 3, 8, 48, 64, 256}) {
    decodes_like_the_oracle<float, std::int8_t>(100, 20, 2, true, page);
    decodes_like_the_oracle<lacuna::bfloat16, float8_e4m3>(1, 40, 5, false, page);
  }
}

/// Any workers, and one byte less, or hardly any.
template <class M>
void answers_in_its_memory_alone(M const& pages, std::string const& complaint) {
  lacuna::ThreadPool pool(3);
  auto const in = support::make_inputs<float>({1, 3000, 2, 2, 64}, Data::random, 5);
  std::vector<double> first;
  for (lacuna::Cpu const& exec : {lacuna::Cpu{}, pool.exec(), support::backwards(3)}) {
    Run<float, float8_e4m3, M> r(in, pages, exec);
    support::GuardedMemory pool_memory(lacuna::PagePool<float8_e4m3>::bytes(94, 64, 64));
    lacuna::PagePool<float8_e4m3> codes(pool_memory.data(), 94, 64, 64);
    support::GuardedMemory memory(decltype(r.method)::Store::bytes(codes, 3000, 2, 16));
    typename decltype(r.method)::Store cache(codes, memory.data(), 3000, 2, 16,
                                             lacuna::dense_view<float const, 1>(r.k_scales.data(), {2}),
                                             lacuna::dense_view<float const, 1>(r.v_scales.data(), {2}));
    support::RowsCase<float> const rows(in, 0, 3000);
    REQUIRE(cache.append(exec, rows.k(), rows.v()));
    auto const plan = r.method.plan(exec, r.shape);
    support::GuardedMemory index_memory(plan->index_bytes), scratch(plan->workspace_bytes);
    lacuna::Workspace carving = index_memory.workspace();
    auto index = r.method.make_index(r.shape, carving);
    support::ProblemCase<float> c(in);
    REQUIRE(r.method.run(exec, c.problem(), cache, scratch.workspace(), index, c.out()));
    if (first.empty()) first = c.answer();
    CHECK(c.answer() == first);
    CHECK(r.method.run(exec, c.problem(), cache, scratch.workspace(plan->workspace_bytes - 1), index, c.out()).code ==
          lacuna::Errc::workspace_too_small);
    CHECK(r.method.run(exec, c.problem(), cache, scratch.workspace(64), index, c.out()).message == complaint);
    CHECK((index_memory.guards_untouched() && scratch.guards_untouched()));
  }
}

TEST_CASE("quantised: workers do not change a bit, and fewer bytes are refused", "[methods]") {
  answers_in_its_memory_alone(Quest{.budget = {.tokens = 512}}, "select: the workspace is smaller than planned");
  QuestTopP top_p{.budget = {.share = 0.5, .floor_tokens = 64}};
  top_p.selector.candidate_tokens = 1024;
  answers_in_its_memory_alone(top_p, "quantised: the workspace is smaller than planned");
}

/// Codes choose and answer as the numbers would that they stand for.
template <class T, class C, class M>
void answers_as_what_the_codes_hold(M const& pages, std::int64_t len, std::int64_t group, std::int64_t dim,
                                    std::int64_t pool_page) {
  CAPTURE(len, group, dim, pool_page);
  auto const original = support::make_inputs<T>({1, len, 2, group, dim}, Data::random, 23);
  Run<T, C, M> r(original, pages);
  auto const held = decoded<T, C>(original, r.k_scales, r.v_scales);
  std::int64_t const pool_pages = 2 * ((len + pool_page - 1) / pool_page), picked = pages.unit.tokens(1);
  support::GuardedMemory pool_memory(lacuna::PagePool<C>::bytes(pool_pages, pool_page, dim));
  lacuna::PagePool<C> pool(pool_memory.data(), pool_pages, pool_page, dim);
  support::GuardedMemory memory(lacuna::QuantisedCache<T, C>::bytes(pool, len, 2, picked));
  lacuna::QuantisedCache<T, C> cache(pool, memory.data(), len, 2, picked,
                                     lacuna::dense_view<float const, 1>(r.k_scales.data(), {2}),
                                     lacuna::dense_view<float const, 1>(r.v_scales.data(), {2}));
  support::RowsCase<T> const rows(original, 0, len);
  REQUIRE(cache.append({}, rows.k(), rows.v()));
  auto const plan = r.method.plan({}, r.shape);
  REQUIRE(plan);
  support::GuardedMemory index_memory(plan->index_bytes), scratch(plan->workspace_bytes);
  lacuna::Workspace carving = index_memory.workspace();
  auto index = r.method.make_index(r.shape, carving);
  support::ProblemCase<T> c(held);
  REQUIRE(r.method.run({}, c.problem(), cache, scratch.workspace(), index, c.out()));

  support::BoundsCase<T> plain(held, picked);
  support::MethodRun<M> alone(pages, plain.problem());
  REQUIRE(alone.run(plain.problem(), plain.problem_case().out()) == "");
  for (std::int64_t row = 0; row < index.rows(); ++row)
    CHECK(support::units_of(index.pages, row, index.counts(row)) ==
          support::units_of(alone.index().pages, row, alone.index().counts(row)));
  CHECK(c.answer() == plain.problem_case().answer());
  CHECK((index_memory.guards_untouched() && scratch.guards_untouched()));
}

QuestTopP const kTopP{.selector = {.candidate_tokens = 112}, .budget = {.share = 0.6, .floor_tokens = 16}};

TEST_CASE("quantised: candidates are weighed by what their codes hold", "[methods]") {
  for (std::int64_t len : {1, 17, 200, 333}) answers_as_what_the_codes_hold<float, std::int8_t>(kTopP, len, 2, 32, 16);
  answers_as_what_the_codes_hold<float, float8_e4m3>(kTopP, 400, 5, 32, 100);
  answers_as_what_the_codes_hold<lacuna::bfloat16, float8_e4m3>(kTopP, 400, 1, 32, 256);
  answers_as_what_the_codes_hold<lacuna::half, std::int8_t>(kTopP, 300, 8, 32, 1);
}

/// Every head size and group of models, the pool's pages from 1 token to 256.
template <class M>
void answers_in_every_size(M const& pages) {
  constexpr std::array<std::int64_t, 5> kDims{32, 64, 96, 128, 256};
  constexpr std::array<std::int64_t, 9> kGroups{1, 2, 3, 4, 5, 6, 7, 8, 16};
  constexpr std::array<std::int64_t, 5> kPages{1, 8, 16, 48, 256};
  for (std::size_t i = 0; i < 9; ++i) {
    std::int64_t const len = 130 + static_cast<std::int64_t>(i);
    answers_as_what_the_codes_hold<float, std::int8_t>(pages, len, kGroups[i], kDims[i % 5], kPages[i % 5]);
    answers_as_what_the_codes_hold<lacuna::bfloat16, float8_e4m3>(pages, len, kGroups[i], kDims[(i + 1) % 5],
                                                                  kPages[(i + 2) % 5]);
    answers_as_what_the_codes_hold<lacuna::half, std::int8_t>(pages, len, kGroups[i], kDims[(i + 3) % 5],
                                                              kPages[(i + 4) % 5]);
  }
}

TEST_CASE("quantised: every method of pages over codes, groups to 16, head sizes to 256", "[methods]") {
  answers_in_every_size(Quest{.budget = {.tokens = 48}});
  answers_in_every_size(Quest{.selector = {.share_group = false}, .budget = {.tokens = 48}});
  answers_in_every_size(lacuna::QuestOf<8>{.budget = {.tokens = 24}});
  answers_in_every_size(lacuna::QuestOf<16, lacuna::Ratio>{.budget = {.share = 0.3}});
  answers_in_every_size(lacuna::QuestOf<16, lacuna::WithCurrent<lacuna::FixedBudget>>{.budget = {{.tokens = 48}}});
  answers_in_every_size(lacuna::QuestOf<16, lacuna::Sublinear<lacuna::FixedBudget>>{.budget = {{.tokens = 64}, 256}});
  answers_in_every_size(lacuna::AdaQuest{.budget = {.tokens = 48}});
  answers_in_every_size(kTopP);
}

TEST_CASE("codes: every number goes to the nearest code, ties to the even one", "[core]") {
  for (int bits = 0; bits < 256; ++bits) {
    float8_e4m3 const code{static_cast<std::uint8_t>(bits)};
    float const value = lacuna::decode(code);
    CHECK(lacuna::encode<float8_e4m3>(value) == code);
    if ((bits & 127) < 126) {  // halfway to the next code
      float const next = lacuna::decode(float8_e4m3{static_cast<std::uint8_t>(bits + 1)});
      CHECK((lacuna::encode<float8_e4m3>((value + next) / 2).bits & 1) == 0);
    }
  }
  support::Random random(3);
  for (int trial = 0; trial < 20000; ++trial) {
    float const x = static_cast<float>(random.normal() * std::exp(4.0 * random.normal()));
    double const scale = 1.0;
    CHECK(lacuna::decode(lacuna::encode<float8_e4m3>(x)) == nearest_code<float, float8_e4m3>(x, scale));
    CHECK(lacuna::decode(lacuna::encode<std::int8_t>(x)) == nearest_code<float, std::int8_t>(x, scale));
  }
  CHECK(std::isnan(lacuna::decode(lacuna::encode<float8_e4m3>(std::nanf("")))));
  CHECK(lacuna::encode<std::int8_t>(std::nanf("")) == 0);
  CHECK(lacuna::encode<std::int8_t>(2.5F) == 2);
  CHECK(lacuna::encode<std::int8_t>(-1e9F) == -127);
  CHECK(lacuna::decode(lacuna::encode<float8_e4m3>(1e9F)) == lacuna::kLargestCode<float8_e4m3>);
}

TEST_CASE("quantised cache: refusals change nothing", "[kv]") {
  auto const in = support::make_inputs<float>({0, 40, 1, 1, 8}, Data::random, 1);
  support::GuardedMemory pool_memory(lacuna::PagePool<std::int8_t>::bytes(5, 8, 8));
  lacuna::PagePool<std::int8_t> pool(pool_memory.data(), 5, 8, 8);
  support::GuardedMemory memory(lacuna::QuantisedCache<float>::bytes(pool, 40, 1, 16));
  float scale = 0.0F;
  auto const scales = lacuna::dense_view<float const, 1>(&scale, {1});
  lacuna::QuantisedCache<float> cache(pool, memory.data(), 40, 1, 16, scales, scales);
  support::RowsCase<float> const rows(in, 0, 40), more(in, 0, 1);
  CHECK(std::string(cache.append({}, rows.k(), rows.v()).message) == "quantised_cache: every scale must be positive");
  scale = 0.05F;
  REQUIRE(cache.append({}, rows.k(), rows.v()));
  CHECK(std::string(cache.append({}, more.k(), more.v()).message) == "paged_cache: no room for that many tokens");
  CHECK(cache.length() == 40);
  auto const complaint = [&](std::int64_t page_tokens, std::int32_t len, std::int32_t last) {
    std::int32_t count = 1;
    lacuna::Workspace none;
    return std::string(
        cache
            .load({},
                  {lacuna::dense_view<std::int32_t, 2>(&last, {1, 1}), lacuna::dense_view<std::int32_t, 1>(&count, {1}),
                   lacuna::dense_view<std::int32_t, 1>(&len, {1}), page_tokens},
                  none)
            .status()
            .message);
  };
  CHECK(complaint(8, 40, 4) == "quantised_cache: the index has another page size");
  CHECK(complaint(16, 30, 1) == "quantised_cache: the index was made for another length");
  CHECK(complaint(16, 40, 2) == "quantised_cache: the workspace is smaller than planned");
  CHECK(complaint(16, 40, 1) == "page_index: the current page must be kept");
  cache.clear();
  CHECK(cache.append({}, rows.k(), rows.v()));
}

}  // namespace
