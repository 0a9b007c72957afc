// Every kernel of the CPU by itself, over random numbers: a prompt of 4096 tokens or a step over 65536, 8 query heads
// on 2 KV heads of 128 channels. Where a kernel reads a choice, the choice is random. The rates count what the choice
// asks for: multiply-adds of attention and scores, bytes of keys and values. Argument: workers.
#include <benchmark/benchmark.h>

#include <array>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lacuna/lacuna.hpp"
#include "support/random_problem.hpp"

namespace {

using namespace lacuna;

constexpr Shape kPrompt{4096, 4096, 8, 2, 128}, kStep{1, 65536, 8, 2, 128};
constexpr std::int64_t kPageTokens = 16;

/// A problem, and memory that lives as long.
template <Storage T>
class Setting {
 public:
  explicit Setting(Shape const& shape) : shape(shape), random_(shape) {}

  template <class E, class... Extents>
  auto room(Extents... extents) {
    Buffer& bytes =
        memory_.emplace_back(bench::allocate(static_cast<std::size_t>((extents * ... * std::int64_t{1})) * sizeof(E)));
    return dense_view<E, sizeof...(Extents)>(reinterpret_cast<E*>(bytes.data()), {extents...});
  }
  Workspace workspace(std::size_t bytes) { return {memory_.emplace_back(bench::allocate(bytes)).data(), bytes}; }

  /// The index of a method of this unit that goes by chance.
  template <class U, template <class> class K>
  auto choice(double share) {
    Method<U, RandomSelector, Ratio, K> const method{.budget = {share}};
    auto const plan = *method.plan({}, shape);
    Workspace for_index = workspace(plan.index_bytes);
    auto index = method.make_index(shape, for_index);
    (void)method.select({}, problem(), workspace(plan.workspace_bytes), index);
    return index;
  }

  Problem<T> problem() const { return random_.problem(); }
  AttentionOut<T> out() { return random_.out(); }
  PagePool<T> const& pool() const { return random_.pool(); }
  double row_bytes() const { return static_cast<double>(shape.dim) * sizeof(T); }
  double cache_bytes() const { return 2.0 * static_cast<double>(shape.len_k * shape.heads_kv) * row_bytes(); }
  double pairs() const { return bench::causal_pairs(shape); }

  Shape const shape;
  Cpu exec{};

 private:
  using Buffer = bench::Buffer;
  bench::RandomProblem<T> random_;
  std::deque<Buffer> memory_;
};

/// What is timed, and what a call of it computes and reads.
struct Call {
  std::function<Status()> run;
  double multiply_adds = 0.0, bytes = 0.0;
};

template <Storage T, class Index>
Call attend_over(Setting<T>& s, Index const& index) {
  Workspace counting;
  reserve_attend(s.exec, s.shape, index, counting);
  Workspace const memory = s.workspace(counting.used_bytes());
  double const kept = density(index);
  return {[=, &s] { return attend(s.exec, s.problem(), index, memory, s.out()); },
          kept * s.pairs() * 2.0 * static_cast<double>(s.shape.dim), s.shape.len_q == 1 ? kept * s.cache_bytes() : 0.0};
}

template <Storage T>
Call dense(Setting<T>& s) {
  return attend_over(s, DenseIndex{s.shape.len_q, s.shape.len_k, s.shape.heads_q});
}
template <Storage T>
Call band(Setting<T>& s) {
  return attend_over(s, BandIndex{4, 400, 0, s.shape.len_q, s.shape.len_k, s.shape.heads_q});
}
template <Storage T, int Tokens>
Call blocks(Setting<T>& s) {
  return attend_over(s, s.template choice<Block<Tokens>, ContiguousCache>(0.1));
}
template <Storage T>
Call vertical_slash(Setting<T>& s) {
  return attend_over(s, s.template choice<VerticalSlashUnit<64>, ContiguousCache>(0.005));
}
template <Storage T>
Call pages(Setting<T>& s) {
  return attend_over(s, s.template choice<Page<kPageTokens>, PagedCache>(0.1));
}
template <Storage T>
Call tokens(Setting<T>& s) {
  return attend_over(s, s.template choice<Token, EvictingCache>(0.1));
}

template <Storage T>
Call window(Setting<T>& s) {
  constexpr std::int64_t kQueries = 256;
  Workspace counting;
  reserve_window_scores(s.exec, s.shape, kQueries, counting);
  Workspace const memory = s.workspace(counting.used_bytes());
  auto const columns = s.template room<float>(s.shape.heads_q, s.shape.len_k);
  auto const diagonals = s.template room<float>(s.shape.heads_q, s.shape.len_k);
  return {[=, &s] {
            return window_scores<T>(s.exec, {s.problem(), kQueries, columns, diagonals, memory});
          },
          2.0 * static_cast<double>(s.shape.heads_q * kQueries * s.shape.len_k * s.shape.dim)};
}

template <Storage T>
struct PooledRows {
  TensorView<float, 3> queries, keys;
};

template <Storage T>
PooledRows<T> pooled_rows(Setting<T>& s) {
  std::int64_t const channels = pooled_channels(s.shape.dim), count = s.shape.len_k / kPageTokens;
  return {s.template room<float>(s.shape.heads_q, count, channels),
          s.template room<float>(s.shape.heads_kv, count, channels)};
}

template <Storage T>
Call pool(Setting<T>& s) {
  PooledRows<T> const rows = pooled_rows(s);
  return {[=, &s] {
            return pool_blocks<T>(s.exec, {s.problem(), kPageTokens, rows.queries, rows.keys});
          },
          0.0, static_cast<double>(s.shape.len_k * (s.shape.heads_q + s.shape.heads_kv)) * s.row_bytes()};
}

/// The last 24 rows of blocks of a head: what one worker does at once.
template <Storage T>
Call pooled(Setting<T>& s) {
  PooledRows<T> const rows = pooled_rows(s);
  (void)pool_blocks<T>(s.exec, {s.problem(), kPageTokens, rows.queries, rows.keys});
  std::int64_t const count = s.shape.len_k / kPageTokens, channels = rows.keys.extent(2), first = count - 24;
  auto const scores = s.template room<float>(std::int64_t{24}, count);
  float* const scratch = s.template room<float>(pooled_scores_floats(s.shape.dim)).data;
  return {[=, &s] {
            return pooled_scores(s.exec, {{&rows.queries(0, first, 0), {24, channels}, {channels, 1}},
                                          {rows.keys.data, {count, channels}, {channels, 1}},
                                          s.shape.dim,
                                          first,
                                          scores,
                                          scratch});
          },
          24.0 * static_cast<double>(count * s.shape.dim)};
}

/// The last block of 128 queries of a head, every eighth pair.
template <Storage T>
Call antidiagonals(Setting<T>& s) {
  constexpr std::int64_t kStride = 8, kBlock = 128, kGroups = kBlock / kStride;
  std::int64_t const count = s.shape.len_k / kBlock;
  auto const mass = s.template room<float>(std::int64_t{1}, count);
  float* const scratch = s.template room<float>(group_mass_floats(kGroups, kStride, count, s.shape.dim)).data;
  return {[=, &s] {
            return group_mass<T>(
                s.exec, {s.problem(), 0, kStride, s.shape.len_k / kStride - kGroups, kGroups, kBlock, mass, scratch});
          },
          static_cast<double>(kBlock * s.shape.len_k * s.shape.dim) / kStride};
}

template <Storage T>
Call bounds(Setting<T>& s) {
  Workspace counting;
  reserve_bound_scores(s.exec, s.shape, counting);
  Workspace const memory = s.workspace(counting.used_bytes());
  auto const scores = s.template room<float>(s.shape.heads_kv, s.shape.len_k / kPageTokens);
  return {[=, &s] {
            return bound_scores<T>(s.exec, {s.problem(), scores, memory});
          },
          0.0, s.cache_bytes() / kPageTokens};
}

template <Storage T>
Call mass_of_pages(Setting<T>& s) {
  PageIndex const named = s.template choice<Page<kPageTokens>, PagedCache>(0.25);
  Workspace counting;
  reserve_page_mass(s.exec, s.shape, named.pages.extent(1), counting);
  Workspace const memory = s.workspace(counting.used_bytes());
  for (std::int64_t row = 0; row < named.rows(); ++row) --named.counts(row);  // without the current page
  auto const mass = s.template room<float>(named.rows(), s.shape.len_k / kPageTokens);
  return {[=, &s] {
            return page_mass<T>(s.exec, {s.problem(), named.pages, named.counts, kPageTokens, mass, memory});
          },
          0.0, 0.25 * 0.5 * s.cache_bytes()};
}

template <Storage T>
Call top(Setting<T>& s) {
  std::int64_t const rows = s.shape.heads_q, units = s.shape.len_k / kPageTokens, kept = units / 10;
  Workspace counting;
  reserve_pick_top(s.exec, units, counting);
  Workspace const memory = s.workspace(counting.used_bytes());
  auto const scores = s.template room<float>(rows, std::int64_t{1}, units);
  (void)RandomSelector{}.score(s.exec, Page<kPageTokens>{}, s.problem(), {}, scores);
  auto const wanted = s.template room<std::int32_t>(rows), counts = s.template room<std::int32_t>(rows);
  for (std::int64_t row = 0; row < rows; ++row) wanted(row) = static_cast<std::int32_t>(kept);
  auto const picked = s.template room<std::int32_t>(rows, kept);
  return {[=, &s] {
            return pick_top(s.exec, {row_of_heads(scores, 0), wanted, {}, picked, counts, memory});
          },
          0.0, static_cast<double>(rows * units) * sizeof(float)};
}

template <Storage T>
Call rebuilt_bounds(Setting<T>& s) {
  auto const made = s.template room<T>(s.shape.heads_kv, s.shape.len_k / kPageTokens, std::int64_t{2}, s.shape.dim);
  return {[=, &s] {
            return page_bounds<T>(s.exec, {s.problem().kv, s.shape.len_k, made, kPageTokens});
          },
          0.0, 0.5 * s.cache_bytes()};
}

/// Half of the tokens, in place.
template <Storage T>
Call gather(Setting<T>& s) {
  TokenIndex const kept = s.template choice<Token, EvictingCache>(0.5);
  return {[=, &s] {
            return gather_kv<T>(s.exec, {s.problem().kv, s.pool().keys(), s.pool().values(), kept});
          },
          0.0, s.cache_bytes()};
}

template <Storage T>
Call merge(Setting<T>& s) {
  constexpr std::int64_t kParts = 32;
  auto const out = s.template room<T>(kParts, s.shape.len_q, s.shape.heads_q, s.shape.dim);
  auto const lse = s.template room<float>(kParts, s.shape.len_q, s.shape.heads_q);
  return {[=, &s] {
            return merge_states<T>(s.exec, {out, lse, s.out().out});
          },
          0.0, static_cast<double>(out.count()) * sizeof(T)};
}

constexpr std::int64_t kAppended = 256;

/// A store of its own takes tokens until it is full, and then begins again.
template <Storage T, template <class> class Cache, class E, class... Rest>
Call append_to(Setting<T>& s, std::int64_t bounds_page_tokens, Rest const&... rest) {
  std::int64_t const capacity = 32 * kAppended, pages = s.shape.heads_kv * capacity / kPageTokens;
  struct Store {
    bench::Buffer page_memory, tables;
    std::unique_ptr<PagePool<E>> pool;
    std::unique_ptr<Cache<T>> cache;
  };
  auto const store = std::make_shared<Store>();
  store->page_memory = bench::allocate(PagePool<E>::bytes(pages, kPageTokens, s.shape.dim));
  store->pool = std::make_unique<PagePool<E>>(store->page_memory.data(), pages, kPageTokens, s.shape.dim);
  store->tables = bench::allocate(Cache<T>::bytes(*store->pool, capacity, s.shape.heads_kv, bounds_page_tokens));
  store->cache = std::make_unique<Cache<T>>(*store->pool, store->tables.data(), capacity, s.shape.heads_kv,
                                            bounds_page_tokens, rest...);
  auto const rows = s.template room<T>(kAppended, s.shape.heads_kv, s.shape.dim);
  for (std::int64_t i = 0; i < rows.count(); ++i) rows.data[i] = s.problem().kv.k[i];
  return {[=, &s] {
            if (store->cache->length() == capacity) store->cache->clear();
            return store->cache->append(s.exec, rows, rows);
          },
          0.0, 2.0 * static_cast<double>(rows.count()) * sizeof(T)};
}

template <Storage T>
Call append(Setting<T>& s) {
  return append_to<T, PagedCache, T>(s, 0);
}
template <Storage T>
Call append_with_bounds(Setting<T>& s) {
  return append_to<T, PagedCache, T>(s, kPageTokens);
}
template <Storage T>
Call append_with_codes(Setting<T>& s) {
  return append_to<T, CodedKeysCache, T>(s, kPageTokens);
}
template <Storage T>
using Int8Cache = QuantisedCache<T, std::int8_t>;
template <Storage T>
using E4m3Cache = QuantisedCache<T, float8_e4m3>;
template <Storage T, template <class> class Cache, class C>
Call append_codes(Setting<T>& s) {
  TensorView<float const, 1> const scales = [&] {
    auto const each = s.template room<float>(s.shape.heads_kv);
    for (std::int64_t head = 0; head < s.shape.heads_kv; ++head) each(head) = 4.0F / kLargestCode<C>;
    return each;
  }();
  return append_to<T, Cache, C>(s, kPageTokens, scales, scales);
}

template <Storage T>
struct Row {
  char const* name;
  Shape shape;
  Call (*make)(Setting<T>&);
};

template <Storage T>
std::vector<Row<T>> table() {
  return {{"attend_dense/prefill", kPrompt, dense<T>},
          {"attend_band/prefill", kPrompt, band<T>},
          {"attend_blocks/16", kPrompt, blocks<T, 16>},
          {"attend_blocks/64", kPrompt, blocks<T, 64>},
          {"attend_blocks/128", kPrompt, blocks<T, 128>},
          {"attend_vertical_slash", kPrompt, vertical_slash<T>},
          {"window_scores", kPrompt, window<T>},
          {"pool_blocks", kPrompt, pool<T>},
          {"pooled_scores", kPrompt, pooled<T>},
          {"group_mass", kPrompt, antidiagonals<T>},
          {"attend_dense/decode", kStep, dense<T>},
          {"attend_pages", kStep, pages<T>},
          {"attend_tokens", kStep, tokens<T>},
          {"bound_scores", kStep, bounds<T>},
          {"page_mass", kStep, mass_of_pages<T>},
          {"pick_top", kStep, top<T>},
          {"page_bounds", kStep, rebuilt_bounds<T>},
          {"gather_kv", kStep, gather<T>},
          {"merge_states", kStep, merge<T>},
          {"append/paged", kStep, append<T>},
          {"append/paged_with_bounds", kStep, append_with_bounds<T>},
          {"append/coded_keys", kStep, append_with_codes<T>},
          {"append/int8", kStep, append_codes<T, Int8Cache, std::int8_t>},
          {"append/e4m3", kStep, append_codes<T, E4m3Cache, float8_e4m3>}};
}

/// One prompt and one step for all rows: to draw their numbers takes longer than most kernels.
template <Storage T>
Setting<T>& setting(Shape const& shape) {
  static std::deque<Setting<T>> all;
  for (Setting<T>& one : all)
    if (one.shape == shape) return one;
  return all.emplace_back(shape);
}

template <Storage T>
int add(std::string const& dtype) {
  for (Row<T> const& row : table<T>()) {
    std::string const name = std::string("kernel/") + row.name + "/" + dtype;
    auto const measure = [row](benchmark::State& state) {
      ThreadPool pool(static_cast<int>(state.range(0)));
      Setting<T>& s = setting<T>(row.shape);
      s.exec = pool.exec();
      Call const call = row.make(s);
      for (auto _ : state)
        if (Status const status = call.run(); !status) return state.SkipWithError(status.message);
      auto const rate = [](double amount) {
        return benchmark::Counter(amount, benchmark::Counter::kIsIterationInvariantRate);
      };
      if (call.multiply_adds > 0.0) state.counters["flop/s"] = rate(2.0 * call.multiply_adds);
      if (call.bytes > 0.0) state.counters["bytes/s"] = rate(call.bytes);
    };
    benchmark::RegisterBenchmark(name.c_str(), measure)
        ->ArgName("workers")
        ->Arg(1)
        ->Arg(2)
        ->UseRealTime()
        ->Unit(benchmark::kMicrosecond);
  }
  return 0;
}

int const registered[] = {add<float>("f32"), add<bfloat16>("bf16")};

}  // namespace
