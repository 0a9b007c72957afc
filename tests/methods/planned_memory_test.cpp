#include <cstdint>
#include <string>
#include <vector>

#include "lacuna/lacuna.hpp"
#include "support/cache_case.hpp"
#include "support/catch.hpp"
#include "support/heap.hpp"
#include "support/inputs.hpp"
#include "support/memory.hpp"
#include "support/method_run.hpp"
#include "support/problem_case.hpp"
#include "support/store_case.hpp"

// Every method over the store that it names: what it and its caller ask of the heap is what plan said, to the byte; one
// byte less is refused; and no call on the way allocates, neither of the method nor of the store.

namespace {

using namespace lacuna;
using support::GuardedMemory, support::Heap, support::heap_of, support::ProblemCase;

constexpr std::int64_t kPrompt = 200, kTokens = 400, kSteps = 3, kHeads = 3, kGroup = 2, kDim = 32;

std::vector<std::uint8_t> const some_heads{0, 1, 0};
GivenHeads const kSecond{{some_heads.data(), {kHeads}, {1}}};
std::vector<std::int32_t> const pair_counts(12, 40);
std::vector<float> const head_shares{0.5F, 0.7F, 0.5F, 0.6F, 0.9F, 0.3F};

Heap caller_of(Plan const& plan) {
  return {2, static_cast<std::int64_t>(plan.index_bytes + plan.workspace_bytes + 4 * GuardedMemory::kGuardBytes)};
}

/// A status of a call that must not have allocated.
template <class Call>
std::string without_allocating(Call const& call) {
  Status status;
  CHECK(heap_of([&] { status = call(); }) == Heap{});
  return status.message;
}

/// Tokens [first, last) come into the store.
template <class Cache>
void append(Cache& store, Cpu exec, reference::Inputs const& in, std::int64_t first, std::int64_t last) {
  support::RowsCase<float> const rows(in, first, last);
  TensorView<float const, 3> const k = rows.k(), v = rows.v();
  CHECK(without_allocating([&] { return store.append(exec, k, v); }) == "");
}

/// One call of a method, in memory of its own and over what the store holds.
template <class M, class Cache>
void keeps_to_its_plan(M const& method, Cpu exec, Problem<float> const& problem, Cache& store,
                       AttentionOut<float> const& out) {
  Shape const shape = shape_of(problem);
  typename M::Index index;
  Status status;
  Plan plan;
  CHECK(without_allocating([&] {
          auto const planned = method.plan(exec, shape);
          if (planned) plan = *planned;
          return planned ? Status{} : planned.status();
        }) == "");
  REQUIRE(plan.workspace_bytes > 0);
  std::size_t index_bytes = 0;
  Errc refusal{};
  bool guards = false;
  Heap const all = heap_of([&] {
    GuardedMemory index_memory(plan.index_bytes), scratch(plan.workspace_bytes);
    Workspace memory = index_memory.workspace();
    index = method.make_index(shape, memory);
    index_bytes = memory.used_bytes();
    auto const run = [&](std::size_t bytes) {
      if constexpr (requires { method.run(exec, problem, store, scratch.workspace(), index, out); })
        return method.run(exec, problem, store, scratch.workspace(bytes), index, out);
      else
        return method.run(exec, problem, scratch.workspace(bytes), index, out);
    };
    refusal = run(plan.workspace_bytes - 1).code;
    status = run(plan.workspace_bytes);
    if constexpr (requires { store.retain(exec, index); })
      if (status) status = store.retain(exec, index);
    guards = index_memory.guards_untouched() && scratch.guards_untouched();
  });
  CHECK(all == caller_of(plan));
  CHECK(index_bytes == plan.index_bytes);
  CHECK(refusal == Errc::workspace_too_small);
  CHECK(std::string(status.message) == "");
  CHECK(guards);
}

/// The prompt's call for what decides there, a step's for what decides at each step, both for what evicts after each.
template <class M, class Cache>
void runs_in_its_plan(M const& method, Cpu exec, Cache& store, bool decodes) {
  auto const in = support::make_inputs<float>({kTokens, kTokens, kHeads, kGroup, kDim}, support::Data::random, 3);
  auto const call = [&](std::int64_t first, std::int64_t end) {
    ProblemCase<float> c(support::rows_of(in, first, end, end));
    Problem<float> problem = c.problem();
    if constexpr (requires { problem.kv = store.view(); }) problem.kv = store.view();
    keeps_to_its_plan(method, exec, problem, store, c.out());
  };
  append(store, exec, in, 0, kTokens - 1);
  if (!decodes || M::moment == Moment::evict_each_step) call(kTokens - 1 - kPrompt, kTokens - 1);
  if (!decodes) return;
  append(store, exec, in, kTokens - 1, kTokens);
  call(kTokens - 1, kTokens);
}

template <class M>
void check(char const* name, M const& method, Cpu exec) {
  CAPTURE(name, exec.workers);
  support::StoreCase<float, M::template Store> c(kHeads, kDim, kTokens, kSecond.second);
  constexpr bool streams = std::is_same_v<typename M::template Store<float>, StreamingCache<float>>;
  runs_in_its_plan(method, exec, c.store(),
                   streams || !(M::moment == Moment::prefill || M::moment == Moment::prompt_end));
  CHECK(c.guards_untouched());
}

template <class M, Code C>
void check_over_codes(char const* name, M const& pages, Cpu exec) {
  CAPTURE(name, exec.workers);
  using Over = OverQuantised<M, float, C>;
  std::int64_t const pool_pages = kHeads * (kTokens / 16 + 1);
  GuardedMemory pool_memory(PagePool<C>::bytes(pool_pages, 16, kDim));
  PagePool<C> pool(pool_memory.data(), pool_pages, 16, kDim);
  std::vector<float> const scales(kHeads, 4.0F / kLargestCode<C>);
  auto const scale = dense_view<float const, 1>(scales.data(), {kHeads});
  GuardedMemory memory(Over::Store::bytes(pool, kTokens, kHeads, 16));
  typename Over::Store store(pool, memory.data(), kTokens, kHeads, 16, scale, scale);
  runs_in_its_plan(Over{pages}, exec, store, true);
  CHECK((pool_memory.guards_untouched() && memory.guards_untouched()));
}

/// The prompt, then some steps over what is held of it, in one workspace.
template <class P>
void check_pipeline(char const* name, P const& pipeline, std::int64_t held, Cpu exec) {
  CAPTURE(name, exec.workers);
  support::StoreCase<float, P::template Store> c(kHeads, kDim, kTokens, kSecond.second);
  auto& store = c.store();
  auto const in = support::make_inputs<float>({kTokens, kTokens, kHeads, kGroup, kDim}, support::Data::random, 3);
  Shape const prompt{kPrompt, kPrompt, kHeads * kGroup, kHeads, kDim};
  Shape const longest{1, held + kSteps, kHeads * kGroup, kHeads, kDim};
  Plan plan;
  CHECK(heap_of([&] { plan = *pipeline.plan(exec, prompt, longest); }) == Heap{});
  GuardedMemory index_memory(plan.index_bytes), scratch(plan.workspace_bytes);
  Workspace memory = index_memory.workspace();
  typename P::Indices indices;
  CHECK(heap_of([&] { indices = pipeline.make_indices(prompt, longest, memory); }) == Heap{});
  CHECK(memory.used_bytes() == plan.index_bytes);
  int refused = 0;
  auto const turn = [&](std::int64_t first, std::int64_t end) {
    append(store, exec, in, first, end);
    ProblemCase<float> problem_case(support::rows_of(in, first, end, end));
    Problem<float> const problem = problem_case.problem();
    AttentionOut<float> const out = problem_case.out();
    auto const run = [&](std::size_t bytes) {
      return end == kPrompt ? pipeline.run_prompt(exec, problem, store, scratch.workspace(bytes), indices, out)
                            : pipeline.run_step(exec, problem, store, scratch.workspace(bytes), indices, out);
    };
    if (end == kPrompt || end == kPrompt + kSteps) {  // the peak is one of these calls
      Status const small = run(plan.workspace_bytes - 1);
      refused += small.code == Errc::workspace_too_small;
      if (small) return;
    }
    CHECK(without_allocating([&] { return run(plan.workspace_bytes); }) == "");
  };
  turn(0, kPrompt);
  for (std::int64_t end = kPrompt + 1; end <= kPrompt + kSteps; ++end) turn(end - 1, end);
  CHECK(refused > 0);
  CHECK((index_memory.guards_untouched() && scratch.guards_untouched() && c.guards_untouched()));
}

template <class F>
void on_one_worker_and_two(F const& f) {
  ThreadPool pool(2);
  f(Cpu{});
  f(pool.exec());
}

TEST_CASE("planned memory: every method of prefill", "[methods]") {
  on_one_worker_and_two([](Cpu exec) {
    check("Dense", Dense{}, exec);
    check("Streaming", Streaming{.window_tokens = 50}, exec);
    check("Tri-shape", Streaming{.window_tokens = 50, .dense_queries = 20}, exec);
    check("VerticalSlash", VerticalSlash{.budget = {.columns = 30, .diagonals = 80}}, exec);
    check("VerticalSlashGqa", VerticalSlashGqa{.budget = {.columns = 30, .diagonals = 80}}, exec);
    check("FlexPrefill", FlexPrefill{.budget = {.floor_tokens = 64}}, exec);
    OriginalFlexPrefill either;
    either.first.budget.floor_tokens = 64;
    either.chooser.threshold = 0.3;
    check("OriginalFlexPrefill", either, exec);
    check("QueryAwareBlocks", QueryAwareBlocks{}, exec);
    check("BlockSparse", BlockSparse{.budget = {.tokens = 64}}, exec);
    check("BlockSparseGqa", BlockSparseGqa{.budget = {.tokens = 64}}, exec);
    check("BlockTopP", BlockTopP{.budget = {.floor_tokens = 48}}, exec);
    check("BlockAntidiagonal", BlockAntidiagonal{.budget = {.tokens = 64}}, exec);
    check("XAttention", XAttention{}, exec);
    check("Sparge", Sparge{}, exec);
    check("DuoPrefill", DuoPrefill{{}, {.window_tokens = 50}, kSecond}, exec);
    DuoVerticalSlash duo{{}, {.window_tokens = 50}, kSecond};
    duo.first.budget = {30, 80};
    check("DuoVerticalSlash", duo, exec);
  });
}

/// The plan serves either way, so only one of the two need all of it.
TEST_CASE("planned memory: a method or dense attention, whichever is faster", "[methods]") {
  auto const in = support::make_inputs<float>({kPrompt, kPrompt, kHeads, kGroup, kDim}, support::Data::random, 3);
  on_one_worker_and_two([&](Cpu exec) {
    int refused = 0;
    for (bool const sparse : {false, true}) {
      OrDense<BlockSparse, BlockSparseCost> either{{.budget = {.tokens = 64}}, {0.1}, {}};
      if (sparse) either.model.prefill.dense.fixed_ms = 1.0;
      ProblemCase<float> c(in);
      Problem<float> const problem = c.problem();
      AttentionOut<float> const out = c.out();
      support::MethodRun<OrDense<BlockSparse, BlockSparseCost>> run(either, problem, exec);
      REQUIRE(either.picks_dense(shape_of(problem)) == !sparse);
      Status status;
      CHECK(heap_of([&] { status = run.run_in(run.plan().workspace_bytes - 1, problem, out); }) == Heap{});
      refused += status.code == Errc::workspace_too_small;
      CHECK(without_allocating([&] { return run.run_in(run.plan().workspace_bytes, problem, out); }) == "");
      CHECK(run.guards_untouched());
    }
    CHECK(refused > 0);
  });
}

TEST_CASE("planned memory: every method at the prompt's end", "[methods]") {
  on_one_worker_and_two([](Cpu exec) {
    check("SnapKv", SnapKv{.budget = {.tokens = 160}}, exec);
    check("AdaSnapKv", AdaSnapKv{.budget = {.tokens = 160}}, exec);
    check("CoverageSnapKv", CoverageSnapKv{.budget = {.floor_tokens = 160}}, exec);
    check("OriginalSnapKv", OriginalSnapKv{.budget = {.tokens = 160}}, exec);
    check("OriginalAdaKv", OriginalAdaKv{.budget = {.tokens = 160}}, exec);
    check("SnapKvOf<Ratio>", SnapKvOf<Ratio>{.budget = {.share = 0.5}}, exec);
    check("SnapKvOf<Dispersion>", SnapKvOf<Dispersion>{.budget = {.tokens = 160}}, exec);
    check("SnapKvOf<Sublinear>", SnapKvOf<Sublinear<FixedBudget>>{.budget = {{.tokens = 160}, 400}}, exec);
  });
}

TEST_CASE("planned memory: every method of a step", "[methods]") {
  on_one_worker_and_two([](Cpu exec) {
    check("Quest", Quest{.budget = {.tokens = 64}}, exec);
    check("Quest per query head", Quest{.selector = {.share_group = false}, .budget = {.tokens = 64}}, exec);
    check("AdaQuest", AdaQuest{.budget = {.tokens = 64}}, exec);
    check("QuestTopP", QuestTopP{.selector = {.candidate_tokens = 128}, .budget = {.floor_tokens = 32}}, exec);
    check("Twilight", Twilight{.selector = {.candidate_tokens = 128}, .budget = {.floor_tokens = 32}}, exec);
    check("DuoQuest", DuoQuest{{.budget = {.tokens = 64}}, {}, kSecond}, exec);
    check("StreamingDecode", StreamingDecode{}, exec);
    check("DuoAttention", DuoAttention{}, exec);
    check("QuestOf<WithCurrent>", QuestOf<16, WithCurrent<FixedBudget>>{.budget = {{.tokens = 64}}}, exec);
    check_over_codes<Quest, std::int8_t>("Quest, int8", {.budget = {.tokens = 64}}, exec);
    check_over_codes<AdaQuest, float8_e4m3>("AdaQuest, e4m3", {.budget = {.tokens = 64}}, exec);
    check_over_codes<QuestTopP, float8_e4m3>(
        "QuestTopP, e4m3", {.selector = {.candidate_tokens = 128}, .budget = {.floor_tokens = 32}}, exec);
  });
}

TEST_CASE("planned memory: every method that evicts after each step", "[methods]") {
  on_one_worker_and_two([](Cpu exec) {
    check("Tova", Tova{.budget = {.tokens = 160}}, exec);
    check("OriginalTova", OriginalTova{.budget = {.tokens = 160}}, exec);
    check("H2o", H2o{.selector = {.recent_tokens = 80}, .budget = {.tokens = 160}}, exec);
    check("H2oPerQuery", H2oPerQuery{.selector = {.recent_tokens = 80}, .budget = {.tokens = 160}}, exec);
  });
}

TEST_CASE("planned memory: the controls, and budgets by head", "[methods]") {
  on_one_worker_and_two([](Cpu exec) {
    FixedPair const pair{30, 80};
    FixedBudget const fixed{64};
    check("random columns", Method<VerticalSlashUnit<64>, RandomSelector, FixedPair, ContiguousCache>{{}, {}, pair},
          exec);
    check("oracle columns", Method<VerticalSlashUnit<64>, OracleSelector, FixedPair, ContiguousCache>{{}, {}, pair},
          exec);
    check("random blocks", Method<Block<16>, RandomSelector, FixedBudget, ContiguousCache>{{}, {}, fixed}, exec);
    check("oracle blocks", Method<Block<16>, OracleSelector, FixedBudget, ContiguousCache>{{}, {}, fixed}, exec);
    check("random pages", Method<Page<16>, RandomSelector, FixedBudget, PagedCache>{{}, {}, fixed}, exec);
    check("oracle pages", Method<Page<16>, OracleSelector, FixedBudget, PagedCache>{{}, {}, fixed}, exec);
    check("random tokens", Method<Token, RandomSelector, FixedBudget, EvictingCache>{{}, {}, fixed}, exec);
    check("oracle tokens", Method<Token, OracleSelector, FixedBudget, EvictingCache>{{}, {}, fixed}, exec);
    check("random victims", Method<StepToken, RandomSelector, FixedBudget, EvictingCache>{{}, {}, fixed}, exec);
    check("oracle victims", Method<StepToken, OracleSelector, FixedBudget, EvictingCache>{{}, {}, fixed}, exec);
    check("counts of each head",
          VerticalSlashOf<64, PerHeadPair>{
              .budget = {dense_view<std::int32_t const, 2>(pair_counts.data(), {kHeads * kGroup, 2})}},
          exec);
    check("a share of each head",
          XAttentionOf<16, PerHeadShare<AnchoredTopMass>>{
              .budget = {{}, dense_view<float const, 1>(head_shares.data(), {kHeads * kGroup})}},
          exec);
  });
}

TEST_CASE("planned memory: pipelines, prompt and steps", "[methods]") {
  on_one_worker_and_two([](Cpu exec) {
    SnapKv const snap{.budget = {.tokens = 160}};
    AdaSnapKv const ada{.selector = {.recent_tokens = 20}, .budget = {.tokens = 160, .floor_share = 1.0}};
    Quest const quest{.budget = {.tokens = 64}};
    H2o const h2o{.selector = {.recent_tokens = 80}, .budget = {.tokens = 160}};
    VerticalSlash const slashes{.budget = {.columns = 30, .diagonals = 80}};
    check_pipeline("SnapThenQuest", SnapThenQuest{{}, snap, quest}, 160, exec);
    check_pipeline("all three", Pipeline<VerticalSlash, SnapKv, Quest>{slashes, snap, quest}, 160, exec);
    check_pipeline(
        "blocks and two pools",
        Pipeline<BlockSparse, AdaSnapKv, AdaQuest>{{.budget = {.tokens = 64}}, ada, {.budget = {.tokens = 64}}}, 160,
        exec);
    check_pipeline("evict after each step", Pipeline<XAttention, Dense, H2o>{{}, {}, h2o}, 161 - kSteps, exec);
    check_pipeline("evict after each step, small prompt memory", Pipeline<Streaming, Dense, H2o>{{}, {}, h2o},
                   161 - kSteps, exec);
    check_pipeline("Tova alone", Pipeline<Dense, Dense, Tova>{{}, {}, {.budget = {.tokens = 160}}}, 161 - kSteps, exec);
    check_pipeline("Twilight", Pipeline<Dense, Dense, Twilight>{{}, {}, {.budget = {.floor_tokens = 32}}}, kPrompt,
                   exec);
    check_pipeline("nothing but dense", Pipeline<>{}, kPrompt, exec);
  });
}

}  // namespace
