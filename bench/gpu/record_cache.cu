// Cache upkeep on the device: append with bounds, bounds of a whole prompt, compaction. 8 KV heads, d = 128, bf16,
// pages of 16 tokens. Microseconds per layer of a graph of 32 layers.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "lacuna/kernels/gather_kv.hpp"
#include "lacuna/kernels/page_bounds.hpp"
#include "timing.cuh"

namespace {

using lacuna::Cuda;
using T = lacuna::bfloat16;
constexpr std::int64_t kHeads = 8, kDim = 128, kPage = 16;
constexpr int kLayers = 32;

void must(lacuna::Status s) {
  if (s) return;
  std::fprintf(stderr, "%s\n", s.message);
  std::exit(1);
}
template <class E>
E* zeros(std::int64_t count) {
  void* p = nullptr;
  bench::check(cudaMalloc(&p, static_cast<std::size_t>(count) * sizeof(E)));
  bench::check(cudaMemset(p, 0, static_cast<std::size_t>(count) * sizeof(E)));
  return static_cast<E*>(p);
}
std::int32_t* upload(std::vector<std::int32_t> const& values) {
  auto* const p = zeros<std::int32_t>(static_cast<std::int64_t>(values.size()));
  bench::check(cudaMemcpy(p, values.data(), values.size() * 4, cudaMemcpyHostToDevice));
  return p;
}
template <class Step>
void report(cudaStream_t stream, char const* name, double bytes, Step&& step) {
  double const us = bench::replay_ms(stream, 20,
                                     [&](cudaStream_t s) {
                                       for (int layer = 0; layer < kLayers; ++layer) step(Cuda{s}, layer);
                                     }) *
                    1e3 / kLayers;
  std::printf("%-40s %8.2f us %6.2f TB/s\n", name, us, bytes / us * 1e-6);
  std::fflush(stdout);
}

/// Layers of `batch` sequences of `len` tokens, each sequence's pages in their order.
struct Caches {
  std::int64_t batch, len;
  std::vector<T*> k{}, v{};
  std::int32_t *lens, *table;
  T* bounds;

  Caches(std::int64_t batch, std::int64_t len, int layers) : batch(batch), len(len) {
    for (int i = 0; i < layers; ++i) {
      k.push_back(zeros<T>(batch * len * kHeads * kDim));
      v.push_back(zeros<T>(batch * len * kHeads * kDim));
    }
    std::vector<std::int32_t> pages(static_cast<std::size_t>(batch * len / kPage));
    for (std::size_t p = 0; p < pages.size(); ++p) pages[p] = static_cast<std::int32_t>(p);
    table = upload(pages);
    lens = upload(std::vector<std::int32_t>(static_cast<std::size_t>(batch), static_cast<std::int32_t>(len - 5)));
    bounds = zeros<T>(batch * kHeads * (len / kPage) * 2 * kDim);
  }
  lacuna::BatchKv<T> kv(int layer) const {
    lacuna::BatchKv<T> kv;
    kv.k = k[static_cast<std::size_t>(layer) % k.size()];
    kv.v = v[static_cast<std::size_t>(layer) % k.size()];
    kv.heads_kv = kHeads;
    kv.dim = kv.stride_token = kDim;
    kv.stride_head = kPage * kDim;
    kv.stride_page = kHeads * kPage * kDim;
    kv.page_tokens = kPage;
    kv.lens = {lens, {batch, kHeads}, {1, 0}};
    kv.page_table = {table, {batch, kHeads, len / kPage}, {len / kPage, 0, 1}};
    return kv;
  }
  lacuna::PageBoundsBatchArgs<T> bounds_args(int layer, std::int64_t news) const {
    return {kv(layer), batch, len, news, lacuna::dense_view<T, 5>(bounds, {batch, kHeads, len / kPage, 2, kDim}),
            kPage};
  }
};

}  // namespace

int main() {
  cudaStream_t stream;
  bench::check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  {
    Caches const c(64, 4096, 8);
    T* const news = zeros<T>(64 * kHeads * kDim);
    auto const view = lacuna::dense_view<T const, 3>(news, {64, kHeads, kDim});
    report(stream, "append and bounds, 64 sequences", 0.0, [&](Cuda e, int layer) {
      auto const kv = c.kv(layer);
      must(lacuna::append_kv<T>(
          e, {c.bounds_args(layer, 1), const_cast<T*>(kv.k), const_cast<T*>(kv.v), view, view, nullptr}));
    });
  }
  Caches const c(1, 131072, 8);
  double const keys = 131072.0 * kHeads * kDim * 2;
  report(stream, "bounds of a prompt of 128K", keys * 1.125,
         [&](Cuda e, int layer) { must(lacuna::page_bounds(e, c.bounds_args(layer, 131072))); });
  std::int64_t const kept = 13107;
  std::vector<std::int32_t> tokens;
  for (std::int64_t h = 0; h < kHeads; ++h)
    for (std::int64_t i = 0; i < kept; ++i) tokens.push_back(static_cast<std::int32_t>(i * 10 + (i * 7 + h) % 10));
  lacuna::GatherKvBatchArgs<T> args;
  args.batch = 1;
  args.index = {lacuna::dense_view<std::int32_t, 2>(upload(tokens), {kHeads, kept}),
                lacuna::dense_view<std::int32_t, 1>(upload(std::vector<std::int32_t>(kHeads, 13107)), {kHeads}),
                {}};
  args.to_k = zeros<T>(kept * kHeads * kDim);
  args.to_v = zeros<T>(kept * kHeads * kDim);
  double const moved = 4.0 * kept * kHeads * kDim * 2;
  report(stream, "compaction of 128K to 1/10, elsewhere", moved, [&](Cuda e, int layer) {
    auto a = args;
    a.from = a.to = c.kv(layer);
    a.to.k = a.to_k;
    a.to.v = a.to_v;
    a.to.page_table = {};
    a.to.page_tokens = a.to.stride_page = 0;
    a.to.stride_head = kept * kDim;
    must(lacuna::gather_kv(e, a));
  });
  report(stream, "compaction of 128K to 1/10, in place", moved, [&](Cuda e, int layer) {
    auto a = args;
    a.from = a.to = c.kv(layer);
    a.to_k = const_cast<T*>(a.to.k);
    a.to_v = const_cast<T*>(a.to.v);
    must(lacuna::gather_kv(e, a));
  });
}
