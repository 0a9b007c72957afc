#pragma once

#include <cstdint>

#include "lacuna/kernels/cuda/block_rows.cuh"
#include "lacuna/kernels/cuda/launch.cuh"
#include "lacuna/kernels/cuda/primitives/warp.cuh"
#include "lacuna/kernels/pick_blocks.hpp"

namespace lacuna::cuda {

/// A block of threads picks from one row. A thread holds 32 scores of a span, `threads` apart, so that what a warp
/// keeps of a step is a word of a bitmap. A row of one span is read once and stays in registers; a longer one is read
/// again by every pass.
template <int Threads, bool OneSpan = true>
struct PickBlocksTraits {
  static constexpr int threads = Threads, warps = Threads / 32, steps = 32, span = Threads * steps;
  static constexpr bool one_span = OneSpan;
  static constexpr int bins = 1024, bins_per_thread = bins / Threads;
  static constexpr int short_list = 256;  // so few are ranked against each other instead of counted again
  static constexpr int blocks_per_sm = Threads > 64 ? 1024 / Threads : 12;
};

/// Scores as integers in the same order, both zeros as one and NaN as -inf.
__device__ __forceinline__ std::uint32_t rank_of_score(float score) {
  std::uint32_t const bits = __float_as_uint(fmaxf(score, -INFINITY) + 0.0F);
  return bits & 0x80000000U ? ~bits : bits | 0x80000000U;
}
__device__ __forceinline__ float score_of_rank(std::uint32_t rank) {
  return __uint_as_float(rank & 0x80000000U ? rank ^ 0x80000000U : ~rank);
}

template <class Traits>
struct PickBlocksSmem {
  alignas(16) std::uint32_t bins[Traits::bins];
  float list[Traits::short_list];
  std::uint32_t kept[Traits::threads], tied[Traits::threads];  // a span as bits
  std::uint32_t lows[Traits::warps], highs[Traits::warps], of_warps[Traits::warps];
  std::uint32_t listed, bin, inside, above;
  float cut;
  std::int32_t ties, equals;
};

/// The candidates of a row; NaN stands where there is none, which no comparison holds for, and a score that is NaN is
/// -inf.
template <class Traits>
class RowOfScores {
 public:
  __device__ RowOfScores(float const* scores, std::int32_t count) : scores_(scores), count_(count) {
    if constexpr (Traits::one_span) load(0, held_);
  }
  __device__ std::int32_t count() const { return count_; }

  /// f(first unit of the span, scores of this thread); those of steps beyond the row are not defined.
  template <class F>
  __device__ __forceinline__ void each_span(F const& f) const {
    if constexpr (Traits::one_span) {
      f(0, held_);
    } else {
      for (std::int32_t first = 0; first < count_; first += Traits::span) {
        float scores[Traits::steps];
        load(first, scores);
        f(first, scores);
      }
    }
  }
  /// f(score) for all of them, and for the NaN that fill the last step.
  template <class F>
  __device__ __forceinline__ void each(F const& f) const {
    each_span([&](std::int32_t first, float const(&scores)[Traits::steps]) {
#pragma unroll
      for (int step = 0; step < Traits::steps; ++step) {
        if (first + step * Traits::threads >= count_) break;
        f(scores[step]);
      }
    });
  }
  /// How many NaN those are.
  __device__ std::int32_t fill() const {
    return (count_ + Traits::threads - 1) / Traits::threads * Traits::threads - count_;
  }

 private:
  __device__ __forceinline__ void load(std::int32_t first, float (&scores)[Traits::steps]) const {
    std::int32_t const thread = static_cast<std::int32_t>(threadIdx.x);
#pragma unroll
    for (int step = 0; step < Traits::steps; ++step) {
      std::int32_t const at = first + step * Traits::threads + thread;
      if (at - thread >= count_) break;
      scores[step] = at < count_ ? fmaxf(scores_[at], -INFINITY) : NAN;
    }
  }

  float const* scores_;
  std::int32_t count_;
  float held_[Traits::one_span ? Traits::steps : 1];
};

/// From the highest bin down: smem.bin becomes the bin that holds the `wanted`-th score, smem.inside its size and
/// smem.above how many lie above it.
template <class Traits>
__device__ void find_bin(PickBlocksSmem<Traits>& smem, std::uint32_t wanted) {
  constexpr int kOwn = Traits::bins_per_thread;
  struct alignas(kOwn > 4 ? 16 : 4 * kOwn) Bins {
    std::uint32_t of[kOwn];
  };
  int const thread = static_cast<int>(threadIdx.x), warp = thread / 32, place = Traits::threads - 1 - thread;
  Bins const own = reinterpret_cast<Bins const*>(smem.bins)[place];
  std::uint32_t sum = 0;
#pragma unroll
  for (int i = 0; i < kOwn; ++i) sum += own.of[i];
  std::uint32_t before = sum;
#pragma unroll
  for (int lanes = 1; lanes < 32; lanes *= 2) {
    std::uint32_t const from = __shfl_up_sync(kAllLanes, before, lanes);
    if (lane_id() >= lanes) before += from;
  }
  if (lane_id() == 31) smem.of_warps[warp] = before;
  __syncthreads();
  for (int w = 0; w < warp; ++w) before += smem.of_warps[w];
  before -= sum;
  if (before < wanted && wanted <= before + sum) {
#pragma unroll
    for (int i = kOwn - 1; i >= 0; --i) {
      if (before < wanted && wanted <= before + own.of[i]) {
        smem.bin = static_cast<std::uint32_t>(place * kOwn + i);
        smem.inside = own.of[i];
        smem.above = before;
      }
      before += own.of[i];
    }
  }
  __syncthreads();
}

/// Bins of equal steps between two scores: scores lie about evenly there, while their patterns crowd in a few octaves.
struct ValueBins {
  float per, first;

  static constexpr std::uint32_t zero = 0x4b000000U;  // 2^23, whose last bits count
  __device__ std::uint32_t operator()(float score, int last) const {
    float const share = __saturatef(fmaf(score, per, first));  // NaN gives 0
    return __float_as_uint(fmaf(share, static_cast<float>(last), 0x1p23F)) - zero;
  }
  __device__ bool sound() const { return per > 0.0F && per < 1e30F && fabsf(first) < 1e30F; }
};

/// Bins between the lowest and the highest of a quarter of the row's scores, infinities left out. What lies beyond
/// falls into the outer bins.
template <class Traits>
__device__ ValueBins bins_for(PickBlocksSmem<Traits>& smem, RowOfScores<Traits> const& row) {
  float low = INFINITY, high = -INFINITY;
  row.each_span([&](std::int32_t first, float const(&scores)[Traits::steps]) {
#pragma unroll
    for (int step = 0; step < Traits::steps; step += 4) {
      if (first + step * Traits::threads >= row.count()) break;
      float const score = scores[step];
      low = fminf(low, score == -INFINITY ? NAN : score);
      high = fmaxf(high, score == INFINITY ? NAN : score);
    }
  });
  std::uint32_t const lowest = warp_min(rank_of_score(low)), highest = warp_max(rank_of_score(high));
  if (lane_id() == 0) {
    smem.lows[threadIdx.x / 32U] = lowest;
    smem.highs[threadIdx.x / 32U] = highest;
  }
  __syncthreads();
  std::uint32_t of_all[2] = {smem.lows[0], smem.highs[0]};
  for (int w = 1; w < Traits::warps; ++w) {
    of_all[0] = min(of_all[0], smem.lows[w]);
    of_all[1] = max(of_all[1], smem.highs[w]);
  }
  float const from = score_of_rank(of_all[0]), per = 1.0F / (score_of_rank(of_all[1]) - from);
  return {per, -from * per};
}

template <class Traits>
__device__ void clear_bins(PickBlocksSmem<Traits>& smem) {
  for (int i = static_cast<int>(threadIdx.x); i < Traits::bins / 4; i += Traits::threads)
    reinterpret_cast<uint4*>(smem.bins)[i] = {0, 0, 0, 0};
  if (threadIdx.x == 0) smem.listed = 0;
}

/// smem.cut becomes the `wanted`-th highest score (1 is the highest), smem.equals how many scores equal it, and
/// smem.ties how many of those are to be kept. False where the bins were too coarse for that.
template <class Traits>
__device__ bool find_cut_by_value(PickBlocksSmem<Traits>& smem, RowOfScores<Traits> const& row, std::int32_t wanted) {
  int const thread = static_cast<int>(threadIdx.x);
  clear_bins(smem);
  ValueBins const bins = bins_for(smem, row);
  if (!bins.sound()) return false;
  row.each([&](float score) { atomicAdd(&smem.bins[bins(score, Traits::bins - 1)], 1U); });
  __syncthreads();
  if (thread == Traits::threads - 1) smem.bins[0] -= static_cast<std::uint32_t>(row.fill());  // its own
  find_bin(smem, static_cast<std::uint32_t>(wanted));
  std::uint32_t const bin = smem.bin, inside = smem.inside;
  if (inside > Traits::short_list) return false;
  row.each([&](float score) {
    if (bins(score, Traits::bins - 1) == bin && score == score) smem.list[atomicAdd(&smem.listed, 1U)] = score;
  });
  __syncthreads();
  std::int32_t const more = wanted - static_cast<std::int32_t>(smem.above);
  for (std::uint32_t i = static_cast<std::uint32_t>(thread); i < inside; i += Traits::threads) {
    float const own = smem.list[i];
    std::int32_t above = 0, equals = 0;
    for (std::uint32_t other = 0; other < inside; ++other) {
      above += smem.list[other] > own;
      equals += smem.list[other] == own;
    }
    if (above < more && more <= above + equals) {  // by every one of the equals, alike
      smem.cut = own;
      smem.equals = equals;
      smem.ties = more - above;
    }
  }
  __syncthreads();
  return true;
}

/// The same for any scores, ten bits of their ranks at a time.
template <class Traits>
__device__ void find_cut_by_rank(PickBlocksSmem<Traits>& smem, RowOfScores<Traits> const& row, std::int32_t wanted) {
  std::uint32_t prefix = 0;
  int above = 32;
  for (int shift = 22; above > 0; shift = max(shift - 10, 0)) {
    __syncthreads();
    clear_bins(smem);
    __syncthreads();
    row.each([&](float score) {
      std::uint32_t const rank = rank_of_score(score);
      bool const has = score == score && (above == 32 || rank >> above == prefix);
      if (has) atomicAdd(&smem.bins[rank >> shift & ((1U << (above - shift)) - 1U)], 1U);
    });
    __syncthreads();
    find_bin(smem, static_cast<std::uint32_t>(wanted));
    wanted -= static_cast<std::int32_t>(smem.above);
    prefix = prefix << (above - shift) | smem.bin;
    above = shift;
  }
  if (threadIdx.x == 0) {
    smem.cut = score_of_rank(prefix);
    smem.equals = static_cast<std::int32_t>(smem.inside);
    smem.ties = wanted;
  }
  __syncthreads();
}

/// Sum over the threads before this one; `of_all` over all.
template <class Traits>
__device__ std::int32_t sum_before(PickBlocksSmem<Traits>& smem, std::int32_t own, std::int32_t& of_all) {
  std::int32_t sum = own;
#pragma unroll
  for (int lanes = 1; lanes < 32; lanes *= 2) {
    std::int32_t const from = __shfl_up_sync(kAllLanes, sum, lanes);
    if (lane_id() >= lanes) sum += from;
  }
  __syncthreads();
  if (lane_id() == 31) smem.of_warps[threadIdx.x / 32U] = static_cast<std::uint32_t>(sum);
  __syncthreads();
  of_all = 0;
  std::int32_t before = 0;
  for (int w = 0; w < Traits::warps; ++w) {
    if (w == static_cast<int>(threadIdx.x / 32U)) before = of_all;
    of_all += static_cast<std::int32_t>(smem.of_warps[w]);
  }
  return before + sum - own;
}

/// Bit `lane` of word `step * warps + warp`: does the test hold for that score? Lane s writes the word of step s.
template <class Traits, class Test>
__device__ __forceinline__ void mark(std::uint32_t* words, float const (&scores)[Traits::steps], std::int32_t there,
                                     Test const& test) {
  std::uint32_t own = 0;
#pragma unroll
  for (int step = 0; step < Traits::steps; ++step) {
    if (step * Traits::threads >= there) break;
    unsigned const word = __ballot_sync(kAllLanes, test(scores[step]));
    if (lane_id() == step) own = word;
  }
  words[lane_id() * Traits::warps + static_cast<int>(threadIdx.x / 32U)] = own;
}

/// Writes the units above smem.cut and the first smem.ties at it, ascending.
template <class Traits>
__device__ void write_picked(PickBlocksSmem<Traits>& smem, RowOfScores<Traits> const& row, std::int32_t* out) {
  float const cut = smem.cut;
  std::int32_t ties = smem.ties;
  bool const all_ties = ties == smem.equals;
  row.each_span([&](std::int32_t first, float const(&scores)[Traits::steps]) {
    std::int32_t const there = row.count() - first;
    if (all_ties) {
      mark<Traits>(smem.kept, scores, there, [&](float score) { return score >= cut; });
    } else {
      mark<Traits>(smem.kept, scores, there, [&](float score) { return score > cut; });
      mark<Traits>(smem.tied, scores, there, [&](float score) { return score == cut; });
    }
    __syncthreads();
    std::uint32_t word = smem.kept[threadIdx.x];
    std::int32_t of_span = 0;
    if (!all_ties) {
      std::uint32_t tied = smem.tied[threadIdx.x];
      std::int32_t const before = sum_before(smem, __popc(tied), of_span);
      std::int32_t const mine = max(ties - before, 0);
      while (__popc(tied) > mine) tied &= ~(0x80000000U >> __clz(static_cast<int>(tied)));
      word |= tied;
      ties = max(ties - of_span, 0);
    }
    std::int32_t at = sum_before(smem, __popc(word), of_span);
    std::int32_t const unit = first + static_cast<std::int32_t>(threadIdx.x) * 32 - 1;
    for (; word != 0; word &= word - 1) out[at++] = unit + __ffs(static_cast<int>(word));
    out += of_span;
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
__global__ void __launch_bounds__(Traits::threads, Traits::blocks_per_sm)
    pick_blocks_kernel(__grid_constant__ PickBlocksParameters const p) {
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
  if (!find_cut_by_value(smem, scores, wanted)) find_cut_by_rank(smem, scores, wanted);
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
  auto const with = [&]<class Traits>(Traits) { return cuda::launch_pick_blocks<Traits>(exec, p, rows, heads); };
  if (units <= 64 * 32) return with(cuda::PickBlocksTraits<64>{});
  if (units <= 128 * 32) return with(cuda::PickBlocksTraits<128>{});
  if (units <= 256 * 32) return with(cuda::PickBlocksTraits<256>{});
  if (units <= 512 * 32) return with(cuda::PickBlocksTraits<512>{});
  return with(cuda::PickBlocksTraits<1024, false>{});
}

}  // namespace lacuna
