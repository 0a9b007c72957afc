// Every method beside dense, select and attend apart: milliseconds, measured density, and for attention the rate of the
// multiply-adds that the index asks for. Arguments: tokens, budget in thousandths of them, workers.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <concepts>
#include <string>
#include <vector>

#include "lacuna/lacuna.hpp"
#include "support/random_problem.hpp"

namespace {

using namespace lacuna;

enum class Part { select, attend };

std::uint8_t const second_heads[] = {0, 1};

template <class M>
M method_of(benchmark::State const& state) {
  M method;
  if constexpr (requires { method.budget.share; }) method.budget.share = static_cast<double>(state.range(1)) / 1000.0;
  if constexpr (requires { method.first.budget.share; })
    method.first.budget.share = static_cast<double>(state.range(1)) / 1000.0;
  if constexpr (requires { method.chooser.second; })
    method.chooser.second = dense_view<std::uint8_t const, 1>(second_heads, {2});
  return method;
}

template <class M, Part Measured, Storage T, bool Decode>
void measure(benchmark::State& state) {
  std::int64_t const tokens = state.range(0);
  Shape const shape{Decode ? 1 : tokens, tokens, 8, 2, 64};
  M const method = method_of<M>(state);
  ThreadPool pool(static_cast<int>(state.range(2)));
  bench::RandomProblem<T> random(shape);
  Problem<T> const problem = random.problem();
  auto const plan = method.plan(pool.exec(), shape);
  if (!plan) return state.SkipWithError(plan.status().message);
  bench::Buffer index_memory = bench::allocate(plan->index_bytes), memory = bench::allocate(plan->workspace_bytes);
  Workspace for_index(index_memory.data(), plan->index_bytes);
  Workspace const workspace(memory.data(), plan->workspace_bytes);
  auto index = method.make_index(shape, for_index);
  if (Status s = method.select(pool.exec(), problem, workspace, index); !s) return state.SkipWithError(s.message);
  for (auto _ : state) {
    Status s;
    if constexpr (Measured == Part::select)
      s = method.select(pool.exec(), problem, workspace, index);
    else if constexpr (requires { attend(pool.exec(), problem, index, workspace, random.out()); })
      s = attend(pool.exec(), problem, index, workspace, random.out());
    else  // its parts attend as they are selected
      s = method.run(pool.exec(), problem, workspace, index, random.out());
    if (!s) return state.SkipWithError(s.message);
  }
  state.counters["density"] = density(index);
  if (Measured == Part::attend)
    state.counters["flop/s"] = benchmark::Counter(density(index) * bench::causal_pairs(shape) * 4.0 * 64.0,
                                                  benchmark::Counter::kIsIterationInvariantRate);
}

void grid(benchmark::internal::Benchmark* b, Shape const& shape, bool dense) {
  b->ArgNames({"tokens", "budget", "workers"})->UseRealTime();
  b->Unit(shape.len_q == 1 ? benchmark::kMicrosecond : benchmark::kMillisecond);
  for (std::int64_t const workers : {1, 2})
    for (std::int64_t const budget : {50, 200})
      if (!dense || budget == 50) b->Args({shape.len_k, dense ? 1000 : budget, workers});
}

template <class M, bool Decode, Storage T>
void add_as(std::string const& name, std::string const& dtype) {
  Shape const shape{Decode ? 1 : 4096, Decode ? 32768 : 4096, 0, 0, 0};
  bool const dense = std::same_as<M, Dense>;
  auto const attend_name = name + "/attend/" + dtype, select_name = name + "/select/" + dtype;
  if (!dense)
    grid(benchmark::RegisterBenchmark(select_name.c_str(), measure<M, Part::select, T, Decode>), shape, dense);
  if (M::moment != Moment::prompt_end || dense)
    grid(benchmark::RegisterBenchmark(attend_name.c_str(), measure<M, Part::attend, T, Decode>), shape, dense);
}

template <class M, bool Decode>
int add(std::string const& name) {
  add_as<M, Decode, float>(name, "f32");
  add_as<M, Decode, bfloat16>(name, "bf16");
  return 0;
}

/// A step over 8-bit keys and values, selection included.
template <class M, Storage T, Code C>
void measure_quantised(benchmark::State& state) {
  Shape const shape{1, state.range(0), 8, 2, 64};
  using Over = OverQuantised<M, T, C>;
  Over const method{method_of<M>(state)};
  ThreadPool workers(static_cast<int>(state.range(2)));
  bench::RandomProblem<T> random(shape);
  std::int64_t const pages = shape.heads_kv * (shape.len_k / 16 + 1);
  bench::Buffer codes = bench::allocate(PagePool<C>::bytes(pages, 16, shape.dim));
  PagePool<C> pool(codes.data(), pages, 16, shape.dim);
  float const scale[] = {5.0F / kLargestCode<C>, 5.0F / kLargestCode<C>};
  auto const scales = dense_view<float const, 1>(scale, {shape.heads_kv});
  bench::Buffer tables = bench::allocate(Over::Store::bytes(pool, shape.len_k, shape.heads_kv, 16));
  typename Over::Store cache(pool, tables.data(), shape.len_k, shape.heads_kv, 16, scales, scales);
  KvView<T> const kv = random.problem().kv;
  std::vector<T> rows(static_cast<std::size_t>(shape.heads_kv * shape.dim));
  auto const row = dense_view<T const, 3>(rows.data(), {1, shape.heads_kv, shape.dim});
  for (std::int64_t token = 0; token < shape.len_k; ++token) {
    for (std::int64_t head = 0; head < shape.heads_kv; ++head)
      std::copy_n(kv.k + kv.offset(head, token), shape.dim, rows.data() + head * shape.dim);
    if (Status s = cache.append(Cpu{}, row, row); !s) return state.SkipWithError(s.message);
  }
  auto const plan = method.plan(workers.exec(), shape);
  if (!plan) return state.SkipWithError(plan.status().message);
  bench::Buffer index_memory = bench::allocate(plan->index_bytes), memory = bench::allocate(plan->workspace_bytes);
  Workspace for_index(index_memory.data(), plan->index_bytes);
  auto index = method.make_index(shape, for_index);
  for (auto _ : state) {
    Status const s = method.run(workers.exec(), random.problem(), cache, {memory.data(), plan->workspace_bytes}, index,
                                random.out());
    if (!s) return state.SkipWithError(s.message);
  }
  state.counters["density"] = density(index);
}

template <class M>
int add_quantised(std::string const& name) {
  Shape const shape{1, 32768, 0, 0, 0};
  grid(benchmark::RegisterBenchmark((name + "/run/int8").c_str(), measure_quantised<M, bfloat16, std::int8_t>), shape,
       false);
  grid(benchmark::RegisterBenchmark((name + "/run/e4m3").c_str(), measure_quantised<M, bfloat16, float8_e4m3>), shape,
       false);
  return 0;
}

/// Which KV heads stream; null: all of them.
StreamingRule streaming_rule(std::uint8_t const* classes) {
  StreamingRule rule{.bounds_page_tokens = 16};
  if (classes != nullptr) rule.streaming = dense_view<std::uint8_t const, 1>(classes, {2});
  return rule;
}

/// A step over a cache that forgets by its own rule; `held` is the share of the tokens that it still has.
template <class M, Storage T>
void measure_streaming(benchmark::State& state, std::uint8_t const* classes) {
  Shape const shape{1, state.range(0), 8, 2, 64};
  M const method = method_of<M>(state);
  ThreadPool pool(static_cast<int>(state.range(2)));
  bench::RandomProblem<T, StreamingCache> random(shape, streaming_rule(classes));
  Problem<T> problem = random.problem();
  auto const plan = method.plan(pool.exec(), shape);
  if (!plan) return state.SkipWithError(plan.status().message);
  bench::Buffer index_memory = bench::allocate(plan->index_bytes), memory = bench::allocate(plan->workspace_bytes);
  Workspace for_index(index_memory.data(), plan->index_bytes);
  auto index = method.make_index(shape, for_index);
  for (auto _ : state)
    if (Status s = method.run(pool.exec(), problem, {memory.data(), plan->workspace_bytes}, index, random.out()); !s)
      return state.SkipWithError(s.message);
  state.counters["density"] = density(index);
  state.counters["held"] =
      static_cast<double>(problem.kv.length(0) + problem.kv.length(1)) / 2.0 / static_cast<double>(shape.len_k);
}

template <class M>
int add_streaming(std::string const& name, std::uint8_t const* classes, bool dense) {
  Shape const shape{1, 32768, 0, 0, 0};
  grid(benchmark::RegisterBenchmark((name + "/run/f32").c_str(), measure_streaming<M, float>, classes), shape, dense);
  grid(benchmark::RegisterBenchmark((name + "/run/bf16").c_str(), measure_streaming<M, bfloat16>, classes), shape,
       dense);
  return 0;
}

/// A step of a pipeline that evicted a share of a prompt, by its last queries.
template <class P, Storage T>
void measure_step_after(benchmark::State& state) {
  Shape const prompt{256, state.range(0), 8, 2, 64};
  Shape step = prompt;
  step.len_q = 1;
  P pipeline;
  pipeline.prompt_end.budget.tokens = prompt.len_k / 2;
  pipeline.step.budget.tokens = prompt.len_k * state.range(1) / 1000 / 16 * 16;
  ThreadPool pool(static_cast<int>(state.range(2)));
  bench::RandomProblem<T, P::template Store> random(prompt);
  Problem<T> problem = random.problem();
  auto const plan = pipeline.plan(pool.exec(), prompt, step);
  if (!plan) return state.SkipWithError(plan.status().message);
  bench::Buffer index_memory = bench::allocate(plan->index_bytes), memory = bench::allocate(plan->workspace_bytes);
  Workspace for_index(index_memory.data(), plan->index_bytes);
  Workspace const workspace(memory.data(), plan->workspace_bytes);
  auto indices = pipeline.make_indices(prompt, step, for_index);
  Status s = pipeline.run_prompt(pool.exec(), problem, random.cache(), workspace, indices, random.out());
  problem.q.extents[0] = 1;
  AttentionOut<T> out = random.out();
  out.out.extents[0] = 1;
  for (auto _ : state) {
    if (s) s = pipeline.run_step(pool.exec(), problem, random.cache(), workspace, indices, out);
    if (!s) return state.SkipWithError(s.message);
  }
  state.counters["density"] = density(indices.step);
  state.counters["held"] = static_cast<double>(random.cache().length(0)) / static_cast<double>(prompt.len_k);
}

template <class P>
int add_step_after(std::string const& name) {
  Shape const shape{1, 32768, 0, 0, 0};
  grid(benchmark::RegisterBenchmark((name + "/run/f32").c_str(), measure_step_after<P, float>), shape, false);
  grid(benchmark::RegisterBenchmark((name + "/run/bf16").c_str(), measure_step_after<P, bfloat16>), shape, false);
  return 0;
}

template <class Unit, class Selector, template <class> class Store>
using Control = Method<Unit, Selector, Ratio, Store>;

// Where a method has a share of the length as its budget, the grid's; otherwise the method's own.
int const registered[] = {
    add<Dense, false>("prefill/dense"),
    add<VerticalSlashOf<64, Ratio>, false>("prefill/vertical_slash"),
    add<VerticalSlashGqaOf<64, Ratio>, false>("prefill/vertical_slash_gqa"),
    add<FlexPrefill, false>("prefill/flex_prefill"),
    add<OriginalFlexPrefill, false>("prefill/original_flex_prefill"),
    add<QueryAwareBlocks, false>("prefill/query_aware_blocks"),
    add<BlockSparseOf<16, Ratio>, false>("prefill/block_sparse_16"),
    add<BlockSparseOf<64, Ratio>, false>("prefill/block_sparse_64"),
    add<BlockSparseOf<128, Ratio>, false>("prefill/block_sparse_128"),
    add<BlockSparseGqaOf<16, Ratio>, false>("prefill/block_sparse_gqa"),
    add<BlockTopPOf<64>, false>("prefill/block_top_p"),
    add<BlockAntidiagonalOf<64>, false>("prefill/block_antidiagonal"),
    add<XAttention, false>("prefill/x_attention"),
    add<Sparge, false>("prefill/sparge"),
    add<Streaming, false>("prefill/streaming"),
    add<DuoPrefill, false>("prefill/duo"),
    add<DuoVerticalSlash, false>("prefill/duo_vertical_slash"),
    add<SnapKvOf<Ratio>, false>("prompt_end/snap_kv"),
    add<AdaSnapKv, false>("prompt_end/ada_snap_kv"),
    add<CoverageSnapKv, false>("prompt_end/coverage_snap_kv"),
    add<OriginalSnapKv, false>("prompt_end/original_snap_kv"),
    add<OriginalAdaKv, false>("prompt_end/original_ada_kv"),
    add<Dense, true>("decode/dense"),
    add<QuestOf<16, Ratio>, true>("decode/quest"),
    add<AdaQuest, true>("decode/ada_quest"),
    add<QuestTopP, true>("decode/quest_top_p"),
    add<Twilight, true>("decode/twilight"),
    add_quantised<QuestOf<16, Ratio>>("decode/quest_over_8_bits"),
    add_quantised<QuestTopP>("decode/quest_top_p_over_8_bits"),
    add<Tova, true>("decode/tova"),
    add<OriginalTova, true>("decode/original_tova"),
    add<H2o, true>("decode/h2o"),
    add<H2oPerQuery, true>("decode/h2o_per_query"),
    add_streaming<StreamingDecode>("decode/streaming_decode", nullptr, true),
    add_streaming<DuoAttention>("decode/duo_attention", second_heads, true),
    add_streaming<DuoQuestOf<16, Ratio>>("decode/duo_quest", second_heads, false),
    add_step_after<SnapThenQuest>("decode/snap_then_quest"),
    // The controls: selection by chance, and by the attention that each unit receives.
    add<Control<VerticalSlashUnit<64>, RandomSelector, ContiguousCache>, false>("prefill/random_columns"),
    add<Control<VerticalSlashUnit<64>, OracleSelector, ContiguousCache>, false>("prefill/oracle_columns"),
    add<Control<Block<64>, RandomSelector, ContiguousCache>, false>("prefill/random_blocks"),
    add<Control<Block<64>, OracleSelector, ContiguousCache>, false>("prefill/oracle_blocks"),
    add<Control<Token, RandomSelector, EvictingCache>, false>("prompt_end/random_tokens"),
    add<Control<Token, OracleSelector, EvictingCache>, false>("prompt_end/oracle_tokens"),
    add<Control<Page<16>, RandomSelector, PagedCache>, true>("decode/random_pages"),
    add<Control<Page<16>, OracleSelector, PagedCache>, true>("decode/oracle_pages"),
    // Budgets that follow the length, or how widely scores are spread.
    add<QuestOf<16, Sublinear<FixedBudget>>, true>("decode/quest_sublinear"),
    add<SnapKvOf<Dispersion>, false>("prompt_end/snap_kv_dispersion"),
};

}  // namespace
