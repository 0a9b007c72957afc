// What the end of a prompt and a step cost as methods: selection and what the store makes of it. 32 query heads, 8 KV
// heads, d = 128, bf16, cache pages of 16. Milliseconds of plain calls, median of 5; microseconds of replayed steps.
#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

#include "lacuna/methods/ada_quest.hpp"
#include "lacuna/methods/ada_snap_kv.hpp"
#include "lacuna/methods/quest.hpp"
#include "lacuna/methods/quest_top_p.hpp"
#include "lacuna/methods/snap_kv.hpp"
#include "lacuna/methods/tova.hpp"
#include "timing.cuh"

namespace {

using namespace lacuna;
using T = bfloat16;
constexpr std::int64_t kHeadsQ = 32, kHeads = 8, kDim = 128, kPage = 16;

void must(Status s) {
  if (s) return;
  std::fprintf(stderr, "%s (%lld, %lld)\n", s.message, static_cast<long long>(s.value),
               static_cast<long long>(s.bound));
  std::exit(1);
}

/// Device memory that lives as long as the program's current case.
struct Memory {
  explicit Memory(std::size_t bytes) { bench::check(cudaMalloc(&data, bytes + 1)); }
  ~Memory() { cudaFree(data); }
  Memory(Memory const&) = delete;
  Memory& operator=(Memory const&) = delete;
  void* data = nullptr;
};

/// Normal numbers, the same block again and again.
void fill(void* to, std::int64_t count) {
  std::mt19937 engine(1);
  std::normal_distribution<float> normal;
  std::vector<T> block(1 << 20);
  for (T& x : block) x = from_float<T>(normal(engine));
  for (std::int64_t first = 0; first < count; first += std::ssize(block))
    bench::check(cudaMemcpy(static_cast<T*>(to) + first, block.data(),
                            static_cast<std::size_t>(std::min<std::int64_t>(std::ssize(block), count - first)) * 2,
                            cudaMemcpyHostToDevice));
}

/// A batch whose cache holds `len` tokens of each sequence, and `len_q` queries of each.
template <class M>
struct Case {
  M method;
  std::int64_t batch, len, len_q;
  BatchPagePool<T> pool;
  typename M::template BatchStore<T> cache;
  Memory q, out;
  BatchShape shape;
  Plan plan;
  Memory index_memory, workspace;
  typename M::Index index;

  static BatchPagePool<T> make_pool(Memory& memory, std::int64_t pages) { return {memory.data, pages, kPage, kDim}; }
  Case(M const& m, std::int64_t batch, std::int64_t len, std::int64_t len_q, Memory& pool_memory, Memory& cache_memory,
       std::int64_t bounds)
      : method(m),
        batch(batch),
        len(len),
        len_q(len_q),
        pool(make_pool(pool_memory, batch * kHeads * (len / kPage))),
        cache(pool, cache_memory.data, batch, len, kHeads, bounds),
        q(static_cast<std::size_t>(batch * len_q * kHeadsQ * kDim * 2)),
        out(static_cast<std::size_t>(batch * len_q * kHeadsQ * kDim * 2)),
        shape{batch, batch * len_q, {len_q, len, kHeadsQ, kHeads, kDim}},
        plan(*method.plan(Cuda{}, shape)),
        index_memory(plan.index_bytes),
        workspace(plan.workspace_bytes) {
    Workspace space(index_memory.data, plan.index_bytes);
    index = method.make_index(shape, space);
    fill(q.data, batch * len_q * kHeadsQ * kDim);
  }
  BatchProblem<T> problem() const {
    BatchProblem<T> p;
    p.q = dense_view<T const, 3>(static_cast<T const*>(q.data), {batch * len_q, kHeadsQ, kDim});
    p.kv = cache.view();
    p.batch = batch;
    p.max_len_q = len_q;
    p.max_len_k = len;
    return p;
  }
  Workspace memory() const { return {workspace.data, plan.workspace_bytes}; }
  AttentionOut<T> answer() const {
    return {dense_view<T, 3>(static_cast<T*>(out.data), {batch * len_q, kHeadsQ, kDim}), {}};
  }
};

template <class M>
void run(char const* name, M const& method, std::int64_t batch, std::int64_t len, std::int64_t len_q,
         std::int64_t bounds = 0) {
  using Store = typename M::template BatchStore<T>;
  cudaStream_t stream;
  bench::check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  Cuda const exec{stream};
  std::int64_t const pages = batch * kHeads * (len / kPage);
  Memory pool_memory(BatchPagePool<T>::bytes(pages, kPage, kDim));
  BatchPagePool<T> const sizes(pool_memory.data, pages, kPage, kDim);
  Memory cache_memory(Store::bytes(sizes, batch, len, kHeads, bounds));
  Case<M> c(method, batch, len, len_q, pool_memory, cache_memory, bounds);
  Memory rows(static_cast<std::size_t>(batch * len * kHeads * kDim * 2));
  fill(rows.data, batch * len * kHeads * kDim);
  auto const view = dense_view<T const, 3>(static_cast<T const*>(rows.data), {batch * len, kHeads, kDim});
  auto const refill = [&] {
    must(c.pool.reset(exec));
    must(c.cache.reset(exec));
    must(c.cache.append(exec, {view, view}));
  };
  refill();
  if constexpr (M::moment == Moment::each_step) {
    int nodes = 0;
    double const ms = bench::replay_ms(
        stream, 20, [&](cudaStream_t) { must(c.method.run(exec, c.problem(), c.memory(), c.index, c.answer())); },
        &nodes);
    std::printf("%-44s step %8.1f us, %d nodes\n", name, ms * 1e3, nodes);
  } else {
    cudaEvent_t events[3];
    for (cudaEvent_t& e : events) bench::check(cudaEventCreate(&e));
    std::vector<float> selecting, keeping;
    for (int i = 0; i < 6; ++i) {
      refill();
      bench::check(cudaEventRecord(events[0], stream));
      must(c.method.select(exec, c.problem(), c.memory(), c.index));
      bench::check(cudaEventRecord(events[1], stream));
      must(c.cache.retain(exec, c.index));
      bench::check(cudaEventRecord(events[2], stream));
      bench::check(cudaStreamSynchronize(stream));
      selecting.emplace_back();
      keeping.emplace_back();
      bench::check(cudaEventElapsedTime(&selecting.back(), events[0], events[1]));
      bench::check(cudaEventElapsedTime(&keeping.back(), events[1], events[2]));
    }
    for (auto* times : {&selecting, &keeping}) std::sort(times->begin() + 1, times->end());
    std::printf("%-44s select %8.3f ms, retain %8.3f ms\n", name, selecting[3], keeping[3]);
  }
  std::fflush(stdout);
}

}  // namespace

int main() {
  std::int64_t const n = 131072;
  run("snap-kv, 128K to 1/10", SnapKv{.budget = {.tokens = 13107}}, 1, n, 256);
  run("ada-snap-kv, 128K to 1/10", AdaSnapKv{.budget = {.tokens = 13107}}, 1, n, 256);
  run("ada-snap-kv, 128K to 1/10, bounds", AdaSnapKv{.budget = {.tokens = 13107}}, 1, n, 256, 16);
  run("tova, batch 8, 4096 tokens", Tova{.budget = {.tokens = 4080}}, 8, 4096, 1);
  for (std::int64_t batch : {1, 8}) {
    std::printf("batch %lld, 128K\n", static_cast<long long>(batch));
    run("quest, 1/20", Quest{.budget = {.tokens = 6544}}, batch, n, 1, 16);
    run("ada-quest, 1/20", AdaQuest{.budget = {.tokens = 6544}}, batch, n, 1, 16);
    QuestTopP top{.budget = {.share = 0.9}};
    top.selector.candidate_tokens = 6544;
    run("quest top-p of 1/20", top, batch, n, 1, 16);
  }
}
