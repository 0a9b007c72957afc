// Our prefill kernels behind a C interface, so that one Python process can time them beside PyTorch's on the same
// tensors, in turns: a shared library for bench/peers/prefill.py.
//   nvcc -std=c++20 -O3 -shared -Xcompiler -fPIC -gencode arch=compute_90a,code=sm_90a -I include -o libprefill_arms.so
//     bench/gpu/prefill_arms.cu

#include <cstdint>
#include <cstdio>

#include "lacuna/kernels/cuda/flash_wgmma.cuh"
#include "lacuna/kernels/cuda/flash_wgmma_vertical_slash.cuh"

/// One sequence, [tokens, heads, dim] each; everything lies on the device.
struct Tensors {
  void const *q, *k, *v;
  void* out;
  void* len;      // int32 [1]
  void* scratch;  // as lacuna_scratch_bytes says
  std::int64_t scratch_bytes, tokens, heads_q, heads_kv, dim;
};

namespace {

using lacuna::bfloat16;

lacuna::BatchProblem<bfloat16> problem_of(Tensors const& t) {
  lacuna::BatchProblem<bfloat16> p;
  p.q = lacuna::dense_view<bfloat16 const, 3>(static_cast<bfloat16 const*>(t.q), {t.tokens, t.heads_q, t.dim});
  p.kv.k = static_cast<bfloat16 const*>(t.k);
  p.kv.v = static_cast<bfloat16 const*>(t.v);
  p.kv.heads_kv = t.heads_kv;
  p.kv.dim = t.dim;
  p.kv.stride_head = t.dim;
  p.kv.stride_token = t.heads_kv * t.dim;
  p.kv.lens = {static_cast<std::int32_t const*>(t.len), {1, t.heads_kv}, {0, 0}};
  p.max_len_q = p.max_len_k = t.tokens;
  return p;
}
lacuna::AttentionOut<bfloat16> out_of(Tensors const& t) {
  return {lacuna::dense_view<bfloat16, 3>(static_cast<bfloat16*>(t.out), {t.tokens, t.heads_q, t.dim}), {}};
}

int report(lacuna::Status const& status) {
  if (!status) std::fprintf(stderr, "prefill_arms: %s (%lld)\n", status.message, static_cast<long long>(status.value));
  return status ? 0 : 1;
}

}  // namespace

extern "C" {

/// Enough for every call below with lists of at most so many columns.
std::int64_t lacuna_scratch_bytes(std::int64_t heads, std::int64_t columns, std::int64_t dim) {
  lacuna::Workspace counting;
  lacuna::cuda::reserve_flash_wgmma_slashes<bfloat16>(counting, 1, heads, columns, dim);
  return static_cast<std::int64_t>(counting.used_bytes());
}

int lacuna_dense(Tensors const* t, void* stream) {
  auto const problem = problem_of(*t);
  auto const out = out_of(*t);
  lacuna::Workspace const scratch(t->scratch, static_cast<std::size_t>(t->scratch_bytes));
  return report(
      lacuna::cuda::launch_flash_wgmma(lacuna::Cuda{static_cast<cudaStream_t>(stream)}, problem, out, scratch));
}

/// Sequences one after another in the same tensors: begins int32 [batch + 1], lens int32 [batch].
int lacuna_dense_ragged(Tensors const* t, std::int32_t const* begins, std::int32_t const* lens, std::int64_t batch,
                        std::int64_t longest, void* stream) {
  auto problem = problem_of(*t);
  problem.batch = batch;
  problem.cu_len_q = problem.kv.first_token = begins;
  problem.kv.lens = {lens, {batch, t->heads_kv}, {1, 0}};
  problem.max_len_q = problem.max_len_k = longest;
  lacuna::Workspace const scratch(t->scratch, static_cast<std::size_t>(t->scratch_bytes));
  return report(
      lacuna::cuda::launch_flash_wgmma(lacuna::Cuda{static_cast<cudaStream_t>(stream)}, problem, out_of(*t), scratch));
}

/// blocks [heads, rows * room], counts [heads, rows].
int lacuna_blocks(Tensors const* t, std::int32_t* blocks, std::int32_t* counts, std::int64_t heads, std::int64_t rows,
                  std::int64_t room, std::int64_t block_tokens, void* stream) {
  auto const problem = problem_of(*t);
  auto const out = out_of(*t);
  lacuna::BlockIndex index;
  index.blocks = lacuna::dense_view<std::int32_t, 2>(blocks, {heads, rows * room});
  index.counts = lacuna::dense_view<std::int32_t, 2>(counts, {heads, rows});
  index.block_tokens = block_tokens;
  index.room = room;
  if (!lacuna::cuda::flash_wgmma_serves(problem, out, index)) return report(lacuna::Status::invalid("not served"));
  lacuna::Workspace const scratch(t->scratch, static_cast<std::size_t>(t->scratch_bytes));
  return report(
      lacuna::cuda::launch_flash_wgmma(lacuna::Cuda{static_cast<cudaStream_t>(stream)}, problem, out, index, scratch));
}

/// columns and diagonals [heads, room], counts [heads, 2].
int lacuna_slashes(Tensors const* t, std::int32_t* columns, std::int32_t* diagonals, std::int32_t* counts,
                   std::int64_t heads, std::int64_t column_room, std::int64_t diagonal_room, void* stream) {
  auto const problem = problem_of(*t);
  auto const out = out_of(*t);
  lacuna::VerticalSlashIndex index;
  index.columns = lacuna::dense_view<std::int32_t, 2>(columns, {heads, column_room});
  index.diagonals = lacuna::dense_view<std::int32_t, 2>(diagonals, {heads, diagonal_room});
  index.counts = lacuna::dense_view<std::int32_t, 2>(counts, {heads, 2});
  if (!lacuna::cuda::flash_wgmma_serves(problem, out, index)) return report(lacuna::Status::invalid("not served"));
  lacuna::Workspace const scratch(t->scratch, static_cast<std::size_t>(t->scratch_bytes));
  return report(
      lacuna::cuda::launch_flash_wgmma(lacuna::Cuda{static_cast<cudaStream_t>(stream)}, problem, out, index, scratch));
}

}  // extern "C"
