#include "lacuna/methods/snap_kv.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "lacuna/core/thread_pool.hpp"
#include "lacuna/methods/dense.hpp"
#include "reference/attention.hpp"
#include "reference/snap_kv.hpp"
#include "support/cache_case.hpp"
#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/exec.hpp"
#include "support/index_case.hpp"
#include "support/method_run.hpp"
#include "support/sizes.hpp"

namespace {

using lacuna::SnapKv;
using reference::SnapKvRule;
using reference::Units;
using support::Data;
using support::MethodRun;
using support::ProblemCase;
using support::Sizes;

SnapKv method_of(SnapKvRule const& rule) {
  return {.selector = {.inner = {.inner = {.window = rule.window}, .width = rule.smoothing},
                       .sink_tokens = rule.sink_tokens,
                       .recent_tokens = rule.recent_tokens},
          .budget = {.tokens = rule.capacity}};
}

Units kept_by(lacuna::TokenIndex const& index, std::int64_t head) {
  return support::units_of(index.tokens, head, index.counts(head));
}

/// The kept tokens against exact scores; the prompt itself is attended densely.
template <class T>
void equals_the_oracle(SnapKvRule const& rule, Sizes const& sizes, Data data) {
  std::int64_t const n = sizes.len_k;
  CAPTURE(name_of(sizes), name_of(data), rule.capacity, rule.window, rule.smoothing, rule.sink_tokens,
          rule.recent_tokens);
  auto const in = support::make_inputs<T>(sizes, data, 800 + static_cast<std::uint64_t>(n));
  ProblemCase<T> c(in);
  MethodRun<SnapKv> run(method_of(rule), c.problem());
  REQUIRE(run.run(c.problem(), c.out()) == "");
  REQUIRE(c.exactly_the_answer_was_written());
  for (std::int64_t head = 0; head < in.heads_kv; ++head) {
    CAPTURE(head);
    Units const kept = kept_by(run.index(), head);
    if (n <= rule.capacity) {
      REQUIRE(kept == reference::both_ends(n, n, 0));
      continue;
    }
    auto const scores = reference::smooth(reference::window_mass(in, head, rule.window), rule.smoothing);
    Units const forced = reference::both_ends(n, rule.sink_tokens, rule.recent_tokens);
    double const relative = data == Data::ties || data == Data::nan_key ? 0.0 : data == Data::huge ? 5e-2 : 2e-5;
    REQUIRE(reference::explain_selection(kept, scores, forced, rule.capacity,
                                         relative * reference::cut_magnitude(scores, forced, rule.capacity)) == "");
  }
  auto const exact = reference::attend(in, [&](std::int64_t, std::int64_t row) { return dense_keys(in, row); });
  REQUIRE(support::explain_answer(c, exact, data) == "");
}

TEST_CASE("snap-kv: every prompt size equals the oracle", "[methods]") {
  for (Sizes const& sizes : support::prompt_sizes()) {
    equals_the_oracle<float>({20, 8, 5, 4, 8}, sizes, Data::random);
    equals_the_oracle<float>({40, 256, 21, 2, 16}, sizes, Data::random);
    equals_the_oracle<lacuna::bfloat16>({9, 3, 1, 0, 0}, sizes, Data::random);
  }
}

TEST_CASE("snap-kv: a longer prompt with the default window and smoothing equals the oracle", "[methods]") {
  for (std::int64_t capacity : {133, 200, 499, 500, 501})
    equals_the_oracle<float>({capacity, 256, 21, 4, 128}, {500, 500, 1, 3, 32}, Data::random);
}

TEST_CASE("snap-kv: tied, huge, tiny, NaN and infinite inputs equal the oracle", "[methods]") {
  for (Data data : {Data::huge, Data::tiny, Data::nan_key, Data::infinite_query})
    equals_the_oracle<float>({50, 32, 7, 4, 16}, {193, 193, 2, 2, 32}, data);
}

TEST_CASE("snap-kv: smoothing of even attention is damped at both ends", "[methods]") {
  // One window row attends evenly: without zero padding every token would tie and the first would win.
  ProblemCase<float> c(support::make_inputs<float>({100, 100, 1, 1, 16}, Data::ties, 1));
  MethodRun<SnapKv> run(method_of({96, 1, 5, 0, 0}), c.problem());
  REQUIRE(run.select(c.problem()) == "");
  Units expected;
  for (std::int64_t token = 2; token < 98; ++token) expected.push_back(token);
  CHECK(kept_by(run.index(), 0) == expected);
}

TEST_CASE("snap-kv: a tie goes to the lowest position", "[methods]") {
  ProblemCase<float> c(support::make_inputs<float>({100, 100, 1, 1, 16}, Data::ties, 1));
  MethodRun<SnapKv> run(method_of({10, 1, 1, 0, 3}), c.problem());
  REQUIRE(run.select(c.problem()) == "");
  CHECK(kept_by(run.index(), 0) == Units{0, 1, 2, 3, 4, 5, 6, 97, 98, 99});
}

TEST_CASE("snap-kv: sinks and recent tokens are always kept, within the capacity", "[methods]") {
  ProblemCase<float> c(support::make_inputs<float>({300, 300, 2, 2, 16}, Data::huge, 2));
  MethodRun<SnapKv> run(method_of({40, 16, 5, 4, 32}), c.problem());
  REQUIRE(run.select(c.problem()) == "");
  for (std::int64_t head : {0, 1}) {
    Units const kept = kept_by(run.index(), head);
    CHECK(kept.size() == 40);
    for (std::int64_t token : reference::both_ends(300, 4, 32))
      CHECK(std::binary_search(kept.begin(), kept.end(), token));
  }
}

TEST_CASE("snap-kv: a NaN key spoils the scores of its own KV head only", "[methods]") {
  auto in = support::make_inputs<float>({200, 200, 2, 2, 16}, Data::random, 3);
  ProblemCase<float> clean(in);
  in.k[(100 * 2 + 0) * 16] = std::nan("");
  ProblemCase<float> spoilt(in);
  MethodRun<SnapKv> a(method_of({40, 16, 5, 4, 8}), clean.problem()), b(method_of({40, 16, 5, 4, 8}), spoilt.problem());
  REQUIRE(a.select(clean.problem()) == "");
  REQUIRE(b.select(spoilt.problem()) == "");
  CHECK(kept_by(b.index(), 1) == kept_by(a.index(), 1));
  Units first_ones = reference::both_ends(200, 32, 8);
  CHECK(kept_by(b.index(), 0) == first_ones);
}

/// Prompt, eviction, then tokens one by one: each step must equal dense attention under a mask over the full history.
template <class T>
void eviction_equals_a_mask(Sizes const& sizes, SnapKvRule const& rule, std::int64_t steps, std::int64_t page_tokens) {
  CAPTURE(name_of(sizes), page_tokens);
  std::int64_t const prompt = sizes.len_k;
  auto const all = support::make_inputs<T>({prompt + steps, prompt + steps, sizes.heads_kv, sizes.group, sizes.dim},
                                           Data::random, 9);
  support::CacheCase<T, lacuna::EvictingCache> cache(sizes.heads_kv, sizes.dim, prompt + steps, page_tokens, 0);
  REQUIRE(cache.append(all, 0, prompt) == "");
  std::int64_t const pages_of_prompt = cache.pool().pages() - cache.pool().free_pages();

  ProblemCase<T> first(support::rows_of(all, 0, prompt, prompt));
  auto problem = first.problem();
  problem.kv = cache.store().view();
  MethodRun<SnapKv> run(method_of(rule), problem);
  REQUIRE(run.run(problem, first.out()) == "");
  REQUIRE(cache.store().retain(lacuna::Cpu{}, run.index()));
  std::int64_t const kept_pages = (rule.capacity + page_tokens - 1) / page_tokens * sizes.heads_kv;
  CHECK(cache.pool().pages() - cache.pool().free_pages() == std::min(kept_pages, pages_of_prompt));

  lacuna::Dense const dense;
  for (std::int64_t step = 0; step < steps; ++step) {
    CAPTURE(step);
    REQUIRE(cache.append(all, prompt + step, prompt + step + 1) == "");
    auto const now = support::rows_of(all, prompt + step, prompt + step + 1, prompt + step + 1);
    ProblemCase<T> one(now);
    auto decode = one.problem();
    decode.kv = cache.store().view();
    for (std::int64_t head = 0; head < sizes.heads_kv; ++head)
      REQUIRE(cache.store().length(head) == std::min(rule.capacity, prompt) + step + 1);
    MethodRun<lacuna::Dense> decoding(dense, decode);
    REQUIRE(decoding.run(decode, one.out()) == "");
    auto const exact = reference::attend(now, [&](std::int64_t head, std::int64_t) {
      reference::Keys keys = kept_by(run.index(), now.head_kv(head));
      for (std::int64_t j = prompt; j <= prompt + step; ++j) keys.push_back(j);
      return keys;
    });
    REQUIRE(support::explain_answer(one, exact) == "");
  }
}

TEST_CASE("snap-kv: decoding after eviction equals dense attention under a mask", "[methods]") {
  for (std::int64_t page_tokens : {1, 8, 16, 48}) {
    eviction_equals_a_mask<float>({90, 90, 2, 3, 32}, {40, 16, 5, 4, 8}, 20, page_tokens);
    eviction_equals_a_mask<lacuna::bfloat16>({90, 90, 2, 2, 64}, {33, 16, 5, 4, 8}, 9, page_tokens);
  }
  eviction_equals_a_mask<float>({30, 30, 1, 1, 16}, {40, 16, 5, 4, 8}, 5, 16);
}

TEST_CASE("snap-kv: layouts, workers, order and repetition do not change the choice", "[methods]") {
  lacuna::ThreadPool pool(3);
  auto const in = support::make_inputs<float>({400, 400, 2, 3, 64}, Data::random, 7);
  std::vector<Units> first;
  for (auto const& layout : support::layouts()) {
    for (lacuna::Cpu const& exec : {lacuna::Cpu{}, pool.exec(), support::backwards(3)}) {
      CAPTURE(name_of(layout), exec.workers);
      ProblemCase<float> c(in, layout);
      MethodRun<SnapKv> run(method_of({60, 64, 21, 4, 16}), c.problem(), exec);
      for (int again : {0, 1}) {
        CAPTURE(again);
        REQUIRE(run.select(c.problem()) == "");
        std::vector<Units> const kept{kept_by(run.index(), 0), kept_by(run.index(), 1)};
        if (first.empty()) first = kept;
        REQUIRE(kept == first);
      }
    }
  }
}

TEST_CASE("snap-kv: fewer bytes than planned are refused", "[methods]") {
  ProblemCase<float> c(support::make_inputs<float>({200, 200, 1, 2, 16}, Data::random, 3));
  MethodRun<SnapKv> run(method_of({40, 16, 5, 4, 8}), c.problem());
  CHECK(run.run_in(run.plan().workspace_bytes - 1, c.problem(), c.out()).code == lacuna::Errc::workspace_too_small);
  CHECK(run.run_in(0, c.problem(), c.out()).code == lacuna::Errc::workspace_too_small);
  CHECK(run.guards_untouched());
  CHECK(run.run_in(run.plan().workspace_bytes, c.problem(), c.out()));
}

TEST_CASE("snap-kv: density is what was kept of what was held", "[methods]") {
  ProblemCase<float> c(support::make_inputs<float>({200, 200, 2, 2, 16}, Data::random, 3));
  MethodRun<SnapKv> run(method_of({40, 16, 5, 4, 8}), c.problem());
  REQUIRE(run.select(c.problem()) == "");
  CHECK(lacuna::density(run.index()) == Approx(0.2));
}

TEST_CASE("snap-kv: parameters that make no sense are refused by plan", "[methods]") {
  auto complaint = [](SnapKvRule const& rule) {
    return std::string(method_of(rule).plan(lacuna::Cpu{}, {100, 100, 2, 1, 16}).status().message);
  };
  CHECK(complaint({40, 16, 5, 4, 8}).empty());
  CHECK(complaint({0, 16, 5, 4, 8}) == "budget: tokens must be a positive multiple of the tokens of a unit");
  CHECK(complaint({40, 0, 5, 4, 8}) == "window_attention: window must be at least 1");
  CHECK(complaint({40, 16, 4, 4, 8}) == "pooled: width must be odd and at least 1");
  CHECK(complaint({40, 16, 0, 4, 8}) == "pooled: width must be odd and at least 1");
  CHECK(complaint({40, 16, -3, 4, 8}) == "pooled: width must be odd and at least 1");
  CHECK(complaint({12, 16, 5, 4, 8}) == "anchored: the budget must exceed sink_tokens + recent_tokens");
  CHECK(complaint({13, 16, 5, 4, 8}).empty());
}

}  // namespace
