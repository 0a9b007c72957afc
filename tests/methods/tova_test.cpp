#include "lacuna/methods/tova.hpp"

#include <algorithm>
#include <string>

#include "lacuna/core/thread_pool.hpp"
#include "support/catch.hpp"
#include "support/eviction_case.hpp"
#include "support/exec.hpp"
#include "support/sizes.hpp"

namespace {

using lacuna::Tova;
using reference::Units;
using support::Data;

/// Prompt, then steps: at each the answer is over all that is held, and then exactly the least heeded leave.
template <class T>
void forgets_like_the_oracle(Data data, std::int64_t prompt, std::int64_t steps, std::int64_t group,
                             std::int64_t page_tokens) {
  CAPTURE(name_of(data), prompt, group, page_tokens);
  std::int64_t const capacity = 24;
  auto const all = support::make_inputs<T>({prompt + steps, prompt + steps, 2, group, 16}, data, 41);
  support::EvictionCase<Tova, T> c({.budget = {.tokens = capacity}}, all, std::max(prompt, capacity) + 1, prompt,
                                   page_tokens);
  for (std::int64_t step = 0; step < steps; ++step) {
    CAPTURE(step);
    std::int64_t const queries = step == 0 ? prompt : 1;
    REQUIRE(c.append(queries) == "");
    auto const held = c.held();
    std::string const answer = c.run(queries);
    if (data == Data::random) REQUIRE(answer == "");
    for (std::int64_t head = 0; head < 2; ++head) {
      auto const& units = held[static_cast<std::size_t>(head)];
      Units const newest{static_cast<std::int64_t>(units.size()) - 1};
      auto const scores = reference::held_weights(all, c.end() - 1, head, units);
      if (data == Data::random)
        REQUIRE(reference::explain_selection(c.kept(head), scores, newest, capacity,
                                             2e-5 * reference::cut_magnitude(scores, newest, capacity)) == "");
      else
        REQUIRE(c.kept(head) == reference::top_later_units(scores, newest, capacity));
    }
    REQUIRE(c.retain() == "");
    REQUIRE(c.pool().pages() - c.pool().free_pages() == c.pages_in_use());
  }
}

TEST_CASE("tova: every step attends to all that is held, then the least heeded token leaves", "[methods]") {
  for (std::int64_t page : {1, 8, 48, 256}) forgets_like_the_oracle<float>(Data::random, 40, 40, 2, page);
  for (std::int64_t group : {1, 3, 4, 5, 6, 7, 8}) forgets_like_the_oracle<float>(Data::random, 10, 30, group, 16);
  forgets_like_the_oracle<lacuna::bfloat16>(Data::random, 50, 30, 4, 16);
}

TEST_CASE("tova: of tokens that tie the oldest leave, and the newest never does", "[methods]") {
  forgets_like_the_oracle<float>(Data::ties, 30, 30, 2, 16);
  forgets_like_the_oracle<float>(Data::nan_key, 40, 20, 2, 16);
}

TEST_CASE("tova: the original has one victim for all heads of the layer", "[methods]") {
  for (Data data : {Data::random, Data::ties}) {
    std::int64_t const capacity = 24;
    auto const all = support::make_inputs<float>({70, 70, 3, 2, 16}, data, 43);
    support::EvictionCase<lacuna::OriginalTova, float> c({.budget = {.tokens = capacity}}, all, 41, 40, 16);
    for (std::int64_t step = 0; step < 30; ++step) {
      CAPTURE(step);
      std::int64_t const queries = step == 0 ? 40 : 1;
      REQUIRE(c.append(queries) == "");
      auto const held = c.held();
      REQUIRE(c.run(queries) == "");
      reference::UnitScores mean(held[0].size());
      for (std::int64_t head = 0; head < 3; ++head) {
        REQUIRE(held[static_cast<std::size_t>(head)] == held[0]);
        auto const one = reference::held_weights(all, c.end() - 1, head, held[0]);
        for (std::size_t i = 0; i < one.size(); ++i) mean[i] += one[i] / 3.0;
      }
      Units const newest{static_cast<std::int64_t>(mean.size()) - 1};
      REQUIRE(c.kept(1) == c.kept(0));
      REQUIRE(c.kept(2) == c.kept(0));
      if (data == Data::ties)
        REQUIRE(c.kept(0) == reference::top_later_units(mean, newest, capacity));
      else
        REQUIRE(reference::explain_selection(c.kept(0), mean, newest, capacity,
                                             2e-5 * reference::cut_magnitude(mean, newest, capacity)) == "");
      REQUIRE(c.retain() == "");
    }
  }
  support::ProblemCase<float> ragged(support::make_inputs<float>({1, 30, 2, 1, 16}, Data::random, 1));
  std::int32_t const lens[] = {30, 29};
  ragged.kv().lens = lens;
  support::MethodRun<lacuna::OriginalTova> run({.budget = {.tokens = 8}}, ragged.problem());
  CHECK(run.select(ragged.problem()) == "layer_shared: every KV head must hold the same tokens");
}

TEST_CASE("tova: thousands of steps on a nearly empty pool lose no page", "[methods]") {
  support::Random random(11);
  auto const all = support::make_inputs<float>({2600, 2600, 2, 2, 4}, Data::random, 3);
  std::int64_t const capacity = 37, page = 8;
  support::EvictionCase<Tova, float> c({.budget = {.tokens = capacity}}, all, 60, 20, page, 13);
  std::int64_t refused = 0;
  while (c.end() + 20 < 2600) {
    CAPTURE(c.end());
    std::int64_t const tokens = random.below(4) == 0 ? 1 + random.below(20) : 1;
    std::string const complaint = c.append(tokens);
    if (!complaint.empty()) {
      ++refused;
      REQUIRE(complaint == "paged_cache: the pool has too few free pages");
      REQUIRE(c.append(1) == "");
    }
    REQUIRE(c.run() == "");
    REQUIRE(c.retain() == "");
    REQUIRE(c.pool().pages() - c.pool().free_pages() == c.pages_in_use());
  }
  CHECK(refused > 10);
  c.store().clear();
  CHECK(c.pool().free_pages() == c.pool().pages());
}

TEST_CASE("tova: any number of workers keeps the same tokens, the budget must exceed what is anchored", "[methods]") {
  lacuna::ThreadPool pool(3);
  auto const all = support::make_inputs<float>({300, 300, 4, 2, 64}, Data::random, 7);
  std::vector<std::vector<Units>> kept;
  for (lacuna::Cpu const& exec : {lacuna::Cpu{}, pool.exec(), support::backwards(3)}) {
    support::EvictionCase<Tova, float> c({.budget = {.tokens = 64}}, all, 300, 200, 16, 0, exec);
    REQUIRE(c.append(200) == "");
    REQUIRE(c.run(200) == "");
    kept.push_back({c.kept(0), c.kept(1), c.kept(2), c.kept(3)});
    CHECK(kept.back() == kept.front());
  }
  CHECK(std::string(Tova{.budget = {.tokens = 1}}.plan(lacuna::Cpu{}, {1, 9, 1, 1, 16}).status().message) ==
        "anchored: the budget must exceed sink_tokens + recent_tokens");
}

}  // namespace
