#include "lacuna/methods/pipeline.hpp"

#include <algorithm>
#include <string>
#include <type_traits>
#include <vector>

#include "lacuna/methods/ada_quest.hpp"
#include "lacuna/methods/ada_snap_kv.hpp"
#include "lacuna/methods/h2o.hpp"
#include "lacuna/methods/snap_then_quest.hpp"
#include "lacuna/methods/tova.hpp"
#include "lacuna/methods/vertical_slash.hpp"
#include "reference/attention.hpp"
#include "reference/quest.hpp"
#include "support/cache_case.hpp"
#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/index_case.hpp"
#include "support/memory.hpp"
#include "support/pipeline_run.hpp"

namespace {

using lacuna::Dense;
using lacuna::Pipeline;
using reference::Units;
using support::Data;
using support::PipelineRun;
using support::ProblemCase;

/// The held tokens of every head as a sequence of its own, with the newest token's queries.
reference::Inputs compact(reference::Inputs const& now, std::vector<Units> const& held) {
  reference::Inputs in = now;
  in.len_k = static_cast<std::int64_t>(held[0].size());
  in.k.clear(), in.v.clear();
  for (std::size_t place = 0; place < held[0].size(); ++place)
    for (std::int64_t head = 0; head < now.heads_kv; ++head) {
      std::int64_t const token = held[static_cast<std::size_t>(head)][place];
      in.k.insert(in.k.end(), now.key(token, head), now.key(token, head) + now.dim);
      in.v.insert(in.v.end(), now.value(token, head), now.value(token, head) + now.dim);
    }
  return in;
}

TEST_CASE("snap-then-quest: evict once, then read the best pages of what is left", "[methods]") {
  for (std::int64_t page : {1, 8, 48, 256}) {
    CAPTURE(page);
    std::int64_t const prompt = 200, steps = 40, dim = 16, group = 3;
    auto const all = support::make_inputs<float>({prompt + steps, prompt + steps, 2, group, dim}, Data::random, 6);
    support::CacheCase<float, lacuna::SnapThenQuest::Store> cache(2, dim, prompt + steps, page, 16);
    lacuna::SnapThenQuest pipeline;
    pipeline.prompt_end.budget.tokens = 90;
    pipeline.prompt_end.selector.recent_tokens = 20;
    pipeline.step.budget.tokens = 48;
    lacuna::Shape const shape{prompt, prompt, 2 * group, 2, dim};
    PipelineRun<lacuna::SnapThenQuest> run(pipeline, shape, {1, prompt + steps, 2 * group, 2, dim});
    REQUIRE(cache.append(all, 0, prompt) == "");
    ProblemCase<float> first(support::rows_of(all, 0, prompt, prompt));
    REQUIRE(run.prompt(first, cache.store()) == "");
    auto const dense = reference::attend(
        first.inputs(), [&](std::int64_t, std::int64_t row) { return dense_keys(first.inputs(), row); });
    REQUIRE(support::explain_answer(first, dense) == "");
    std::vector<Units> held;
    for (std::int64_t head = 0; head < 2; ++head) {
      held.push_back(support::units_of(run.indices.prompt_end.tokens, head, run.indices.prompt_end.counts(head)));
      REQUIRE(held.back().size() == 90);
      REQUIRE(support::explain_tokens(cache.store().view(), head, all, held.back()) == "");
    }
    for (std::int64_t token = prompt; token < prompt + steps; ++token) {
      REQUIRE(cache.append(all, token, token + 1) == "");
      for (Units& units : held) units.push_back(token);
      auto const now = compact(support::rows_of(all, token, token + 1, token + 1), held);
      ProblemCase<float> c(now);
      REQUIRE(run.step(c, cache.store()) == "");
      std::vector<Units> pages;
      for (std::int64_t head = 0; head < 2; ++head) {
        pages.push_back(support::units_of(run.indices.step.pages, head, run.indices.step.counts(head)));
        Units chosen = pages.back();
        chosen.pop_back();
        REQUIRE(reference::explain_selection(chosen, reference::quest_shared_scores(now, head, 16), {}, 3, 1e-4) == "");
      }
      auto const exact = reference::attend(now, [&](std::int64_t head, std::int64_t) {
        return reference::page_keys(pages[static_cast<std::size_t>(now.head_kv(head))], 16, now.len_k);
      });
      REQUIRE(support::explain_answer(c, exact) == "");
    }
  }
}

/// One KV head's held tokens as a sequence of its own.
reference::Inputs only_head(reference::Inputs const& now, std::int64_t head, Units const& held) {
  reference::Inputs in{1, static_cast<std::int64_t>(held.size()), now.group(), 1, now.dim, {}, {}, {}};
  in.q.assign(now.query(0, head * now.group()), now.query(0, head * now.group()) + now.group() * now.dim);
  for (std::int64_t token : held) {
    in.k.insert(in.k.end(), now.key(token, head), now.key(token, head) + now.dim);
    in.v.insert(in.v.end(), now.value(token, head), now.value(token, head) + now.dim);
  }
  return in;
}

/// Heads of different lengths, whose pages are picked per head: three each, or by what `Step` says.
template <class Step>
void reads_pages_of_ragged_heads(Step const& step, bool three_each) {
  using P = Pipeline<Dense, lacuna::AdaSnapKv, Step>;
  std::int64_t const prompt = 200, steps = 20, dim = 16, group = 3, heads = 3;
  auto const all = support::make_inputs<float>({prompt + steps, prompt + steps, heads, group, dim}, Data::random, 16);
  support::CacheCase<float, P::template Store> cache(heads, dim, prompt + steps, 8, 16);
  P pipeline;
  pipeline.prompt_end.budget = {60, 0.2};
  pipeline.prompt_end.selector.recent_tokens = 8;
  pipeline.prompt_end.selector.inner.width = 5;
  pipeline.step = step;
  PipelineRun<P> run(pipeline, {prompt, prompt, heads * group, heads, dim},
                     {1, prompt + steps, heads * group, heads, dim});
  REQUIRE(cache.append(all, 0, prompt) == "");
  ProblemCase<float> first(support::rows_of(all, 0, prompt, prompt));
  REQUIRE(run.prompt(first, cache.store()) == "");
  std::vector<Units> held;
  for (std::int64_t head = 0; head < heads; ++head)
    held.push_back(support::units_of(run.indices.prompt_end.tokens, head, run.indices.prompt_end.counts(head)));
  CHECK(held[0].size() + held[1].size() + held[2].size() == 180);
  CHECK((held[0].size() != held[1].size() || held[1].size() != held[2].size()));
  for (std::int64_t token = prompt; token < prompt + steps; ++token) {
    CAPTURE(token);
    REQUIRE(cache.append(all, token, token + 1) == "");
    for (Units& units : held) units.push_back(token);
    auto const now = support::rows_of(all, token, token + 1, token + 1);
    ProblemCase<float> c(now);
    REQUIRE(run.step(c, cache.store()) == "");
    std::vector<Units> read;
    for (std::int64_t head = 0; head < heads; ++head) {
      auto const alone = only_head(now, head, held[static_cast<std::size_t>(head)]);
      Units pages = support::units_of(run.indices.step.pages, head, run.indices.step.counts(head));
      Units places = reference::page_keys(pages, 16, alone.len_k);
      for (std::int64_t& place : places) place = held[static_cast<std::size_t>(head)][static_cast<std::size_t>(place)];
      read.push_back(places);
      pages.pop_back();
      std::int64_t const count = three_each ? 3 : static_cast<std::int64_t>(pages.size());
      REQUIRE(reference::explain_selection(pages, reference::quest_shared_scores(alone, 0, 16), {}, count, 1e-4) == "");
    }
    auto const exact = reference::attend(
        now, [&](std::int64_t head, std::int64_t) { return read[static_cast<std::size_t>(now.head_kv(head))]; });
    REQUIRE(support::explain_answer(c, exact) == "");
  }
}

TEST_CASE("pipeline: pages of heads that differ in length", "[methods]") {
  lacuna::Quest quest;
  quest.budget.tokens = 48;
  reads_pages_of_ragged_heads(quest, true);
  lacuna::AdaQuest ada;
  ada.budget = {.tokens = 48, .floor_share = 0.3};
  reads_pages_of_ragged_heads(ada, false);
}

TEST_CASE("pipeline: where nothing is named everything is dense", "[methods]") {
  auto const all = support::make_inputs<float>({60, 60, 2, 2, 16}, Data::random, 6);
  support::GuardedMemory memory(lacuna::ContiguousCache<float>::bytes(60, 2, 16));
  Pipeline<>::Store<float> store(memory.data(), 60, 2, 16);
  PipelineRun<Pipeline<>> run({}, {50, 50, 4, 2, 16}, {1, 60, 4, 2, 16});
  support::RowsCase<float> const rows(all, 0, 50);
  REQUIRE(store.append({}, rows.k(), rows.v()));
  ProblemCase<float> prompt(support::rows_of(all, 0, 50, 50));
  REQUIRE(run.prompt(prompt, store) == "");
  CHECK(store.length() == 50);
  support::RowsCase<float> const row(all, 50, 51);
  REQUIRE(store.append({}, row.k(), row.v()));
  ProblemCase<float> step(support::rows_of(all, 50, 51, 51));
  REQUIRE(run.step(step, store) == "");
  for (ProblemCase<float> const* c : {&prompt, &step}) {
    auto const exact = reference::attend(
        c->inputs(), [&](std::int64_t, std::int64_t query) { return dense_keys(c->inputs(), query); });
    CHECK(support::explain_answer(*c, exact) == "");
  }
}

TEST_CASE("pipeline: a step that evicts forgets at the prompt's end and after every step", "[methods]") {
  using Sparse = Pipeline<lacuna::VerticalSlash, Dense, lacuna::H2o>;
  static_assert(std::is_same_v<Sparse::Store<float>, lacuna::AccumulatingCache<float>>);
  auto const all = support::make_inputs<float>({100, 100, 2, 2, 16}, Data::random, 6);
  support::CacheCase<float, Sparse::Store> cache(2, 16, 100, 8, 0);
  Sparse pipeline;
  pipeline.step.budget.tokens = 30;
  pipeline.step.selector.recent_tokens = 15;
  PipelineRun<Sparse> run(pipeline, {80, 80, 4, 2, 16}, {1, 80, 4, 2, 16});
  REQUIRE(cache.append(all, 0, 80) == "");
  ProblemCase<float> prompt(support::rows_of(all, 0, 80, 80));
  REQUIRE(run.prompt(prompt, cache.store()) == "");
  CHECK(cache.store().length(0) == 30);
  for (std::int64_t token = 80; token < 100; ++token) {
    REQUIRE(cache.append(all, token, token + 1) == "");
    ProblemCase<float> step(support::rows_of(all, token, token + 1, token + 1));
    REQUIRE(run.step(step, cache.store()) == "");
    REQUIRE(cache.store().length(1) == 30);
  }
}

TEST_CASE("pipeline: the store is that of the method which forgets, or of the step", "[methods]") {
  using lacuna::Quest, lacuna::SnapKv, lacuna::Tova;
  static_assert(std::is_same_v<Pipeline<>::Store<float>, lacuna::ContiguousCache<float>>);
  static_assert(std::is_same_v<Pipeline<Dense, Dense, Quest>::Store<float>, lacuna::PagedCache<float>>);
  static_assert(std::is_same_v<Pipeline<Dense, SnapKv, Quest>::Store<float>, lacuna::EvictingCache<float>>);
  static_assert(std::is_same_v<Pipeline<Dense, Dense, Tova>::Store<float>, lacuna::EvictingCache<float>>);
  Pipeline<Dense, SnapKv, Quest> broken;
  broken.step.budget.tokens = 0;
  CHECK(std::string(broken.plan({}, {9, 9, 1, 1, 16}, {1, 20, 1, 1, 16}).status().message) ==
        "budget: tokens must be a positive multiple of the tokens of a unit");
  broken.prompt_end.budget.tokens = 4;
  CHECK(std::string(broken.plan({}, {9, 9, 1, 1, 16}, {1, 20, 1, 1, 16}).status().message) ==
        "anchored: the budget must exceed sink_tokens + recent_tokens");
}

}  // namespace
