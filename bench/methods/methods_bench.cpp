// Every method beside dense, select and attend apart: milliseconds, measured density, and for attention the rate of the
// multiply-adds that the index asks for. Arguments: tokens, budget in thousandths of them, workers.
#include <benchmark/benchmark.h>

#include <concepts>
#include <string>

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

// Where a method has a share of the length as its budget, the grid's; otherwise the method's own.
int const registered[] = {
    add<Dense, false>("prefill/dense"),
    add<VerticalSlashOf<64, Ratio>, false>("prefill/vertical_slash"),
    add<FlexPrefill, false>("prefill/flex_prefill"),
    add<BlockSparseOf<16, Ratio>, false>("prefill/block_sparse_16"),
    add<BlockSparseOf<64, Ratio>, false>("prefill/block_sparse_64"),
    add<BlockSparseOf<128, Ratio>, false>("prefill/block_sparse_128"),
    add<XAttention, false>("prefill/x_attention"),
    add<Streaming, false>("prefill/streaming"),
    add<SnapKvOf<Ratio>, false>("prompt_end/snap_kv"),
    add<AdaSnapKv, false>("prompt_end/ada_snap_kv"),
    add<Dense, true>("decode/dense"),
    add<QuestOf<16, Ratio>, true>("decode/quest"),
    add<QuestTopP, true>("decode/quest_top_p"),
    add<Tova, true>("decode/tova"),
};

}  // namespace
