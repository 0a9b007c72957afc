#pragma once

#include <cmath>
#include <cstdint>

#include "lacuna/index/scores.hpp"
#include "lacuna/kernels/cuda/block_rows.cuh"
#include "lacuna/kernels/cuda/launch.cuh"
#include "lacuna/kernels/cuda/primitives/sequence.cuh"
#include "lacuna/kernels/cuda/primitives/warp.cuh"

namespace lacuna::cuda {

template <Storage T, int Dim>
struct MeanCosineTraits {
  using Element = T;
  static constexpr int dim = Dim, threads = 256, warps = threads / 32, words = Dim / 64;  // of a row, for each lane
};

/// The mean cosine of all pairs of rows [begin, end), a row with itself included: the squared length of the mean of
/// their directions. Row(i) points to row i; one of zeros has no direction. By one warp.
template <class Traits, class Row>
__device__ float mean_cosine(std::int32_t begin, std::int32_t end, Row const& row) {
  float sums[2 * Traits::words] = {}, squares = 0.0F;
  for (std::int32_t at = begin; at < end; ++at) {
    auto const* const packed = reinterpret_cast<std::uint32_t const*>(row(at)) + lane_id() * Traits::words;
    float2 values[Traits::words];
    float own = 0.0F;
#pragma unroll
    for (int w = 0; w < Traits::words; ++w) {
      values[w] = unpack2<typename Traits::Element>(__ldg(packed + w));
      own += values[w].x * values[w].x + values[w].y * values[w].y;
    }
    for (int lanes = 16; lanes > 0; lanes /= 2) own += __shfl_xor_sync(kAllLanes, own, lanes);
    if (own == 0.0F) continue;
    float const inverse = 1.0F / sqrtf(own);
#pragma unroll
    for (int w = 0; w < Traits::words; ++w) {
      sums[2 * w] += values[w].x * inverse;
      sums[2 * w + 1] += values[w].y * inverse;
    }
  }
  for (float sum : sums) squares += sum * sum;
  for (int lanes = 16; lanes > 0; lanes /= 2) squares += __shfl_xor_sync(kAllLanes, squares, lanes);
  float const count = static_cast<float>(end - begin);
  return squares / (count * count);
}

/// Grid: (key blocks / warps, batch * heads_kv). A warp owns a key block; reads each key once, writes 4 bytes.
template <class Traits>
__global__ void __launch_bounds__(Traits::threads)
    key_cosines_kernel(__grid_constant__ DeviceProblem<typename Traits::Element> const p, std::int32_t block_tokens,
                       std::int32_t blocks, float* out) {
  std::int32_t const block = static_cast<std::int32_t>(blockIdx.x) * Traits::warps + warp_id();
  std::int32_t const row = static_cast<std::int32_t>(blockIdx.y), sequence = row / p.heads_kv;
  std::int32_t const head = row % p.heads_kv, len = p.len_k(sequence, head);
  if (block >= blocks || block * block_tokens >= len) return;
  float const cosine = mean_cosine<Traits>(block * block_tokens, min((block + 1) * block_tokens, len),
                                           [&](std::int32_t at) { return p.k + p.offset(sequence, head, at); });
  if (lane_id() == 0) out[std::int64_t{row} * blocks + block] = cosine;
}

/// Grid: (rows / warps, heads_q). As for keys.
template <class Traits>
__global__ void __launch_bounds__(Traits::threads)
    query_cosines_kernel(__grid_constant__ DeviceProblem<typename Traits::Element> const p,
                         __grid_constant__ BlockRows const rows, std::int32_t row_count, float* out) {
  std::int32_t const slot = static_cast<std::int32_t>(blockIdx.x) * Traits::warps + warp_id();
  std::int32_t const head = static_cast<std::int32_t>(blockIdx.y);
  if (slot >= row_count) return;
  BlockRows::Row const row = rows.find(slot);
  if (!row.there) return;
  std::int32_t const first_position = row.len_k - row.len_q, first_token = rows.first_query(row.sequence);
  float const cosine = mean_cosine<Traits>(
      max(row.block * rows.block_tokens, first_position), min((row.block + 1) * rows.block_tokens, row.len_k),
      [&](std::int32_t at) { return p.query(first_token + at - first_position, head); });
  if (lane_id() == 0) out[std::int64_t{head} * row_count + slot] = cosine;
}

struct KeepUnlikeParameters {
  BlockRows rows;
  float* scores;
  std::int64_t stride_head, stride_row;
  float const* queries;  // [heads_q, all rows]
  float const* keys;     // [batch * heads_kv, key blocks]
  float threshold;
  std::int32_t first_row, all_rows, key_blocks, heads_kv, group, heads_per_choice;
};

/// Grid: (rows of the chunk, choices). A block owns a row: +inf to the blocks that are unlike themselves, to all where
/// the row's own queries are, and the mass of the others becomes 1.
template <int Threads>
__global__ void __launch_bounds__(Threads) keep_unlike_kernel(__grid_constant__ KeepUnlikeParameters const p) {
  __shared__ double of_warps[Threads / 32];
  std::int32_t const slot = p.first_row + static_cast<std::int32_t>(blockIdx.x);
  std::int32_t const first_head = static_cast<std::int32_t>(blockIdx.y) * p.heads_per_choice;
  BlockRows::Row const row = p.rows.find(slot);
  if (!row.there) return;
  bool all = false;
  for (std::int32_t head = first_head; head < first_head + p.heads_per_choice; ++head)
    all = all || !(p.queries[std::int64_t{head} * p.all_rows + slot] >= p.threshold);
  float const* const keys = p.keys + (std::int64_t{row.sequence} * p.heads_kv + first_head / p.group) * p.key_blocks;
  float* const scores = p.scores + blockIdx.y * p.stride_head + blockIdx.x * p.stride_row;
  double left = 0.0;
  for (std::int32_t block = static_cast<std::int32_t>(threadIdx.x); block < row.candidates(); block += Threads) {
    float& score = scores[block];
    if (score == -INFINITY) continue;
    if (all || !(keys[block] >= p.threshold))
      score = INFINITY;
    else if (score > 0.0F)
      left += static_cast<double>(score);
  }
  for (int lanes = 16; lanes > 0; lanes /= 2) left += __shfl_xor_sync(kAllLanes, left, lanes);
  if (lane_id() == 0) of_warps[threadIdx.x / 32U] = left;
  __syncthreads();
  left = 0.0;
  for (double other : of_warps) left += other;
  if (!(left > 0.0)) return;
  for (std::int32_t block = static_cast<std::int32_t>(threadIdx.x); block < row.candidates(); block += Threads)
    scores[block] = static_cast<float>(static_cast<double>(scores[block]) / left);
}

/// Mean cosines of every block of keys, [batch * heads_kv, blocks], and of queries, [heads_q, rows of a BlockIndex].
template <Storage T, int Dim>
Status launch_mean_cosines(Cuda exec, BatchProblem<T> const& problem, std::int64_t block_tokens,
                           TensorView<float, 2> const& queries, TensorView<float, 2> const& keys) {
  using Traits = MeanCosineTraits<T, Dim>;
  DeviceProblem<T> const p(problem);
  auto const grid = [](TensorView<float, 2> const& out) {
    return dim3(static_cast<unsigned>((out.extent(1) + Traits::warps - 1) / Traits::warps),
                static_cast<unsigned>(out.extent(0)));
  };
  if (Status s = launch(exec, grid(keys), Traits::threads, 0, key_cosines_kernel<Traits>, p,
                        static_cast<std::int32_t>(block_tokens), static_cast<std::int32_t>(keys.extent(1)), keys.data);
      !s)
    return s;
  return launch(exec, grid(queries), Traits::threads, 0, query_cosines_kernel<Traits>, p,
                BlockRows(problem, block_tokens), static_cast<std::int32_t>(queries.extent(1)), queries.data);
}
template <Storage T>
Status mean_cosines(Cuda exec, BatchProblem<T> const& problem, std::int64_t block_tokens,
                    TensorView<float, 2> const& queries, TensorView<float, 2> const& keys) {
  if (queries.count() == 0 || keys.count() == 0) return {};
  switch (problem.dim()) {
    case 64: return launch_mean_cosines<T, 64>(exec, problem, block_tokens, queries, keys);
    case 128: return launch_mean_cosines<T, 128>(exec, problem, block_tokens, queries, keys);
    case 256: return launch_mean_cosines<T, 256>(exec, problem, block_tokens, queries, keys);
    default: return Status::invalid("mean_cosines: dim must be 64, 128 or 256", problem.dim(), 0);
  }
}

/// Scores [choices, rows of the chunk, units]; a choice is for heads_q / choices neighbouring heads.
template <Storage T>
Status keep_unlike(Cuda exec, BatchProblem<T> const& problem, std::int64_t block_tokens, float threshold,
                   TensorView<float, 2> const& queries, TensorView<float, 2> const& keys, std::int64_t first_row,
                   Scores scores) {
  if (scores.count() == 0) return {};
  auto const narrow = [](std::int64_t x) { return static_cast<std::int32_t>(x); };
  KeepUnlikeParameters const p{BlockRows(problem, block_tokens),
                               scores.data,
                               scores.stride(0),
                               scores.stride(1),
                               queries.data,
                               keys.data,
                               threshold,
                               narrow(first_row),
                               narrow(queries.extent(1)),
                               narrow(keys.extent(1)),
                               narrow(problem.heads_kv()),
                               narrow(problem.group()),
                               narrow(problem.heads_q() / scores.extent(0))};
  return launch(exec, dim3(static_cast<unsigned>(scores.extent(1)), static_cast<unsigned>(scores.extent(0))), 128, 0,
                keep_unlike_kernel<128>, p);
}

}  // namespace lacuna::cuda
