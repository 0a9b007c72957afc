#pragma once

#include <cstdint>

#include "lacuna/kernels/cuda/block_rows.cuh"
#include "lacuna/kernels/cuda/launch.cuh"
#include "lacuna/kernels/cuda/primitives/warp.cuh"
#include "lacuna/kernels/pick_blocks.hpp"

namespace lacuna::cuda {

/// A block of threads picks from one row. Warps own neighbouring parts of it; a row of up to `threads * in_registers`
/// scores is read once and stays in registers, a longer one is read again by every pass.
template <int InRegisters>
struct PickBlocksTraits {
  static constexpr int threads = 256, warps = threads / 32;
  static constexpr int steps = InRegisters / 4;  // of 128 scores that a warp holds
  static constexpr int digit_bits = 11, bins = 1 << digit_bits, bins_per_thread = bins / threads;
  static constexpr int short_list = 256;  // so few are ranked against each other instead of counted again
};

/// Scores as integers in the same order, both zeros as one and NaN as -inf; 0 is below all of them.
__device__ __forceinline__ std::uint32_t rank_of_score(float score) {
  std::uint32_t const bits = __float_as_uint(score + 0.0F);
  if ((bits & 0x7fffffffU) > 0x7f800000U) return 0x007fffffU;  // -inf
  return bits & 0x80000000U ? ~bits : bits | 0x80000000U;
}

__device__ __forceinline__ float score_of_rank(std::uint32_t rank) {
  return __uint_as_float(rank & 0x80000000U ? rank ^ 0x80000000U : ~rank);
}
inline constexpr std::uint32_t kHiddenRank = 0x007fffffU, kForcedRank = 0xff800000U;  // of the infinities

struct PickBlocksSmem {
  std::uint32_t bins[2048];
  std::uint32_t list[256];
  std::uint32_t of_warps[8];
  std::int32_t above[8], tied[8];
  std::uint32_t low, high, forced, finite, listed, cut, taken;
};

template <class Traits>
class RowOfScores {
 public:
  __device__ RowOfScores(float const* scores, std::int32_t count) : scores_(scores), count_(count) {
    std::int32_t const per_warp = (count + Traits::warps - 1) / Traits::warps;
    steps_ = (per_warp + 127) / 128;
    first_ = static_cast<std::int32_t>(threadIdx.x / 32U) * steps_ * 128 + lane_id() * 4;
    held_ = steps_ <= Traits::steps;
#pragma unroll
    for (int step = 0; step < Traits::steps; ++step)
      if (held_ && step < steps_) load(step, ranks_[step]);
  }

  /// f(step's first unit of this lane, four ranks), steps in order; 0 stands for what is no candidate.
  template <class F>
  __device__ void each(F const& f) const {
    if (held_) {
#pragma unroll
      for (int step = 0; step < Traits::steps; ++step)
        if (step < steps_) f(first_ + step * 128, ranks_[step]);
      return;
    }
    for (int step = 0; step < steps_; ++step) {
      std::uint32_t ranks[4];
      load(step, ranks);
      f(first_ + step * 128, ranks);
    }
  }

 private:
  __device__ void load(int step, std::uint32_t (&ranks)[4]) const {
    std::int32_t const at = first_ + step * 128;
    float4 const scores = at + 4 <= count_
                              ? *reinterpret_cast<float4 const*>(scores_ + at)
                              : float4{at < count_ ? scores_[at] : 0.0F, at + 1 < count_ ? scores_[at + 1] : 0.0F,
                                       at + 2 < count_ ? scores_[at + 2] : 0.0F, 0.0F};
    ranks[0] = at < count_ ? rank_of_score(scores.x) : 0;
    ranks[1] = at + 1 < count_ ? rank_of_score(scores.y) : 0;
    ranks[2] = at + 2 < count_ ? rank_of_score(scores.z) : 0;
    ranks[3] = at + 3 < count_ ? rank_of_score(scores.w) : 0;
  }

  float const* scores_;
  std::int32_t count_, steps_, first_;
  bool held_;
  std::uint32_t ranks_[Traits::steps][4];
};

/// From the highest bin down: the bin that holds the `wanted`-th rank. Returns how many ranks stand above that bin, and
/// puts the bin into smem.cut and its size into smem.taken.
template <class Traits>
__device__ std::int32_t find_bin(PickBlocksSmem& smem, std::int32_t wanted) {
  int const thread = static_cast<int>(threadIdx.x), warp = thread / 32;
  int const top = Traits::bins - 1 - thread * Traits::bins_per_thread;
  std::uint32_t own[Traits::bins_per_thread], sum = 0;
#pragma unroll
  for (int i = 0; i < Traits::bins_per_thread; ++i) sum += own[i] = smem.bins[top - i];
  std::uint32_t before = sum;
  for (int lanes = 1; lanes < 32; lanes *= 2) {
    std::uint32_t const from = __shfl_up_sync(kAllLanes, before, lanes);
    if (lane_id() >= lanes) before += from;
  }
  if (lane_id() == 31) smem.of_warps[warp] = before;
  __syncthreads();
  for (int w = 0; w < warp; ++w) before += smem.of_warps[w];
  before -= sum;
  auto const want = static_cast<std::uint32_t>(wanted);
  if (before < want && want <= before + sum) {
#pragma unroll
    for (int i = 0; i < Traits::bins_per_thread; ++i) {
      if (before < want && want <= before + own[i]) {
        smem.cut = static_cast<std::uint32_t>(top - i);
        smem.taken = own[i];
        smem.listed = before;
      }
      before += own[i];
    }
  }
  __syncthreads();
  return static_cast<std::int32_t>(smem.listed);
}

/// Which bin a rank falls into, for ranks in [low, high]. By value at first: scores lie about evenly there, while their
/// patterns crowd in a few octaves. By pattern where that was not fine enough, which comes to an end.
struct Digits {
  std::uint32_t low, high;
  int shift;         // by pattern
  float first, per;  // by value: bins per unit of score; 0: by pattern

  template <class Traits>
  static __device__ Digits of(std::uint32_t low, std::uint32_t high, bool by_value) {
    Digits d{low, high, max(32 - __clz(static_cast<int>(high - low)) - Traits::digit_bits, 0), score_of_rank(low),
             0.0F};
    float const per = static_cast<float>(Traits::bins) / (score_of_rank(high) - d.first);
    if (by_value && per > 0.0F && per < 1e30F) d.per = per;
    return d;
  }
  __device__ bool has(std::uint32_t rank) const { return rank >= low && rank <= high; }
  __device__ std::uint32_t bin(std::uint32_t rank, int last) const {
    if (per == 0.0F) return (rank - low) >> shift;
    return static_cast<std::uint32_t>(min(static_cast<int>((score_of_rank(rank) - first) * per), last));
  }
};

/// The `wanted`-th highest rank of the row (1 is the highest); `ties` becomes how many of its equals are to be kept.
template <class Traits>
__device__ std::uint32_t find_cut(PickBlocksSmem& smem, RowOfScores<Traits> const& row, std::int32_t wanted,
                                  std::int32_t& ties) {
  int const thread = static_cast<int>(threadIdx.x);
  constexpr int kLast = Traits::bins - 1;
  std::uint32_t low = 0xffffffffU, high = 0, forced = 0, finite = 0;
  row.each([&](std::int32_t, std::uint32_t const(&ranks)[4]) {
    for (std::uint32_t rank : ranks) {
      forced += rank == kForcedRank;
      if (rank <= kHiddenRank || rank == kForcedRank) continue;
      ++finite;
      low = min(low, rank);
      high = max(high, rank);
    }
  });
  if (thread == 0) smem.low = 0xffffffffU, smem.high = smem.forced = smem.finite = 0;
  __syncthreads();
  low = warp_min(low);
  high = warp_max(high);
  forced = warp_sum(forced);
  finite = warp_sum(finite);
  if (lane_id() == 0) {
    atomicMin(&smem.low, low);
    atomicMax(&smem.high, high);
    atomicAdd(&smem.forced, forced);
    atomicAdd(&smem.finite, finite);
  }
  __syncthreads();
  low = smem.low;
  high = smem.high;
  ties = wanted;
  if (wanted <= static_cast<std::int32_t>(smem.forced)) return kForcedRank;
  wanted -= static_cast<std::int32_t>(smem.forced);
  ties = wanted - static_cast<std::int32_t>(smem.finite);
  if (ties > 0) return kHiddenRank;
  for (bool by_value = true; low != high; by_value = false) {
    Digits const digits = Digits::of<Traits>(low, high, by_value);
    for (int bin = thread; bin < Traits::bins; bin += Traits::threads) smem.bins[bin] = 0;
    __syncthreads();
    row.each([&](std::int32_t, std::uint32_t const(&ranks)[4]) {
      for (std::uint32_t rank : ranks)
        if (digits.has(rank)) atomicAdd(&smem.bins[digits.bin(rank, kLast)], 1U);
    });
    __syncthreads();
    wanted -= find_bin<Traits>(smem, wanted);
    std::uint32_t const inside = smem.taken, cut = smem.cut;
    auto const is_inside = [&](std::uint32_t rank) { return digits.has(rank) && digits.bin(rank, kLast) == cut; };
    __syncthreads();
    if (thread == 0) smem.listed = 0, smem.low = 0xffffffffU, smem.high = 0;
    __syncthreads();
    if (inside <= Traits::short_list) {
      row.each([&](std::int32_t, std::uint32_t const(&ranks)[4]) {
        for (std::uint32_t rank : ranks)
          if (is_inside(rank)) smem.list[atomicAdd(&smem.listed, 1U)] = rank;
      });
      __syncthreads();
      for (std::uint32_t i = static_cast<std::uint32_t>(thread); i < inside; i += Traits::threads) {
        std::uint32_t const own = smem.list[i];
        std::int32_t above = 0, equal = 0;
        for (std::uint32_t other = 0; other < inside; ++other) {
          above += smem.list[other] > own;
          equal += smem.list[other] == own;
        }
        if (above < wanted && wanted <= above + equal) {  // by every one of the equals, alike
          smem.cut = own;
          smem.taken = static_cast<std::uint32_t>(wanted - above);
        }
      }
      __syncthreads();
      ties = static_cast<std::int32_t>(smem.taken);
      return smem.cut;
    }
    low = 0xffffffffU;
    high = 0;
    row.each([&](std::int32_t, std::uint32_t const(&ranks)[4]) {
      for (std::uint32_t rank : ranks)
        if (is_inside(rank)) {
          low = min(low, rank);
          high = max(high, rank);
        }
    });
    low = warp_min(low);
    high = warp_max(high);
    if (lane_id() == 0) {
      atomicMin(&smem.low, low);
      atomicMax(&smem.high, high);
    }
    __syncthreads();
    low = smem.low;
    high = smem.high;
  }
  ties = wanted;
  return low;
}

/// Writes the units above the cut and the first `ties` at it, ascending.
template <class Traits>
__device__ void write_picked(PickBlocksSmem& smem, RowOfScores<Traits> const& row, std::uint32_t cut, std::int32_t ties,
                             std::int32_t* out) {
  int const warp = static_cast<int>(threadIdx.x / 32U);
  std::int32_t above = 0, tied = 0;
  row.each([&](std::int32_t, std::uint32_t const(&ranks)[4]) {
    for (std::uint32_t rank : ranks) {
      above += rank > cut;
      tied += rank == cut;
    }
  });
  above = warp_sum(above);
  tied = warp_sum(tied);
  if (lane_id() == 0) {
    smem.above[warp] = above;
    smem.tied[warp] = tied;
  }
  __syncthreads();
  above = tied = 0;
  for (int w = 0; w < warp; ++w) {
    above += smem.above[w];
    tied += smem.tied[w];
  }
  unsigned const before = (1U << lane_id()) - 1U;
  row.each([&](std::int32_t unit, std::uint32_t const(&ranks)[4]) {
    unsigned greater[4], equal[4];
    std::int32_t lane_above = above, lane_tied = tied;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      greater[i] = __ballot_sync(kAllLanes, ranks[i] > cut);
      equal[i] = __ballot_sync(kAllLanes, ranks[i] == cut);
      lane_above += __popc(greater[i] & before);
      lane_tied += __popc(equal[i] & before);
      above += __popc(greater[i]);
      tied += __popc(equal[i]);
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      bool const tie = ranks[i] == cut;
      if (ranks[i] > cut || (tie && lane_tied < ties)) out[lane_above + min(lane_tied, ties)] = unit + i;
      lane_above += ranks[i] > cut;
      lane_tied += tie;
    }
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
  __shared__ PickBlocksSmem smem;
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
  std::int32_t ties = 0;
  std::uint32_t const cut = find_cut<Traits>(smem, scores, wanted, ties);
  write_picked<Traits>(smem, scores, cut, ties, out);
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
  if (args.scores.stride(0) % 4 != 0 || args.scores.stride(1) % 4 != 0 ||
      reinterpret_cast<std::uintptr_t>(args.scores.data) % 16 != 0)
    return Status::invalid("pick_blocks: rows of scores must begin at multiples of 16 bytes", args.scores.stride(1), 4);
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
  if (units <= 2048) return cuda::launch_pick_blocks<cuda::PickBlocksTraits<8>>(exec, p, rows, heads);
  if (units <= 4096) return cuda::launch_pick_blocks<cuda::PickBlocksTraits<16>>(exec, p, rows, heads);
  return cuda::launch_pick_blocks<cuda::PickBlocksTraits<32>>(exec, p, rows, heads);
}

}  // namespace lacuna
