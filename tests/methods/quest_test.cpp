#include "lacuna/methods/quest.hpp"

#include <cmath>
#include <string>
#include <vector>

#include "lacuna/core/thread_pool.hpp"
#include "reference/attention.hpp"
#include "reference/golden.hpp"
#include "reference/quest.hpp"
#include "support/bounds_case.hpp"
#include "support/cache_case.hpp"
#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/exec.hpp"
#include "support/index_case.hpp"
#include "support/method_run.hpp"
#include "support/sizes.hpp"

namespace {

using lacuna::Quest;
using lacuna::QuestOf;
using reference::Units;
using support::BoundsCase;
using support::Data;
using support::MethodRun;
using support::ProblemCase;
using support::Sizes;

template <class M>
M method_of(std::int64_t budget_tokens, bool share = true) {
  return {.selector = {.share_group = share}, .budget = {.tokens = budget_tokens}};
}

Units pages_of(lacuna::PageIndex const& index, std::int64_t row) {
  return support::units_of(index.pages, row, index.counts(row));
}

/// The pages against exact bounds; then values and density over exactly those pages.
template <class T, class M>
void equals_the_oracle(M const& method, std::int64_t page_tokens, Sizes const& sizes, Data data,
                       support::Layout const& layout = {}) {
  bool const share = method.selector.share_group;
  std::int64_t const len = sizes.len_k, budget = method.budget.tokens / page_tokens;
  CAPTURE(name_of(sizes), name_of(data), name_of(layout), share, page_tokens, budget);
  auto const in = support::make_inputs<T>(sizes, data, 900 + static_cast<std::uint64_t>(len));
  BoundsCase<T> b(in, page_tokens, layout);
  ProblemCase<T>& c = b.problem_case();
  MethodRun<M> run(method, b.problem());
  REQUIRE(run.run(b.problem(), c.out()) == "");
  REQUIRE(c.exactly_the_answer_was_written());
  double const size = support::largest_magnitude(in.q) * support::largest_magnitude(in.k);
  double const tolerance = data == Data::ties ? 0.0 : 1e-6 * static_cast<double>(in.dim * in.group()) * size + 1e-43;
  std::vector<Units> kept;
  double kept_tokens = 0.0;
  for (std::int64_t row = 0; row < (share ? in.heads_kv : in.heads_q); ++row) {
    CAPTURE(row);
    auto const scores =
        share ? reference::quest_shared_scores(in, row, page_tokens) : reference::quest_scores(in, row, page_tokens);
    kept.push_back(pages_of(run.index(), row));
    kept_tokens += static_cast<double>(reference::page_keys(kept.back(), page_tokens, len).size());
    REQUIRE(kept.back().back() == reference::current_page(len, page_tokens));
    Units before = kept.back();
    before.pop_back();
    REQUIRE(reference::explain_selection(before, scores, {}, budget, tolerance) == "");
  }
  auto const exact = reference::attend(in, [&](std::int64_t head, std::int64_t) {
    return reference::page_keys(kept[static_cast<std::size_t>(share ? in.head_kv(head) : head)], page_tokens, len);
  });
  REQUIRE(support::explain_answer(c, exact, data) == "");
  REQUIRE(lacuna::density(run.index()) ==
          Approx(kept_tokens / static_cast<double>(len * static_cast<std::int64_t>(kept.size()))));
}

std::vector<Sizes> decode_sizes() {
  return {{1, 1, 1, 1, 16},    {1, 15, 2, 3, 32},  {1, 16, 1, 8, 64},  {1, 17, 2, 2, 16},
          {1, 47, 1, 2, 80},   {1, 97, 1, 5, 80},  {1, 144, 2, 1, 32}, {1, 145, 2, 7, 64},
          {1, 256, 1, 4, 128}, {1, 257, 3, 1, 32}, {1, 1000, 2, 2, 64}};
}

TEST_CASE("quest: every length equals the oracle, shared by the group and per query head", "[methods]") {
  for (Sizes const& sizes : decode_sizes()) {
    for (bool share : {true, false}) {
      equals_the_oracle<float>(method_of<Quest>(48, share), 16, sizes, Data::random);
      equals_the_oracle<lacuna::bfloat16>(method_of<Quest>(32, share), 16, sizes, Data::random);
      equals_the_oracle<float>(method_of<QuestOf<4>>(20, share), 4, sizes, Data::random);
      equals_the_oracle<float>(method_of<QuestOf<1>>(9, share), 1, sizes, Data::random);
    }
  }
}

TEST_CASE("quest: cache pages unlike the selection pages", "[methods]") {
  for (auto const& layout : support::layouts())
    equals_the_oracle<float>(method_of<Quest>(64), 16, {1, 333, 2, 2, 32}, Data::random, layout);
}

TEST_CASE("quest: tied, huge, tiny and NaN inputs equal the oracle", "[methods]") {
  for (Data data : {Data::ties, Data::huge, Data::tiny, Data::nan_key})
    for (bool share : {true, false})
      equals_the_oracle<float>(method_of<Quest>(64, share), 16, {1, 200, 2, 2, 32}, data);
}

TEST_CASE("quest: an infinite query still picks pages that exist, each once", "[methods]") {
  BoundsCase<float> b(support::make_inputs<float>({1, 300, 1, 2, 32}, Data::infinite_query, 4), 16);
  for (bool share : {true, false}) {
    MethodRun<Quest> run(method_of<Quest>(64, share), b.problem());
    CHECK(run.run(b.problem(), b.problem_case().out()) == "");  // checks the index
    CHECK(pages_of(run.index(), 0).size() == 5);
  }
}

TEST_CASE("quest: all ties take the lowest pages", "[methods]") {
  BoundsCase<float> b(support::make_inputs<float>({1, 200, 1, 2, 32}, Data::ties, 4), 16);
  MethodRun<Quest> run(method_of<Quest>(48), b.problem());
  REQUIRE(run.select(b.problem()) == "");
  CHECK(pages_of(run.index(), 0) == Units{0, 1, 2, 12});
}

TEST_CASE("quest: a page with a NaN key is read last", "[methods]") {
  auto in = support::make_inputs<float>({1, 100, 1, 1, 16}, Data::random, 4);
  in.k[33 * 16 + 5] = std::nan("");
  BoundsCase<float> b(in, 16);
  MethodRun<Quest> run(method_of<Quest>(80), b.problem());  // five of the six full pages
  REQUIRE(run.run(b.problem(), b.problem_case().out()) == "");
  CHECK(pages_of(run.index(), 0) == Units{0, 1, 3, 4, 5, 6});
  CHECK(std::isfinite(b.problem_case().out_at(0, 0, 0)));
}

TEST_CASE("quest: tokens read by one step of budget 128, dense up to the threshold", "[methods]") {
  for (auto const& [len, read_tokens] : reference::effective_lengths()) {
    CAPTURE(len);
    BoundsCase<float> b(support::make_inputs<float>({1, len, 1, 2, 16}, Data::random, 4), 16);
    MethodRun<Quest> run(method_of<Quest>(128), b.problem());
    REQUIRE(run.select(b.problem()) == "");
    CHECK(run.index().kept_tokens(0) == read_tokens);
  }
}

TEST_CASE("quest: a budget that covers the cache equals dense attention", "[methods]") {
  auto const in = support::make_inputs<float>({1, 333, 2, 3, 64}, Data::random, 5);
  BoundsCase<float> b(in, 16);
  MethodRun<Quest> run(method_of<Quest>(336), b.problem());
  REQUIRE(run.run(b.problem(), b.problem_case().out()) == "");
  CHECK(lacuna::density(run.index()) == 1.0);
  auto const exact = reference::attend(in, [&](std::int64_t, std::int64_t row) { return dense_keys(in, row); });
  CHECK(support::explain_answer(b.problem_case(), exact) == "");
}

/// A growing cache, one token per step across page boundaries: bounds, pages and values at every step.
template <class T>
void decodes_like_the_oracle(std::int64_t prompt, std::int64_t steps, std::int64_t cache_page, std::int64_t heads_kv,
                             std::int64_t group) {
  CAPTURE(prompt, cache_page, heads_kv, group);
  std::int64_t const dim = 32;
  auto const all = support::make_inputs<T>({prompt + steps, prompt + steps, heads_kv, group, dim}, Data::random, 9);
  support::CacheCase<T, lacuna::PagedCache> cache(heads_kv, dim, prompt + steps, cache_page, 16);
  REQUIRE(cache.append(all, 0, prompt) == "");
  auto const method = method_of<Quest>(48);
  MethodRun<Quest> run(method, {1, prompt + steps, heads_kv * group, heads_kv, dim},
                       lacuna::Cpu{});  // one plan for all steps
  for (std::int64_t step = 0; step < steps; ++step) {
    CAPTURE(step);
    REQUIRE(cache.append(all, prompt + step, prompt + step + 1) == "");
    std::int64_t const len = prompt + step + 1;
    auto const now = support::rows_of(all, len - 1, len, len);
    ProblemCase<T> c(now);
    auto problem = c.problem();
    problem.kv = cache.store().view();
    REQUIRE(run.run(problem, c.out()) == "");
    for (std::int64_t head = 0; head < heads_kv; ++head) {
      Units kept = pages_of(run.index(), head);
      kept.pop_back();
      REQUIRE(reference::explain_selection(kept, reference::quest_shared_scores(now, head, 16), {}, 3, 1e-4) == "");
    }
    auto const exact = reference::attend(now, [&](std::int64_t head, std::int64_t) {
      return reference::page_keys(pages_of(run.index(), now.head_kv(head)), 16, len);
    });
    REQUIRE(support::explain_answer(c, exact) == "");
  }
  REQUIRE(cache.guards_untouched());
}

TEST_CASE("quest: decoding step by step across page boundaries equals the oracle", "[methods]") {
  for (std::int64_t cache_page : {1, 8, 16, 48}) decodes_like_the_oracle<float>(77, 40, cache_page, 2, 3);
  decodes_like_the_oracle<lacuna::bfloat16>(77, 40, 8, 1, 4);
  decodes_like_the_oracle<float>(1, 40, 16, 1, 1);
}

TEST_CASE("quest: workers, order and repetition do not change a bit", "[methods]") {
  lacuna::ThreadPool pool(3);
  BoundsCase<float> b(support::make_inputs<float>({1, 9000, 2, 4, 64}, Data::random, 7), 16);
  std::vector<double> first;
  for (lacuna::Cpu const& exec : {lacuna::Cpu{}, pool.exec(), support::backwards(3)}) {
    MethodRun<Quest> run(method_of<Quest>(1024), b.problem(), exec);
    for (int again : {0, 1}) {
      CAPTURE(exec.workers, again);
      REQUIRE(run.run(b.problem(), b.problem_case().out()) == "");
      if (first.empty()) first = b.problem_case().answer();
      REQUIRE(b.problem_case().answer() == first);
    }
  }
}

TEST_CASE("quest: fewer bytes than planned are refused", "[methods]") {
  BoundsCase<float> b(support::make_inputs<float>({1, 500, 2, 2, 16}, Data::random, 3), 16);
  ProblemCase<float>& c = b.problem_case();
  MethodRun<Quest> run(method_of<Quest>(64), b.problem());
  CHECK(run.run_in(run.plan().workspace_bytes - 1, b.problem(), c.out()).code == lacuna::Errc::workspace_too_small);
  CHECK(run.run_in(0, b.problem(), c.out()).code == lacuna::Errc::workspace_too_small);
  CHECK(run.guards_untouched());
  CHECK(run.run_in(run.plan().workspace_bytes, b.problem(), c.out()));
}

TEST_CASE("quest: a budget of zero or of half a page is refused by plan", "[methods]") {
  auto complaint = [](std::int64_t tokens) {
    return std::string(method_of<Quest>(tokens).plan(lacuna::Cpu{}, {1, 100, 2, 1, 16}).status().message);
  };
  CHECK(complaint(16).empty());
  for (std::int64_t tokens : {0, -16, 8, 17})
    CHECK(complaint(tokens) == "budget: tokens must be a positive multiple of the tokens of a unit");
}

TEST_CASE("quest: a store without bounds, or with bounds of other pages, is refused", "[methods]") {
  BoundsCase<float> b(support::make_inputs<float>({1, 100, 1, 1, 16}, Data::random, 3), 8);
  MethodRun<Quest> run(method_of<Quest>(32), b.problem());
  CHECK(run.select(b.problem()) == "min_max_bound: the store must keep bounds of pages as large as the unit's");
  auto problem = b.problem();
  problem.kv.bounds = {};
  problem.kv.bounds_page_tokens = 16;
  CHECK(run.select(problem) == "bound_scores: the store keeps no page bounds");
  auto two = support::make_inputs<float>({2, 100, 1, 1, 16}, Data::random, 3);
  BoundsCase<float> longer(two, 16);
  MethodRun<Quest> plan_of_two(method_of<Quest>(32), longer.problem());
  CHECK(plan_of_two.select(longer.problem()) == "bound_scores: len_q must be 1");
}

}  // namespace
