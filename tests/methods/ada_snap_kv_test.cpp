#include "lacuna/methods/ada_snap_kv.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "lacuna/core/thread_pool.hpp"
#include "lacuna/methods/dense.hpp"
#include "reference/adaptive_heads.hpp"
#include "reference/attention.hpp"
#include "support/cache_case.hpp"
#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/exec.hpp"
#include "support/index_case.hpp"
#include "support/method_run.hpp"
#include "support/sizes.hpp"

namespace {

using lacuna::AdaSnapKv;
using reference::SnapKvRule;
using reference::Units;
using support::Data;
using support::MethodRun;
using support::ProblemCase;
using support::Sizes;

AdaSnapKv method_of(SnapKvRule const& rule, double floor_share = 0.2) {
  return {.selector = {.inner = {.inner = {.window = rule.window}, .width = rule.smoothing},
                       .sink_tokens = rule.sink_tokens,
                       .recent_tokens = rule.recent_tokens},
          .budget = {.tokens = rule.capacity, .floor_share = floor_share}};
}

std::vector<Units> kept_by(lacuna::TokenIndex const& index) {
  std::vector<Units> kept;
  for (std::int64_t head = 0; head < index.heads(); ++head)
    kept.push_back(support::units_of(index.tokens, head, index.counts(head)));
  return kept;
}

/// Each head keeps its own best, the total is exact, and no unit that a head lost to another was better.
template <class T>
void equals_the_oracle(SnapKvRule const& rule, Sizes const& sizes, Data data) {
  std::int64_t const n = sizes.len_k;
  CAPTURE(name_of(sizes), name_of(data), rule.capacity, rule.window, rule.smoothing);
  auto const in = support::make_inputs<T>(sizes, data, 300 + static_cast<std::uint64_t>(n));
  ProblemCase<T> c(in);
  MethodRun<AdaSnapKv> run(method_of(rule), c.problem());
  REQUIRE(run.run(c.problem(), c.out()) == "");
  auto const kept = kept_by(run.index());
  Units const forced = reference::both_ends(n, rule.sink_tokens, rule.recent_tokens);
  std::vector<reference::UnitScores> scores;
  for (std::int64_t head = 0; head < in.heads_kv; ++head)
    scores.push_back(reference::smooth(reference::window_peak(in, head, rule.window), rule.smoothing));
  std::int64_t const pool = in.heads_kv * std::min(rule.capacity, n);
  std::int64_t const floor = std::max<std::int64_t>(rule.capacity / 5, rule.sink_tokens + rule.recent_tokens);
  auto const exact =
      reference::adaptive_units(scores, std::vector<Units>(scores.size(), forced), pool, std::min(floor, n));
  if (data == Data::ties || data == Data::nan_key) {
    REQUIRE(kept == exact);
    return;
  }
  std::int64_t total = 0;
  double lowest_extra = 1e300, highest_lost = 0.0;
  for (std::size_t head = 0; head < scores.size(); ++head) {
    std::int64_t const count = static_cast<std::int64_t>(kept[head].size());
    double const tolerance = 2e-5 * reference::cut_magnitude(scores[head], forced, count);
    REQUIRE(reference::explain_selection(kept[head], scores[head], forced, count, tolerance) == "");
    total += count;
    REQUIRE(count >= std::min(floor, n));
    if (count > floor) lowest_extra = std::min(lowest_extra, reference::cut_magnitude(scores[head], forced, count));
    if (count < n) {
      Units const next = reference::top_units(scores[head], forced, count + 1);
      highest_lost = std::max(highest_lost, reference::cut_magnitude(scores[head], forced, count + 1));
    }
  }
  REQUIRE(total == pool);
  REQUIRE(lowest_extra >= highest_lost * (1.0 - 4e-5));
  auto const dense = reference::attend(in, [&](std::int64_t, std::int64_t row) { return dense_keys(in, row); });
  REQUIRE(support::explain_answer(c, dense, data) == "");
}

TEST_CASE("ada-snap-kv: every prompt size equals the oracle", "[methods]") {
  for (Sizes const& sizes : support::prompt_sizes()) equals_the_oracle<float>({24, 32, 5, 2, 8}, sizes, Data::random);
  equals_the_oracle<float>({24, 32, 5, 2, 8}, {300, 300, 4, 3, 32}, Data::random);
  equals_the_oracle<lacuna::bfloat16>({40, 16, 21, 4, 8}, {257, 257, 3, 2, 64}, Data::random);
}

TEST_CASE("ada-snap-kv: ties and NaN keys", "[methods]") {
  equals_the_oracle<float>({24, 32, 1, 2, 8}, {100, 100, 3, 2, 16}, Data::nan_key);
  equals_the_oracle<float>({24, 32, 5, 2, 8}, {100, 100, 2, 8, 16}, Data::ties);
}

TEST_CASE("ada-snap-kv: decoding after eviction equals dense attention over what each head kept", "[methods]") {
  for (std::int64_t page : {1, 8, 48, 256}) {
    CAPTURE(page);
    auto const all = support::make_inputs<float>({180, 180, 3, 2, 32}, Data::random, 6);
    support::CacheCase<float, lacuna::EvictingCache> cache(3, 32, 180, page, 0);
    REQUIRE(cache.append(all, 0, 150) == "");
    ProblemCase<float> prompt(support::rows_of(all, 0, 150, 150));
    auto problem = prompt.problem();
    problem.kv = cache.store().view();
    MethodRun<AdaSnapKv> run(method_of({30, 32, 5, 2, 8}), problem);
    REQUIRE(run.run(problem, prompt.out()) == "");
    REQUIRE(cache.store().retain(lacuna::Cpu{}, run.index()));
    std::vector<Units> held = kept_by(run.index());
    CHECK(held[0].size() + held[1].size() + held[2].size() == 90);
    for (std::int64_t token = 150; token < 180; ++token) {
      REQUIRE(cache.append(all, token, token + 1) == "");
      for (Units& units : held) units.push_back(token);
      auto const now = support::rows_of(all, token, token + 1, token + 1);
      ProblemCase<float> c(now);
      auto step = c.problem();
      step.kv = cache.store().view();
      support::GuardedMemory scratch(lacuna::Dense{}.plan(lacuna::Cpu{}, lacuna::shape_of(step))->workspace_bytes);
      lacuna::DenseIndex dense;
      REQUIRE(lacuna::Dense{}.run(lacuna::Cpu{}, step, scratch.workspace(), dense, c.out()));
      auto const exact = reference::attend(
          now, [&](std::int64_t head, std::int64_t) { return held[static_cast<std::size_t>(now.head_kv(head))]; });
      REQUIRE(support::explain_answer(c, exact) == "");
    }
    CHECK(cache.guards_untouched());
  }
}

TEST_CASE("ada-snap-kv: workers, order and repetition do not change a bit, fewer bytes are refused", "[methods]") {
  lacuna::ThreadPool pool(3);
  ProblemCase<float> c(support::make_inputs<float>({400, 400, 4, 2, 64}, Data::random, 7));
  std::vector<Units> first;
  for (lacuna::Cpu const& exec : {lacuna::Cpu{}, pool.exec(), support::backwards(3)}) {
    MethodRun<AdaSnapKv> run(method_of({64, 64, 5, 2, 8}), c.problem(), exec);
    REQUIRE(run.run(c.problem(), c.out()) == "");
    if (first.empty()) first = kept_by(run.index());
    CHECK(kept_by(run.index()) == first);
    CHECK(run.run_in(run.plan().workspace_bytes - 1, c.problem(), c.out()).code == lacuna::Errc::workspace_too_small);
  }
}

TEST_CASE("ada-snap-kv: refusals", "[methods]") {
  auto complaint = [](AdaSnapKv const& method) {
    return std::string(method.plan(lacuna::Cpu{}, {1000, 1000, 2, 1, 16}).status().message);
  };
  CHECK(complaint(method_of({11, 32, 5, 2, 8})).empty());
  CHECK(complaint(method_of({10, 32, 5, 2, 8})) == "anchored: the budget must exceed sink_tokens + recent_tokens");
  CHECK(complaint(method_of({24, 0, 5, 2, 8})) == "window_peak: window must be at least 1");
}

}  // namespace
