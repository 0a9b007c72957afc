#include "lacuna/methods/quest_top_p.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "lacuna/budgets/with_current.hpp"
#include "lacuna/core/thread_pool.hpp"
#include "lacuna/methods/ada_quest.hpp"
#include "lacuna/methods/quest.hpp"
#include "reference/adaptive_heads.hpp"
#include "reference/attention.hpp"
#include "reference/page_attention.hpp"
#include "reference/top_mass.hpp"
#include "support/bounds_case.hpp"
#include "support/catch.hpp"
#include "support/compare.hpp"
#include "support/exec.hpp"
#include "support/index_case.hpp"
#include "support/method_run.hpp"
#include "support/sizes.hpp"

namespace {

using lacuna::AdaQuest;
using lacuna::QuestTopP;
using reference::Units;
using reference::UnitScores;
using support::BoundsCase;
using support::Data;
using support::MethodRun;

Units pages_of(lacuna::PageIndex const& index, std::int64_t row) {
  return support::units_of(index.pages, row, index.counts(row));
}

template <class M>
void attends_to_its_pages(BoundsCase<float>& b, MethodRun<M> const& run) {
  reference::Inputs const& in = b.problem_case().inputs();
  auto const exact = reference::attend(in, [&](std::int64_t head, std::int64_t) {
    return reference::page_keys(pages_of(run.index(), in.head_kv(head)), 16, in.len_k);
  });
  REQUIRE(support::explain_answer(b.problem_case(), exact) == "");
}

/// The smallest prefix of the candidates that holds the share, within the floor and the most.
void covers_like_the_oracle(std::int64_t len, std::int64_t group, double share, std::int64_t floor, std::int64_t most) {
  CAPTURE(len, group, share, floor, most);
  auto const in = support::make_inputs<float>({1, len, 2, group, 32}, Data::random, 31);
  BoundsCase<float> b(in, 16);
  QuestTopP method;
  method.selector.candidate_tokens = 160;
  method.budget = {share, floor, most};
  MethodRun<QuestTopP> run(method, b.problem());
  REQUIRE(run.run(b.problem(), b.problem_case().out()) == "");
  for (std::int64_t head = 0; head < 2; ++head) {
    CAPTURE(head);
    Units kept = pages_of(run.index(), head);
    REQUIRE(kept.back() == reference::current_page(len, 16));
    kept.pop_back();
    auto const candidates = reference::top_units(reference::quest_shared_scores(in, head, 16), {}, 10);
    auto const mass = reference::page_attention(in, head * group, (head + 1) * group, candidates, 16);
    std::int64_t const all = static_cast<std::int64_t>(mass.size()), named = std::min<std::int64_t>(all, 10);
    std::int64_t count = share == 1.0 ? named : reference::cover(mass, share);
    count = std::min({std::max(count, (floor + 15) / 16), most == 0 ? all : most / 16, all});
    REQUIRE(reference::explain_selection(kept, mass, {}, count, 1e-6) == "");
  }
  attends_to_its_pages(b, run);
}

TEST_CASE("quest-top-p: the pages that hold the share of attention, and the current one", "[methods]") {
  for (std::int64_t group : {1, 2, 3, 4, 5, 6, 7, 8}) covers_like_the_oracle(300, group, 0.6, 16, 0);
  for (double share : {0.0, 0.3, 0.85, 0.95, 1.0}) covers_like_the_oracle(333, 2, share, 16, 0);
  for (std::int64_t len : {1, 16, 17, 33, 161, 177}) covers_like_the_oracle(len, 2, 0.5, 16, 0);
  covers_like_the_oracle(300, 2, 0.1, 64, 0);
  covers_like_the_oracle(300, 2, 0.99, 16, 48);
}

TEST_CASE("ada-quest: heads compete for one pool of pages at every step", "[methods]") {
  for (std::int64_t group : {1, 3, 8}) {
    CAPTURE(group);
    auto const in = support::make_inputs<float>({1, 500, 3, group, 32}, Data::random, 32);
    BoundsCase<float> b(in, 16);
    AdaQuest const method{.budget = {.tokens = 128, .floor_share = 0.25}};
    MethodRun<AdaQuest> run(method, b.problem());
    REQUIRE(run.run(b.problem(), b.problem_case().out()) == "");
    std::vector<UnitScores> shares;
    for (std::int64_t head = 0; head < 3; ++head)
      shares.push_back(reference::softmax(reference::quest_shared_scores(in, head, 16), in.beta()));
    auto const exact = reference::adaptive_units(shares, std::vector<Units>(3), 3 * 8, 2);
    for (std::int64_t head = 0; head < 3; ++head) {
      Units kept = pages_of(run.index(), head);
      kept.pop_back();
      CHECK(kept == exact[static_cast<std::size_t>(head)]);
    }
    attends_to_its_pages(b, run);
  }
}

TEST_CASE("ada-quest: pages that all tie go to the lower head and the lower page, above the floor", "[methods]") {
  BoundsCase<float> b(support::make_inputs<float>({1, 200, 2, 1, 16}, Data::ties, 3), 16);
  MethodRun<AdaQuest> run(AdaQuest{.budget = {.tokens = 64, .floor_share = 0.5}}, b.problem());
  REQUIRE(run.select(b.problem()) == "");
  CHECK(pages_of(run.index(), 0) == Units{0, 1, 2, 3, 4, 5, 12});
  CHECK(pages_of(run.index(), 1) == Units{0, 1, 12});
}

TEST_CASE("quest: the current page inside the budget, as in the original", "[methods]") {
  using Original = lacuna::QuestOf<16, lacuna::WithCurrent<lacuna::FixedBudget>>;
  auto const in = support::make_inputs<float>({1, 300, 2, 2, 32}, Data::random, 33);
  BoundsCase<float> b(in, 16);
  MethodRun<Original> run(Original{.budget = {.inner = {.tokens = 64}}}, b.problem());
  REQUIRE(run.run(b.problem(), b.problem_case().out()) == "");
  for (std::int64_t head = 0; head < 2; ++head)
    CHECK(pages_of(run.index(), head) == reference::quest_pages(reference::quest_shared_scores(in, head, 16), 3));
  attends_to_its_pages(b, run);
}

template <class M>
void same_bits_for_any_workers(M const& method) {
  lacuna::ThreadPool pool(3);
  BoundsCase<float> b(support::make_inputs<float>({1, 3000, 2, 4, 64}, Data::random, 7), 16);
  std::vector<double> first;
  for (lacuna::Cpu const& exec : {lacuna::Cpu{}, pool.exec(), support::backwards(3)}) {
    MethodRun<M> run(method, b.problem(), exec);
    REQUIRE(run.run(b.problem(), b.problem_case().out()) == "");
    if (first.empty()) first = b.problem_case().answer();
    REQUIRE(b.problem_case().answer() == first);
    CHECK(run.run_in(run.plan().workspace_bytes - 1, b.problem(), b.problem_case().out()).code ==
          lacuna::Errc::workspace_too_small);
  }
}

TEST_CASE("quest-top-p, ada-quest: workers and their order do not change a bit, fewer bytes are refused", "[methods]") {
  QuestTopP top_p;
  top_p.selector.candidate_tokens = 1024;
  same_bits_for_any_workers(top_p);
  same_bits_for_any_workers(AdaQuest{.budget = {.tokens = 256}});
}

}  // namespace
