// Time of what selection is made of, at Llama 3.1 8B's shapes: 32 query heads, 8 KV heads, 128 channels, bfloat16, one
// prompt of its own. Graph replays on random data. Usage: selection_arms [hopper] [tokens ...]
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "lacuna/kernels/cuda/path.cuh"
#include "lacuna/kernels/group_mass.hpp"
#include "lacuna/kernels/pick_blocks.hpp"
#include "lacuna/kernels/pool_blocks.hpp"
#include "lacuna/kernels/pooled_scores.hpp"
#include "lacuna/kernels/window_scores.hpp"
#include "timing.cuh"

namespace {

using T = lacuna::bfloat16;

__global__ void fill_normal(std::uint16_t* out, std::int64_t count, std::uint64_t seed) {
  for (std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
    std::uint64_t z = (static_cast<std::uint64_t>(i) + seed) * 0x9e3779b97f4a7c15ULL;
    z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27U)) * 0x94d049bb133111ebULL;
    z ^= z >> 31U;
    float const a = (static_cast<float>(z & 0xffffffU) + 0.5F) * 0x1p-24F, b = static_cast<float>(z >> 40U) * 0x1p-24F;
    out[i] = static_cast<std::uint16_t>(__float_as_uint(sqrtf(-2.0F * logf(a)) * cospif(2.0F * b)) >> 16U);
  }
}

struct Memory {
  std::byte* data = nullptr;
  explicit Memory(std::int64_t bytes) { bench::check(cudaMalloc(&data, static_cast<std::size_t>(bytes))); }
  ~Memory() { cudaFree(data); }
  template <class U>
  U* as() const {
    return reinterpret_cast<U*>(data);
  }
};

void must(lacuna::Status const& s) {
  if (s) return;
  std::fprintf(stderr, "%s (%lld, %lld)\n", s.message, static_cast<long long>(s.value),
               static_cast<long long>(s.bound));
  std::exit(1);
}

constexpr std::int64_t kHeads = 32, kHeadsKv = 8, kDim = 128;

void run(std::int64_t len) {
  cudaStream_t stream;
  bench::check(cudaStreamCreate(&stream));
  lacuna::Cuda const exec{stream};
  Memory q(len * kHeads * kDim * 2), k(len * kHeadsKv * kDim * 2), lens(4);
  fill_normal<<<1024, 256, 0, stream>>>(q.as<std::uint16_t>(), len * kHeads * kDim, 1);
  fill_normal<<<1024, 256, 0, stream>>>(k.as<std::uint16_t>(), len * kHeadsKv * kDim, 1ULL << 40U);
  auto const length = static_cast<std::int32_t>(len);
  bench::check(cudaMemcpy(lens.data, &length, 4, cudaMemcpyHostToDevice));
  lacuna::BatchProblem<T> p;
  p.q = lacuna::dense_view<T const, 3>(q.as<T>(), {len, kHeads, kDim});
  p.kv.k = p.kv.v = k.as<T>();
  p.kv.heads_kv = kHeadsKv;
  p.kv.dim = kDim;
  p.kv.stride_head = kDim;
  p.kv.stride_token = kHeadsKv * kDim;
  p.kv.lens = {lens.as<std::int32_t>(), {1, kHeadsKv}, {0, 0}};
  p.max_len_q = p.max_len_k = len;

  for (std::int64_t tokens : {16, 64, 128}) {
    std::int64_t const rows = lacuna::BlockIndex::first_row(1, len, tokens), blocks = len / tokens, room = blocks / 10;
    Memory pooled_q(kHeads * rows * 4 * kDim), pooled_k(kHeadsKv * blocks * 4 * kDim), kept(kHeads * rows * 4),
        counts(kHeads * rows * 4), ids(kHeads * rows * room * 4);
    std::vector<std::int32_t> const wanted(static_cast<std::size_t>(kHeads * rows), static_cast<std::int32_t>(room));
    bench::check(cudaMemcpy(counts.data, wanted.data(), wanted.size() * 4, cudaMemcpyHostToDevice));
    auto const pq = lacuna::dense_view<lacuna::bfloat16, 4>(pooled_q.as<lacuna::bfloat16>(), {kHeads, rows, 2, kDim});
    auto const pk =
        lacuna::dense_view<lacuna::bfloat16, 4>(pooled_k.as<lacuna::bfloat16>(), {kHeadsKv, blocks, 2, kDim});
    lacuna::BlockIndex index;
    index.blocks = lacuna::dense_view<std::int32_t, 2>(ids.as<std::int32_t>(), {kHeads, rows * room});
    index.counts = lacuna::dense_view<std::int32_t, 2>(kept.as<std::int32_t>(), {kHeads, rows});
    index.block_tokens = tokens;
    index.room = room;
    double const pool = bench::replay_ms(stream, 10, [&](cudaStream_t) {
      must(lacuna::pool_blocks(exec, lacuna::PoolBlocksBatchArgs<T>{p, tokens, pq, pk}));
    });
    for (std::int64_t megabytes : {32, 64, 128, 256, 512}) {
      std::int64_t const most = std::max<std::int64_t>((megabytes << 20) / (kHeads * blocks * 4) / 16 * 16, 16);
      if (most > 2 * rows && megabytes > 32) continue;
      Memory scores(kHeads * most * blocks * 4);
      double ms[3];
      for (int what : {0, 1, 2})  // both, scores alone, picks alone
        ms[what] = bench::replay_ms(stream, 5, [&](cudaStream_t) {
          for (std::int64_t first = 0; first < rows; first += most) {
            std::int64_t const count = std::min(most, rows - first);
            auto const chunk = lacuna::dense_view<float, 3>(scores.as<float>(), {kHeads, count, blocks});
            if (what != 2)
              must(lacuna::pooled_scores(exec, lacuna::PooledScoresBatchArgs<T>{p, tokens, pq, pk, first, chunk}));
            lacuna::Counts const c{counts.as<std::int32_t>() + first, {kHeads, count}, {rows, 1}};
            if (what != 1) must(lacuna::pick_blocks(exec, lacuna::PickBlocksBatchArgs<T>{p, chunk, c, first, index}));
          }
        });
      std::printf(
          "blocks %3lld  %6lld tokens  pool %.3f  chunks of %3lld MB (%4lld rows): all %.3f scores %.3f picks %.3f "
          "ms\n",
          static_cast<long long>(tokens), static_cast<long long>(len), pool, static_cast<long long>(megabytes),
          static_cast<long long>(most), ms[0], ms[1], ms[2]);
    }
  }
  for (std::int64_t stride : {8, 16}) {
    std::int64_t const tokens = 128, rows = lacuna::BlockIndex::first_row(1, len, tokens), blocks = len / tokens;
    std::int64_t const most = std::min(std::max<std::int64_t>((128 << 20) / (kHeads * blocks * 4) / 16 * 16, 16), rows);
    lacuna::Workspace counting;
    lacuna::reserve_group_mass(exec, lacuna::shape_of(p), stride, tokens, most, counting);
    Memory scores(kHeads * most * blocks * 4), scratch(static_cast<std::int64_t>(counting.used_bytes()));
    double const ms = bench::replay_ms(stream, 5, [&](cudaStream_t) {
      for (std::int64_t first = 0; first < rows; first += most) {
        std::int64_t const count = std::min(most, rows - first);
        auto const chunk = lacuna::dense_view<float, 3>(scores.as<float>(), {kHeads, count, blocks});
        must(lacuna::group_mass(exec, lacuna::GroupMassBatchArgs<T>{
                                          p, stride, tokens, first, chunk, {scratch.data, counting.used_bytes()}}));
      }
    });
    std::printf("antidiagonals, stride %2lld  %6lld tokens: %.3f ms\n", static_cast<long long>(stride),
                static_cast<long long>(len), ms);
  }
  for (std::int64_t window : {256, 512}) {
    lacuna::Workspace counting;
    lacuna::reserve_window_scores(exec, lacuna::shape_of(p), window, kHeads, true, counting);
    Memory scratch(static_cast<std::int64_t>(counting.used_bytes())), out(2 * kHeads * len * 4);
    lacuna::WindowScoresBatchArgs<T> args;
    args.problem = p;
    args.window = window;
    args.columns = lacuna::dense_view<float, 2>(out.as<float>(), {kHeads, len});
    args.scratch = {scratch.data, counting.used_bytes()};
    double const columns = bench::replay_ms(stream, 5, [&](cudaStream_t) { must(lacuna::window_scores(exec, args)); });
    args.diagonals = lacuna::dense_view<float, 2>(out.as<float>() + kHeads * len, {kHeads, len});
    double const both = bench::replay_ms(stream, 5, [&](cudaStream_t) { must(lacuna::window_scores(exec, args)); });
    std::printf("window %lld  %6lld tokens: columns %.3f, with diagonals %.3f ms\n", static_cast<long long>(window),
                static_cast<long long>(len), columns, both);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::string(argv[1]) == "hopper") {
    lacuna::cuda::use_path(lacuna::cuda::Path::hopper);
    --argc, ++argv;
  }
  if (argc < 2)
    for (std::int64_t len : {16384, 65536, 131072}) run(len);
  for (int i = 1; i < argc; ++i) run(std::atoll(argv[i]));
}
