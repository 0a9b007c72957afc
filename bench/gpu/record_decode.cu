// Decode on the device: microseconds per layer of a graph of 32 layers whose caches are cold, everything between the
// query and the answer included. 32 query heads, 8 KV heads, d = 128, bf16, pages of 16 tokens shuffled in a pool.
//   record_decode [dense|ragged|quest|heads|pick|all]
#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "lacuna/kernels/attend_pages.hpp"
#include "lacuna/kernels/bound_scores.hpp"
#include "lacuna/kernels/pick_top.hpp"
#include "timing.cuh"

namespace {

using lacuna::Cuda;
using T = lacuna::bfloat16;
constexpr std::int64_t kHeadsQ = 32, kHeadsKv = 8, kDim = 128, kPage = 16, kLayers = 32;

__global__ void fill(std::uint16_t* to, std::size_t count, std::uint32_t seed) {
  for (std::size_t i = blockIdx.x * std::size_t{blockDim.x} + threadIdx.x; i < count;
       i += std::size_t{gridDim.x} * blockDim.x) {
    std::uint32_t h = static_cast<std::uint32_t>(i) * 2654435761U + seed;
    float sum = 0.0F;
    for (int k = 0; k < 4; ++k) {
      h = (h ^ (h >> 15)) * 2246822519U + 374761393U;
      sum += static_cast<float>(h >> 8) * 0x1p-24F - 0.5F;
    }
    to[i] = static_cast<std::uint16_t>(__float_as_uint(sum * 1.7320508F) >> 16);
  }
}

/// Queries of a group become 0.95 of their first head's and 0.32 of their own.
__global__ void relate(std::uint16_t* q) {
  auto const value = [&](unsigned head) { return __uint_as_float(std::uint32_t{q[head * kDim + threadIdx.x]} << 16); };
  unsigned const head = blockIdx.x, first = head / 4 * 4;
  if (head != first)
    q[head * kDim + threadIdx.x] =
        static_cast<std::uint16_t>(__float_as_uint(0.95F * value(first) + 0.32F * value(head)) >> 16);
}

void must(lacuna::Status s) {
  if (s) return;
  std::fprintf(stderr, "%s (%lld, %lld)\n", s.message, static_cast<long long>(s.value),
               static_cast<long long>(s.bound));
  std::exit(1);
}

template <class E>
E* device(std::size_t count) {
  void* p = nullptr;
  bench::check(cudaMalloc(&p, count * sizeof(E) + 16));
  return static_cast<E*>(p);
}
T* random_values(std::size_t count, std::uint32_t seed) {
  auto* const p = device<std::uint16_t>(count);
  fill<<<2048, 256>>>(p, count, seed);
  return reinterpret_cast<T*>(p);
}
std::int32_t* upload(std::vector<std::int32_t> const& values) {
  auto* const p = device<std::int32_t>(values.size());
  bench::check(cudaMemcpy(p, values.data(), values.size() * 4, cudaMemcpyHostToDevice));
  return p;
}

struct Bench {
  std::int64_t batch, len, kept;  // kept: pages a row reads, the current one included; 0: dense
  bool per_head = false;
  bool related = false;                   // nine tenths of the variance of a group's queries in common, else none
  std::vector<std::int32_t> head_lens{};  // of every sequence's KV heads; empty: all have len
  std::vector<void*> owned{};
  std::vector<T*> k{}, v{}, bounds{};
  T *q = nullptr, *out = nullptr;
  float *scores = nullptr, *lse = nullptr;
  std::int32_t *table = nullptr, *lens = nullptr, *wanted = nullptr, *pages = nullptr, *counts = nullptr,
               *lens_out = nullptr, *tickets = nullptr;
  std::byte* memory = nullptr;
  std::size_t memory_bytes = 0;

  std::int64_t pages_held() const { return (len + kPage - 1) / kPage; }
  std::int64_t heads() const { return per_head ? kHeadsQ : kHeadsKv; }
  std::int64_t rows() const { return batch * heads(); }

  void make(Cuda exec) {
    std::size_t const layer = static_cast<std::size_t>(batch * pages_held() * kPage * kHeadsKv * kDim);
    std::size_t const buffers =
        std::min<std::size_t>(kLayers, std::max<std::size_t>(1, (std::size_t{40} << 30) / (layer * 4)));
    for (std::uint32_t i = 0; i < buffers; ++i) {
      owned.push_back(k.emplace_back(random_values(layer, 3 * i)));
      owned.push_back(v.emplace_back(random_values(layer, 3 * i + 1)));
      if (kept > 0)
        owned.push_back(bounds.emplace_back(
            random_values(static_cast<std::size_t>(batch * kHeadsKv * pages_held() * 2 * kDim), 3 * i + 2)));
    }
    std::vector<std::int32_t> order(static_cast<std::size_t>(batch * pages_held()));
    for (std::size_t p = 0; p < order.size(); ++p) order[p] = static_cast<std::int32_t>(p);
    std::uint64_t state = 88172645463325252ULL;
    for (std::size_t p = order.size(); p > 1; --p) {
      state ^= state << 13, state ^= state >> 7, state ^= state << 17;
      std::swap(order[p - 1], order[state % p]);
    }
    auto const ints = [&](std::size_t n, std::int32_t value) {
      auto* const p = upload(std::vector<std::int32_t>(n, value));
      owned.push_back(p);
      return p;
    };
    owned.push_back(table = upload(order));
    std::vector<std::int32_t> all_lens(static_cast<std::size_t>(batch * kHeadsKv), static_cast<std::int32_t>(len));
    for (std::size_t i = 0; i < all_lens.size() && !head_lens.empty(); ++i)
      all_lens[i] = head_lens[(i + i / kHeadsKv) % head_lens.size()];
    owned.push_back(lens = upload(all_lens));
    wanted = ints(static_cast<std::size_t>(rows()), static_cast<std::int32_t>(kept - 1));
    pages = ints(static_cast<std::size_t>(rows() * std::max<std::int64_t>(kept, 1)), 0);
    counts = ints(static_cast<std::size_t>(rows()), 0);
    lens_out = ints(static_cast<std::size_t>(rows()), 0);
    owned.push_back(q = random_values(static_cast<std::size_t>(batch * kHeadsQ * kDim), 77));
    if (related) relate<<<static_cast<unsigned>(batch * kHeadsQ), kDim>>>(reinterpret_cast<std::uint16_t*>(q));
    owned.push_back(out = device<T>(static_cast<std::size_t>(batch * kHeadsQ * kDim)));
    owned.push_back(lse = device<float>(static_cast<std::size_t>(batch * kHeadsQ)));
    owned.push_back(scores = device<float>(static_cast<std::size_t>(rows() * pages_held())));
    lacuna::BatchShape const shape = lacuna::shape_of(problem(0));
    tickets = ints(static_cast<std::size_t>(lacuna::attend_pages_tickets(shape, heads())), 0);
    lacuna::Workspace bytes;
    lacuna::reserve_attend_pages(exec, shape, heads(), bytes);
    lacuna::reserve_pick_top(exec, rows(), pages_held(), bytes);
    memory_bytes = bytes.used_bytes();
    owned.push_back(memory = device<std::byte>(memory_bytes));
    bench::check(cudaDeviceSynchronize());
  }
  ~Bench() {
    for (void* p : owned) cudaFree(p);
  }

  lacuna::BatchProblem<T> problem(std::size_t layer) const {
    lacuna::BatchProblem<T> p;
    p.q = lacuna::dense_view<T const, 3>(q, {batch, kHeadsQ, kDim});
    p.kv.k = k[layer % k.size()];
    p.kv.v = v[layer % v.size()];
    p.kv.heads_kv = kHeadsKv;
    p.kv.dim = kDim;
    p.kv.stride_token = kDim;
    p.kv.stride_head = kPage * kDim;
    p.kv.stride_page = kHeadsKv * kPage * kDim;
    p.kv.page_tokens = kPage;
    p.kv.lens = {lens, {batch, kHeadsKv}, {kHeadsKv, 1}};
    p.kv.page_table = {table, {batch, kHeadsKv, pages_held()}, {pages_held(), 0, 1}};
    p.batch = batch;
    p.max_len_q = 1;
    p.max_len_k = len;
    return p;
  }
  lacuna::PageIndex index() const {
    if (kept == 0) return {};
    return {lacuna::dense_view<std::int32_t, 2>(pages, {rows(), kept}),
            lacuna::dense_view<std::int32_t, 1>(counts, {rows()}),
            lacuna::dense_view<std::int32_t, 1>(lens_out, {rows()}), kPage};
  }
  void attend(Cuda exec, std::size_t layer, bool with_tickets) const {
    lacuna::AttendPagesBatchArgs<T> args{problem(layer), index(), {}, {memory, memory_bytes}};
    args.out = {lacuna::dense_view<T, 3>(out, {batch, kHeadsQ, kDim}),
                lacuna::dense_view<float, 2>(lse, {batch, kHeadsQ})};
    if (with_tickets)
      args.tickets = lacuna::dense_view<std::int32_t, 1>(
          tickets, {lacuna::attend_pages_tickets(lacuna::shape_of(args.problem), heads())});
    must(lacuna::attend_pages(exec, args));
  }
  void score(Cuda exec, std::size_t layer) const { must(lacuna::bound_scores(exec, score_args(layer))); }
  lacuna::BoundScoresBatchArgs<T> score_args(std::size_t layer) const {
    lacuna::BoundScoresBatchArgs<T> args;
    args.problem = problem(layer);
    args.bounds =
        lacuna::dense_view<T const, 5>(bounds[layer % bounds.size()], {batch, kHeadsKv, pages_held(), 2, kDim});
    args.page_tokens = kPage;
    args.scores = lacuna::dense_view<float, 2>(scores, {rows(), pages_held()});
    return args;
  }
  void pick(Cuda exec) const { must(lacuna::pick_pages(exec, pick_args())); }
  lacuna::PickPagesBatchArgs pick_args() const {
    lacuna::PickPagesBatchArgs args;
    args.scores = lacuna::dense_view<float const, 2>(scores, {rows(), pages_held()});
    args.wanted = lacuna::dense_view<std::int32_t const, 1>(wanted, {rows()});
    args.lens = {lens, {batch, kHeadsKv}, {kHeadsKv, 1}};
    args.index = index();
    args.scratch = {memory, memory_bytes};
    return args;
  }

  template <class Step>
  void report(cudaStream_t stream, char const* name, double bytes, Step&& step) {
    int nodes = 0;
    auto const layers = [&](cudaStream_t s) {
      for (std::size_t layer = 0; layer < kLayers; ++layer) step(Cuda{s}, layer);
    };
    bench::replay_ms(stream, 20, layers);  // the first replays over fresh memory are slower
    double const us = bench::replay_ms(stream, 20, layers, &nodes) * 1e3 / kLayers;
    std::printf("%-22s batch %3lld len %6lld kept %5lld: %8.2f us/layer %6.2f TB/s  %.1f nodes\n", name,
                static_cast<long long>(batch), static_cast<long long>(len), static_cast<long long>(kept * kPage), us,
                bytes / us * 1e-6, static_cast<double>(nodes) / kLayers);
    std::fflush(stdout);
  }
  double kv_bytes() const {
    std::int64_t held = 0;
    for (std::int32_t l : head_lens) held += l;
    if (held > 0) return static_cast<double>(batch * held) * kDim * 4;
    return static_cast<double>(kept > 0 ? rows() * kept * kPage : batch * kHeadsKv * len) * kDim * 4;
  }
  double bound_bytes() const { return static_cast<double>(batch * kHeadsKv * pages_held()) * kDim * 4; }
};

void dense(cudaStream_t stream, std::int64_t batch, std::int64_t len) {
  Bench b{batch, len, 0};
  b.make(Cuda{stream});
  b.report(stream, "dense", b.kv_bytes(), [&](Cuda e, std::size_t l) { b.attend(e, l, true); });
  b.report(stream, "dense, two launches", b.kv_bytes(), [&](Cuda e, std::size_t l) { b.attend(e, l, false); });
  lacuna::cuda::use_path(lacuna::cuda::Path::generic);
  b.report(stream, "dense, cp.async", b.kv_bytes(), [&](Cuda e, std::size_t l) { b.attend(e, l, true); });
  lacuna::cuda::use_path(lacuna::cuda::Path::automatic);
}

/// What is left of 128K tokens at 1/10: the same for every head, or one head of eight five times the mean.
void ragged(cudaStream_t stream, std::int64_t batch) {
  constexpr std::int32_t kMean = 13104;
  {
    Bench b{batch, kMean, 0};
    b.make(Cuda{stream});
    b.report(stream, "kept 1/10, uniform", b.kv_bytes(), [&](Cuda e, std::size_t l) { b.attend(e, l, true); });
  }
  Bench b{batch, 5 * kMean, 0};
  b.head_lens.assign(kHeadsKv, 3 * kMean / 7);
  b.head_lens[0] = 8 * kMean - 7 * b.head_lens[1];
  b.make(Cuda{stream});
  b.report(stream, "kept 1/10, one head 5x", b.kv_bytes(), [&](Cuda e, std::size_t l) { b.attend(e, l, true); });
}

void quest(cudaStream_t stream, std::int64_t batch, std::int64_t len, std::int64_t share, bool per_head, bool parts,
           bool related = false) {
  Bench b{batch, len, len / kPage / share, per_head, related};
  b.make(Cuda{stream});
  char const* const name = !per_head ? "quest" : related ? "quest per head, alike" : "quest per head, unlike";
  b.report(stream, name, b.kv_bytes() + b.bound_bytes(), [&](Cuda e, std::size_t l) {
    b.score(e, l);
    b.pick(e);
    b.attend(e, l, true);
  });
  if (!parts) return;
  b.report(stream, "  score", b.bound_bytes(), [&](Cuda e, std::size_t l) { b.score(e, l); });
  b.report(stream, "  pick", 0.0, [&](Cuda e, std::size_t) { b.pick(e); });
  b.report(stream, "  attend", b.kv_bytes(), [&](Cuda e, std::size_t l) { b.attend(e, l, true); });
}

void pick(cudaStream_t stream, std::int64_t rows, std::int64_t units, std::int64_t kept) {
  auto* const scores = device<float>(static_cast<std::size_t>(rows * units));
  std::vector<float> host(static_cast<std::size_t>(rows * units));
  std::uint32_t h = 1;
  for (float& x : host) {
    float sum = 0.0F;
    for (int k = 0; k < 4; ++k) h = h * 1664525U + 1013904223U, sum += static_cast<float>(h >> 8) * 0x1p-24F;
    x = sum - 2.0F;
  }
  bench::check(cudaMemcpy(scores, host.data(), host.size() * 4, cudaMemcpyHostToDevice));
  auto* const wanted =
      upload(std::vector<std::int32_t>(static_cast<std::size_t>(rows), static_cast<std::int32_t>(kept)));
  auto* const units_out = device<std::int32_t>(static_cast<std::size_t>(rows * kept));
  auto* const counts = device<std::int32_t>(static_cast<std::size_t>(rows));
  lacuna::Workspace bytes;
  lacuna::reserve_pick_top(Cuda{stream}, rows, units, bytes);
  auto* const memory = device<std::byte>(bytes.used_bytes());
  lacuna::PickTopArgs args;
  args.scores = lacuna::dense_view<float const, 2>(scores, {rows, units});
  args.wanted = lacuna::dense_view<std::int32_t const, 1>(wanted, {rows});
  args.units = lacuna::dense_view<std::int32_t, 2>(units_out, {rows, kept});
  args.counts = lacuna::dense_view<std::int32_t, 1>(counts, {rows});
  args.scratch = {memory, bytes.used_bytes()};
  double const us = bench::replay_ms(stream, 20,
                                     [&](cudaStream_t s) {
                                       for (int i = 0; i < kLayers; ++i) must(lacuna::pick_top(Cuda{s}, args));
                                     }) *
                    1e3 / kLayers;
  std::printf("pick_top rows %5lld units %7lld kept %6lld: %7.2f us\n", static_cast<long long>(rows),
              static_cast<long long>(units), static_cast<long long>(kept), us);
  std::fflush(stdout);
  for (void* p : {static_cast<void*>(scores), static_cast<void*>(wanted), static_cast<void*>(units_out),
                  static_cast<void*>(counts), static_cast<void*>(memory)})
    cudaFree(p);
}

}  // namespace

int main(int argc, char** argv) {
  std::string const what = argc > 1 ? argv[1] : "all";
  auto const on = [&](char const* name) { return what == "all" || what == name; };
  cudaStream_t stream;
  bench::check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  if (on("pick"))
    for (auto [rows, units, kept] : {std::array<std::int64_t, 3>{8, 8192, 410},
                                     {256, 8192, 410},
                                     {256, 32768, 1638},
                                     {4096, 8192, 410},
                                     {64, 131072, 13107},
                                     {1, 1048576, 104857}})
      pick(stream, rows, units, kept);
  if (on("dense"))
    for (auto [batch, len] : {std::array<std::int64_t, 2>{1, 32768}, {8, 32768}, {32, 32768}, {1, 131072}, {8, 131072}})
      dense(stream, batch, len);
  if (on("ragged"))
    for (std::int64_t batch : {1, 8}) ragged(stream, batch);
  if (on("quest"))
    for (auto [batch, len, share] : {std::array<std::int64_t, 3>{1, 131072, 20},
                                     {8, 131072, 20},
                                     {32, 131072, 20},
                                     {1, 131072, 10},
                                     {8, 131072, 10},
                                     {8, 32768, 20},
                                     {64, 32768, 20}})
      quest(stream, batch, len, share, false, true);
  if (on("heads"))
    for (auto [batch, len, share] : {std::array<std::int64_t, 3>{1, 131072, 20}, {8, 131072, 20}})
      for (bool related : {false, true}) quest(stream, batch, len, share, true, true, related);
}
