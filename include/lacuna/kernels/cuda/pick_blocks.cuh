#pragma once

#include <cstdint>

#include "lacuna/kernels/cuda/block_rows.cuh"
#include "lacuna/kernels/cuda/launch.cuh"
#include "lacuna/kernels/cuda/primitives/warp.cuh"
#include "lacuna/kernels/pick_blocks.hpp"

namespace lacuna::cuda {

/// A block picks from one row. Each of its warps owns a part of the row: `per_lane` scores in each lane's registers, 32
/// neighbours at a time. Rows that do not fit are read again by every pass. Passes count, and what is counted stays in
/// registers: histograms in shared memory were tried, and their atomic additions took nine tenths of the time.
template <int Warps, int PerLane>
struct PickBlocksTraits {
  static constexpr int warps = Warps, threads = 32 * Warps, per_lane = PerLane;
  static constexpr int most_listed = 128;  // so few are ranked against each other instead of counted again
  static constexpr int guesses = 6;        // by the shape of a normal distribution; after that by halves
};

/// Scores as integers in the same order, both zeros as one. No NaN comes here.
__device__ __forceinline__ std::uint32_t rank_of_score(float score) {
  std::uint32_t const bits = __float_as_uint(score + 0.0F);
  return bits & 0x80000000U ? ~bits : bits | 0x80000000U;
}
__device__ __forceinline__ float score_of_rank(std::uint32_t rank) {
  return __uint_as_float(rank & 0x80000000U ? rank ^ 0x80000000U : ~rank);
}

template <class Traits>
struct PickBlocksSmem {
  float lists[Traits::warps][Traits::most_listed];
  float sample[3];  // how many, their mean, their spread
  std::uint32_t of_warps[2][Traits::warps];
  std::uint32_t above[Traits::warps], tied[Traits::warps];
  std::uint32_t ties;
  float cut;
};

/// The scores of a row as its warps hold them: -inf for NaN, which ranks with it, and NaN for what is no candidate.
template <class Traits>
class RowOfScores {
 public:
  __device__ RowOfScores(float const* scores, std::int32_t count)
      : scores_(scores),
        count_(count),
        words_((count + 32 * Traits::warps - 1) / (32 * Traits::warps)),
        first_(static_cast<std::int32_t>(threadIdx.x / 32U) * words_ * 32) {
#pragma unroll
    for (int word = 0; word < Traits::per_lane; ++word) held_[word] = load(word);
  }

  /// f(first unit of the word, the lane's score), words in order.
  template <class F>
  __device__ __forceinline__ void each(F const& f) const {
#pragma unroll
    for (int word = 0; word < Traits::per_lane; ++word)
      if (word < words_) f(first_ + word * 32, held_[word]);
    for (int word = Traits::per_lane; word < words_; ++word) f(first_ + word * 32, load(word));
  }
  /// The warp's first word, for a look at what the scores are like.
  __device__ float sample(int word) const { return held_[word]; }
  static constexpr int samples = Traits::per_lane < 4 ? Traits::per_lane : 4;

 private:
  __device__ __forceinline__ float load(int word) const {
    std::int32_t const unit = first_ + word * 32 + lane_id();
    return word < words_ && unit < count_ ? fmaxf(scores_[unit], -INFINITY) : NAN;
  }

  float const* scores_;
  std::int32_t count_, words_, first_;
  float held_[Traits::per_lane];
};

/// How far above the mean of a normal distribution, in its spread, a share of it lies. Good to 0.003 (Abramowitz and
/// Stegun 26.2.22), which is plenty for a guess.
__device__ __forceinline__ float upper_quantile(float share) {
  float const tail = fminf(fmaxf(fminf(share, 1.0F - share), 1e-7F), 0.5F);
  float const t = sqrtf(-2.0F * __logf(tail));
  float const z = t - (2.30753F + 0.27061F * t) / (1.0F + t * (0.99229F + 0.04481F * t));
  return share < 0.5F ? z : -z;
}

/// Some of the first warp's scores: their mean and spread, for all warps.
template <class Traits>
__device__ void look_at_sample(PickBlocksSmem<Traits>& smem, RowOfScores<Traits> const& row) {
  float count = 0.0F, sum = 0.0F, squares = 0.0F;
#pragma unroll
  for (int i = 0; i < RowOfScores<Traits>::samples; ++i)
    if (float const x = row.sample(i); fabsf(x) < 1e15F) {
      count += 1.0F;
      sum += x;
      squares += x * x;
    }
#pragma unroll
  for (int lanes = 16; lanes > 0; lanes /= 2) {
    count += __shfl_xor_sync(kAllLanes, count, lanes);
    sum += __shfl_xor_sync(kAllLanes, sum, lanes);
    squares += __shfl_xor_sync(kAllLanes, squares, lanes);
  }
  if (threadIdx.x == 0) {
    float const mean = sum / fmaxf(count, 1.0F);
    smem.sample[0] = count;
    smem.sample[1] = mean;
    smem.sample[2] = sqrtf(fmaxf(squares / fmaxf(count, 1.0F) - mean * mean, 0.0F));
  }
  __syncthreads();
}

/// How many scores of the row reach `least`. Calls alternate between the two places of `turn`, so that one barrier
/// does.
template <class Traits>
__device__ std::uint32_t count_from(PickBlocksSmem<Traits>& smem, RowOfScores<Traits> const& row, float least,
                                    int turn) {
  std::uint32_t count = 0;
  row.each([&](std::int32_t, float score) { count += score >= least; });
  count = warp_sum(count);
  if constexpr (Traits::warps == 1) return count;
  if (lane_id() == 0) smem.of_warps[turn][threadIdx.x / 32U] = count;
  __syncthreads();
  count = 0;
#pragma unroll
  for (int warp = 0; warp < Traits::warps; ++warp) count += smem.of_warps[turn][warp];
  return count;
}

/// The cut lies in [low, high): so many scores reach either end, at_low >= wanted > at_high.
struct CutBounds {
  std::uint32_t low = 0x007fffffU, high = 0xff800001U;  // of -inf, and beyond +inf
  std::uint32_t at_low, at_high = 0;

  /// The next rank to count from, strictly between the ends.
  __device__ std::uint32_t guess(float const (&sample)[3], std::uint32_t wanted, std::uint32_t all, bool first) const {
    std::uint32_t const half = low + (high - low) / 2;
    float const share = 1.0F / static_cast<float>(all), spread = sample[2];
    if (!(spread > 0.0F)) return half;
    float at;
    if (first) {
      at = sample[1] + spread * upper_quantile(static_cast<float>(wanted) * share);
    } else {  // the farther end comes to stand a little beyond the cut
      std::uint32_t const beyond = at_low - wanted, before = wanted - at_high;
      float const aim = static_cast<float>(wanted) + (beyond > before ? 40.0F : -40.0F);
      bool const from_low = low != 0x007fffffU && (beyond <= before || high == 0xff800001U);
      if (!from_low && high == 0xff800001U) return half;
      float const base = score_of_rank(from_low ? low : high);
      float const known = static_cast<float>(from_low ? at_low : at_high);
      at = base + spread * (upper_quantile(fmaxf(aim, 0.5F) * share) - upper_quantile(fmaxf(known, 0.5F) * share));
    }
    if (!(fabsf(at) < INFINITY)) return half;
    std::uint32_t const rank = rank_of_score(at);
    return rank > low && rank < high ? rank : half;
  }
};

/// Ranks the scores in [low, high) against each other: smem.cut becomes the `wanted`-th highest of them, smem.ties how
/// many of its equals are to be kept.
template <class Traits>
__device__ void rank_few(PickBlocksSmem<Traits>& smem, RowOfScores<Traits> const& row, float low, float high,
                         std::uint32_t wanted) {
  int const warp = static_cast<int>(threadIdx.x / 32U);
  unsigned const before = (1U << lane_id()) - 1U;
  std::uint32_t count = 0;
  bool const to_the_top = high != high;  // the end beyond +inf is no score
  row.each([&](std::int32_t, float score) {
    bool const inside = score >= low && (score < high || to_the_top);
    unsigned const all = __ballot_sync(kAllLanes, inside);
    if (inside) smem.lists[warp][count + __popc(all & before)] = score;
    count += __popc(all);
  });
  if (lane_id() == 0) smem.above[warp] = count;
  __syncthreads();
  for (int own_warp = 0; own_warp < Traits::warps; ++own_warp)
    for (std::uint32_t i = threadIdx.x; i < smem.above[own_warp]; i += Traits::threads) {
      float const own = smem.lists[own_warp][i];
      std::uint32_t above = 0, equal = 0;
      for (int w = 0; w < Traits::warps; ++w)
        for (std::uint32_t other = 0; other < smem.above[w]; ++other) {
          above += smem.lists[w][other] > own;
          equal += smem.lists[w][other] == own;
        }
      if (above < wanted && wanted <= above + equal) {  // by every one of the equals, alike
        smem.cut = own;
        smem.ties = wanted - above;
      }
    }
  __syncthreads();
}

/// smem.cut becomes the `wanted`-th highest score of the row (1 is the highest), smem.ties how many of its equals are
/// to be kept.
template <class Traits>
__device__ void find_cut(PickBlocksSmem<Traits>& smem, RowOfScores<Traits> const& row, std::uint32_t wanted,
                         std::uint32_t all) {
  look_at_sample(smem, row);
  CutBounds bounds;
  bounds.at_low = all;
  for (int pass = 0; bounds.at_low - bounds.at_high > Traits::most_listed && bounds.high - bounds.low > 1; ++pass) {
    std::uint32_t const at = pass < Traits::guesses ? bounds.guess(smem.sample, wanted, all, pass == 0)
                                                    : bounds.low + (bounds.high - bounds.low) / 2;
    std::uint32_t const count = count_from(smem, row, score_of_rank(at), pass % 2);
    if (count >= wanted) {
      bounds.low = at;
      bounds.at_low = count;
    } else {
      bounds.high = at;
      bounds.at_high = count;
    }
  }
  if (bounds.high - bounds.low > 1)
    return rank_few(smem, row, score_of_rank(bounds.low), score_of_rank(bounds.high), wanted - bounds.at_high);
  if (threadIdx.x == 0) {
    smem.cut = score_of_rank(bounds.low);
    smem.ties = wanted - bounds.at_high;
  }
  __syncthreads();
}

/// Writes the units above the cut and the first smem.ties at it, ascending.
template <class Traits>
__device__ void write_picked(PickBlocksSmem<Traits>& smem, RowOfScores<Traits> const& row, std::int32_t* out) {
  int const warp = static_cast<int>(threadIdx.x / 32U);
  float const cut = smem.cut;
  std::uint32_t const ties = smem.ties;
  std::uint32_t above = 0, tied = 0;
  row.each([&](std::int32_t, float score) {
    above += score > cut;
    tied += score == cut;
  });
  above = warp_sum(above);
  tied = warp_sum(tied);
  if (lane_id() == 0) {
    smem.above[warp] = above;
    smem.tied[warp] = tied;
  }
  __syncthreads();
  std::uint32_t all_tied = 0, tied_before = 0, above_before = 0;
#pragma unroll
  for (int w = 0; w < Traits::warps; ++w) {
    if (w < warp) {
      above_before += smem.above[w];
      tied_before += smem.tied[w];
    }
    all_tied += smem.tied[w];
  }
  unsigned const before = (1U << lane_id()) - 1U;
  if (all_tied == ties) {  // every one at the cut is kept
    std::uint32_t at = above_before + tied_before;
    row.each([&](std::int32_t unit, float score) {
      unsigned const kept = __ballot_sync(kAllLanes, score >= cut);
      if (score >= cut) out[at + __popc(kept & before)] = unit + lane_id();
      at += __popc(kept);
    });
    return;
  }
  row.each([&](std::int32_t unit, float score) {
    unsigned const greater = __ballot_sync(kAllLanes, score > cut), equal = __ballot_sync(kAllLanes, score == cut);
    std::uint32_t const rank = tied_before + __popc(equal & before);
    if (score > cut || (score == cut && rank < ties))
      out[above_before + __popc(greater & before) + min(rank, ties)] = unit + lane_id();
    above_before += __popc(greater);
    tied_before += __popc(equal);
  });
}

struct PickBlocksParameters {
  BlockRows rows;
  float const* scores;
  std::int64_t scores_stride_head, scores_stride_row;
  std::int32_t const* counts;
  std::int64_t counts_stride_head, counts_stride_row;
  std::int32_t* blocks;
  std::int64_t blocks_stride_head, room;
  std::int32_t* kept;
  std::int64_t kept_stride_head;
  std::int32_t first_row;
};

/// Grid: (rows of the chunk, heads). Reads a row's scores once, writes what it keeps.
template <class Traits>
__global__ void __launch_bounds__(Traits::threads) pick_blocks_kernel(__grid_constant__ PickBlocksParameters const p) {
  __shared__ PickBlocksSmem<Traits> smem;
  std::int32_t const chunk_row = static_cast<std::int32_t>(blockIdx.x), head = static_cast<std::int32_t>(blockIdx.y);
  std::int32_t const slot = p.first_row + chunk_row;
  BlockRows::Row const row = p.rows.find(slot);
  std::int32_t* const kept = p.kept + head * p.kept_stride_head + slot;
  if (!row.there) {
    if (threadIdx.x == 0) *kept = 0;
    return;
  }
  std::int32_t const candidates = row.candidates();
  std::int32_t wanted = p.counts[head * p.counts_stride_head + chunk_row * p.counts_stride_row];
  wanted = max(min(min(wanted, candidates), static_cast<std::int32_t>(p.room)), 0);
  std::int32_t* const out = p.blocks + head * p.blocks_stride_head + slot * p.room;
  if (threadIdx.x == 0) *kept = wanted;
  if (wanted == candidates) {
    for (std::int32_t unit = static_cast<std::int32_t>(threadIdx.x); unit < candidates; unit += Traits::threads)
      out[unit] = unit;
    return;
  }
  if (wanted == 0) return;
  RowOfScores<Traits> const scores(p.scores + head * p.scores_stride_head + chunk_row * p.scores_stride_row,
                                   candidates);
  find_cut(smem, scores, static_cast<std::uint32_t>(wanted), static_cast<std::uint32_t>(candidates));
  write_picked(smem, scores, out);
}

template <class Traits>
Status launch_pick_blocks(Cuda exec, PickBlocksParameters const& p, std::int64_t rows, std::int64_t heads) {
  return launch(exec, {static_cast<unsigned>(rows), static_cast<unsigned>(heads), 1}, Traits::threads, 0,
                pick_blocks_kernel<Traits>, p);
}

}  // namespace lacuna::cuda

namespace lacuna {

template <Storage T>
Status pick_blocks(Cuda exec, PickBlocksBatchArgs<T> const& args) {
  if (Status s = args.check(); !s) return s;
  std::int64_t const rows = args.scores.extent(1), heads = args.scores.extent(0), units = args.scores.extent(2);
  if (args.problem.batch == 0 || rows == 0) return {};
  cuda::PickBlocksParameters const p{cuda::BlockRows(args.problem, args.index.block_tokens),
                                     args.scores.data,
                                     args.scores.stride(0),
                                     args.scores.stride(1),
                                     args.counts.data,
                                     args.counts.stride(0),
                                     args.counts.stride(1),
                                     args.index.blocks.data,
                                     args.index.blocks.stride(0),
                                     args.index.room,
                                     args.index.counts.data,
                                     args.index.counts.stride(0),
                                     static_cast<std::int32_t>(args.first_row)};
  if (units <= 1024) return cuda::launch_pick_blocks<cuda::PickBlocksTraits<1, 32>>(exec, p, rows, heads);
  if (units <= 2048) return cuda::launch_pick_blocks<cuda::PickBlocksTraits<2, 32>>(exec, p, rows, heads);
  if (units <= 4096) return cuda::launch_pick_blocks<cuda::PickBlocksTraits<2, 64>>(exec, p, rows, heads);
  return cuda::launch_pick_blocks<cuda::PickBlocksTraits<4, 64>>(exec, p, rows, heads);
}

}  // namespace lacuna
