#include <cstdlib>
#include <vector>

#include "lacuna/budgets/dispersion.hpp"
#include "lacuna/budgets/given.hpp"
#include "lacuna/budgets/sublinear.hpp"
#include "lacuna/budgets/with_current.hpp"
#include "lacuna/methods/ada_quest.hpp"
#include "lacuna/methods/ada_snap_kv.hpp"
#include "lacuna/methods/coverage_snap_kv.hpp"
#include "lacuna/methods/duo_attention.hpp"
#include "lacuna/methods/h2o.hpp"
#include "lacuna/methods/original_snap_kv.hpp"
#include "lacuna/methods/quest_top_p.hpp"
#include "lacuna/methods/snap_then_quest.hpp"
#include "lacuna/methods/tova.hpp"
#include "support/batch_steps.hpp"
#include "support/cuda_doors.hpp"
#include "support/random.hpp"

namespace steps_cuda_test {

using namespace lacuna;
using support::BatchSteps;
using support::StepSizes;

constexpr std::int64_t kHeadsKv = 2, kDim = 64;

/// Three sequences of so many tokens.
std::vector<reference::Inputs> sequences(std::int64_t tokens, std::int64_t group) {
  std::vector<reference::Inputs> all;
  for (std::uint64_t b = 0; b < 3; ++b)
    all.push_back(
        support::make_inputs<bfloat16>({tokens, tokens, kHeadsKv, group, kDim}, support::Data::random, 40 + b));
  return all;
}

/// Prompts of different lengths, some of them late, then steps in which sequences grow, wait, end and begin again,
/// with a prompt or without.
template <class S>
void decode(S& c, std::int64_t longest, std::int64_t prompt, int steps, std::uint64_t seed) {
  support::Random random(seed);
  typename S::Ints news{static_cast<std::int32_t>(prompt), static_cast<std::int32_t>(prompt / 3), 0};
  c.prompt(news);
  for (int step = 0; step < steps; ++step) {
    CAPTURE(step);
    std::vector<std::uint8_t> ended(3, 0);
    for (std::size_t b = 0; b < 3; ++b) {
      ended[b] = c.end(b) >= longest || random.below(200) == 0 ? 1 : 0;
      news[b] = random.below(8) == 0 ? 0 : 1;
    }
    c.step(news, ended);
    for (std::size_t b = 0; b < 3; ++b)
      news[b] = c.end(b) == 0 && random.below(2) == 0 ? 1 + static_cast<std::int32_t>(random.below(prompt)) : 0;
    if (news[0] + news[1] + news[2] > 0) c.prompt(news);
  }
  CAPTURE(c.choices(), c.apart());
  CHECK(c.apart() * 100 <= c.choices() + 99);
}

TEST_CASE("cuda steps: Quest reads the CPU's pages and answers from them", "[methods]") {
  for (bool share : {true, false}) {
    CAPTURE(share);
    Quest const quest{.selector = {.share_group = share}, .budget = {.tokens = 48}};
    BatchSteps<Pipeline<Dense, Dense, Quest>> c({{}, {}, quest}, sequences(200, 4), {200, 70, 32, 16}, 16);
    decode(c, 200, 70, 60, share ? 1 : 2);
    CHECK(c.nodes() <= 7);  // end, tables, append; scores, picks, attention in two
  }
}

TEST_CASE("cuda steps: SnapKV evicts at the end of a prompt, Quest reads what is left", "[methods]") {
  SnapKv const snap{.selector = {.inner = {.inner = {.window = 16}, .width = 5}, .sink_tokens = 4, .recent_tokens = 8},
                    .budget = {.tokens = 50}};
  SnapThenQuest const both{{}, snap, {.budget = {.tokens = 32}}};
  BatchSteps<SnapThenQuest> c(both, sequences(150, 2), {150, 90, 16, 16}, 16);
  decode(c, 150, 90, 60, 3);
}

TEST_CASE("cuda steps: heads of a layer compete for tokens once, or for pages at every step", "[methods]") {
  AdaSnapKv ada{.selector = {.sink_tokens = 4, .recent_tokens = 8}, .budget = {.tokens = 50}};
  ada.selector.inner.inner.window = 16;
  ada.selector.inner.width = 5;
  using Ada = Pipeline<Dense, AdaSnapKv, QuestOf<16, Sublinear<FixedBudget>>>;
  Ada const both{{}, ada, {.budget = {.inner = {.tokens = 32}, .reference_tokens = 64}}};
  BatchSteps<Ada> c(both, sequences(150, 2), {150, 90, 16, 16}, 16);
  decode(c, 150, 90, 60, 7);
  BatchSteps<Pipeline<Dense, Dense, AdaQuest>> d({{}, {}, {.budget = {.tokens = 48}}}, sequences(200, 2),
                                                 {200, 70, 16, 16}, 16);
  decode(d, 200, 70, 60, 8);
  using Spread = Pipeline<Dense, SnapKvOf<Dispersion>, Dense>;
  for (lacuna::Spread by : {lacuna::Spread::entropy, lacuna::Spread::mass_outside}) {
    Spread spread{{}, {.selector = {.sink_tokens = 4, .recent_tokens = 8}, .budget = {.tokens = 40, .spread = by}}, {}};
    BatchSteps<Spread> e(spread, sequences(150, 2), {150, 90, 16}, 0);
    decode(e, 150, 90, 20, 9);
  }
}

TEST_CASE("cuda steps: pages by their share of attention", "[methods]") {
  QuestTopP top{.budget = {.share = 0.8, .floor_tokens = 16}};
  top.selector.candidate_tokens = 96;
  BatchSteps<Pipeline<Dense, Dense, QuestTopP>> c({{}, {}, top}, sequences(200, 4), {200, 70, 32, 16}, 16);
  decode(c, 200, 70, 60, 10);
  using Paying = QuestOf<16, WithCurrent<FixedBudget>>;
  BatchSteps<Pipeline<Dense, Dense, Paying>> d({{}, {}, {.budget = {{.tokens = 48}}}}, sequences(200, 2),
                                               {200, 70, 16, 16}, 16);
  decode(d, 200, 70, 30, 11);
}

TEST_CASE("cuda steps: TOVA and H2O forget a token at every step", "[methods]") {
  Tova const tova{.budget = {.tokens = 30}};
  BatchSteps<Pipeline<Dense, Dense, Tova>> c({{}, {}, tova}, sequences(120, 2), {71, 70, 8}, 0);
  decode(c, 120, 40, 60, 4);
  H2o h2o{.budget = {.tokens = 30}};
  h2o.selector.recent_tokens = 10;
  BatchSteps<Pipeline<Dense, Dense, H2o>> d({{}, {}, h2o}, sequences(120, 2), {71, 70, 16}, 0);
  decode(d, 120, 40, 60, 5);
}

/// Two prompts and some steps of a method that evicts.
template <class P>
void evicts_as_the_cpu(P const& method, std::uint64_t seed) {
  BatchSteps<P> c(method, sequences(150, 2), {150, 90, 16}, 0);
  decode(c, 150, 90, 25, seed);
}

TEST_CASE("cuda steps: the originals of SnapKV, AdaKV and TOVA, coverage, H2O per query", "[methods]") {
  OriginalSnapKv snap{.selector = {.recent_tokens = 8}, .budget = {.tokens = 40}};
  snap.selector.inner.inner.inner.window = 8;
  snap.selector.inner.width = 5;
  evicts_as_the_cpu(Pipeline<Dense, OriginalSnapKv, Dense>{{}, snap, {}}, 12);
  OriginalAdaKv ada{.selector = {.recent_tokens = 8}, .budget = {.tokens = 40}};
  ada.selector.inner.inner.inner.window = 8;
  evicts_as_the_cpu(Pipeline<Dense, OriginalAdaKv, Dense>{{}, ada, {}}, 13);
  CoverageSnapKv cover{.selector = {.sink_tokens = 4, .recent_tokens = 8},
                       .budget = {.share = 0.6, .floor_tokens = 16, .most_tokens = 60}};
  evicts_as_the_cpu(Pipeline<Dense, CoverageSnapKv, Dense>{{}, cover, {}}, 14);
  evicts_as_the_cpu(Pipeline<Dense, Dense, OriginalTova>{{}, {}, {.budget = {.tokens = 40}}}, 15);
  H2oPerQuery h2o{.budget = {.tokens = 40}};
  h2o.selector.recent_tokens = 10;
  evicts_as_the_cpu(Pipeline<Dense, Dense, H2oPerQuery>{{}, {}, h2o}, 16);
}

TEST_CASE("cuda steps: streaming heads are rings, retrieval heads keep everything", "[methods]") {
  support::DeviceArray<std::uint8_t> const streaming(std::vector<std::uint8_t>{0, 1});
  BatchSteps<Pipeline<Dense, Dense, DuoAttention>, BatchStreamingRule> c(
      {}, sequences(150, 2), {150, 30, 16}, {.sink_tokens = 3, .recent_tokens = 29, .streaming = streaming.data()});
  c.after_append = [](auto& steps, std::size_t b) {
    auto& held = steps.held(b, 1);
    while (held.size() > 32) held.erase(held.begin() + 3);
  };
  decode(c, 150, 30, 100, 6);
}

TEST_CASE("cuda steps: one captured step serves thousands in which lengths, budgets and sequences change",
          "[methods]") {
  char const* const asked = std::getenv("LACUNA_GRAPH_STEPS");
  int const steps = asked != nullptr ? std::atoi(asked) : 2000;
  using Given = Pipeline<Dense, Dense, QuestOf<16, GivenBudget>>;
  support::DeviceArray<std::int32_t> device(std::vector<std::int32_t>{0});
  std::int32_t host = 0;
  auto const method = [](std::int32_t const* tokens) {
    return Given{{}, {}, {.budget = {.most_tokens = 96, .tokens = dense_view<std::int32_t const, 1>(tokens, {1})}}};
  };
  BatchSteps<Given> c(method(device.data()), sequences(300, 2), {300, 20, 16, 16}, 16);
  c.cpu_method = method(&host);
  support::Random random(9);
  for (int done = 0; done < steps; ++done) {
    CAPTURE(done, host);
    host = static_cast<std::int32_t>(random.below(8) * 16);
    device.upload({host});
    std::vector<std::uint8_t> ended(3, 0);
    std::vector<std::int32_t> news(3, 0);
    for (std::size_t b = 0; b < 3; ++b) {
      ended[b] = c.end(b) >= 300 || random.below(250) == 0 ? 1 : 0;
      news[b] = random.below(10) == 0 ? 0 : 1;
    }
    c.step(news, ended);
  }
  CAPTURE(c.choices(), c.apart());
  CHECK(c.apart() * 100 <= c.choices());
}

}  // namespace steps_cuda_test
