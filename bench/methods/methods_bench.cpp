// Every method beside dense, select and attend apart: milliseconds, measured density, and for attention the rate of the
// multiply-adds that the index asks for. Arguments: tokens, budget in thousandths of them, workers.
#include <benchmark/benchmark.h>

#include "lacuna/lacuna.hpp"
#include "support/random_problem.hpp"

namespace {

using namespace lacuna;

enum class Part { select, attend };

template <class M, Part Measured, Storage T, bool Decode>
void measure(benchmark::State& state) {
  std::int64_t const tokens = state.range(0);
  Shape const shape{Decode ? 1 : tokens, tokens, 8, 2, 64};
  M method;
  if constexpr (requires { method.budget.share; }) method.budget.share = static_cast<double>(state.range(1)) / 1000.0;
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
    else
      s = attend(pool.exec(), problem, index, workspace, random.out());
    if (!s) return state.SkipWithError(s.message);
  }
  state.counters["density"] = density(index);
  if (Measured == Part::attend)
    state.counters["flop/s"] = benchmark::Counter(density(index) * bench::causal_pairs(shape) * 4.0 * 64.0,
                                                  benchmark::Counter::kIsIterationInvariantRate);
}

void dense_grid(benchmark::internal::Benchmark* b) {
  b->ArgNames({"tokens", "budget", "workers"})->Unit(benchmark::kMillisecond)->UseRealTime();
  for (int const workers : {1, 2}) b->Args({4096, 1000, workers});
}

void prefill_grid(benchmark::internal::Benchmark* b) {
  b->ArgNames({"tokens", "budget", "workers"})->Unit(benchmark::kMillisecond)->UseRealTime();
  for (int const workers : {1, 2})
    for (int const budget : {50, 200}) b->Args({4096, budget, workers});
}

void decode_grid(benchmark::internal::Benchmark* b) {
  b->ArgNames({"tokens", "budget", "workers"})->Unit(benchmark::kMicrosecond)->UseRealTime();
  for (int const tokens : {4096, 32768})
    for (int const budget : {50, 200}) b->Args({tokens, budget, 1});
}

using VerticalSlashShare = VerticalSlashOf<64, Ratio>;
using SnapKvShare = SnapKvOf<Ratio>;
using QuestShare = QuestOf<16, Ratio>;

BENCHMARK(measure<Dense, Part::attend, float, false>)->Name("prefill/dense/attend/f32")->Apply(dense_grid);
BENCHMARK(measure<Dense, Part::attend, bfloat16, false>)->Name("prefill/dense/attend/bf16")->Apply(dense_grid);
BENCHMARK(measure<VerticalSlashShare, Part::select, float, false>)
    ->Name("prefill/vertical_slash/select/f32")
    ->Apply(prefill_grid);
BENCHMARK(measure<VerticalSlashShare, Part::attend, float, false>)
    ->Name("prefill/vertical_slash/attend/f32")
    ->Apply(prefill_grid);
BENCHMARK(measure<SnapKvShare, Part::select, float, false>)->Name("prompt_end/snap_kv/select/f32")->Apply(prefill_grid);
BENCHMARK(measure<Dense, Part::attend, float, true>)->Name("decode/dense/attend/f32")->Apply(decode_grid);
BENCHMARK(measure<Dense, Part::attend, bfloat16, true>)->Name("decode/dense/attend/bf16")->Apply(decode_grid);
BENCHMARK(measure<QuestShare, Part::select, float, true>)->Name("decode/quest/select/f32")->Apply(decode_grid);
BENCHMARK(measure<QuestShare, Part::attend, float, true>)->Name("decode/quest/attend/f32")->Apply(decode_grid);
BENCHMARK(measure<QuestShare, Part::attend, bfloat16, true>)->Name("decode/quest/attend/bf16")->Apply(decode_grid);

}  // namespace
