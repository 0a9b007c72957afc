#pragma once

#include <cstdint>

#include "lacuna/kernels/cuda/candidates.cuh"
#include "lacuna/kernels/cuda/each.cuh"
#include "lacuna/kernels/cuda/launch.cuh"
#include "lacuna/kernels/cuda/pick_top_rows.cuh"
#include "lacuna/kernels/share_pool.hpp"

// One block per sequence. The cut through the scores of all heads is found a byte of their keys at a time, by a
// histogram for each head: four passes over the scores, whole numbers, the same counts in any order.

namespace lacuna::cuda {

struct PoolTraits {
  static constexpr int threads = 1024, warps = threads / 32, bins = 256;
  /// A histogram, and what is said below of each head.
  static constexpr std::int64_t smem_bytes(std::int64_t heads) { return heads * (bins * 4 + 4 * 4 + 8); }
  static constexpr std::int64_t most_heads = 200;  // whose histograms fit
};

struct Pool {
  Entries<float, 3> scores;
  Entries<std::int32_t, 2> counts;
  std::int32_t heads;
  PowerLimit mean;
  double floor_share;
  PoolRule rule;
};

template <class Traits>
struct PoolSmem {
  double* weights;                             // [heads]
  std::uint32_t* bins;                         // [heads, bins]; after a pass: how many are in this bin or above it
  std::int32_t *held, *floors, *above, *tied;  // [heads]

  __device__ PoolSmem(unsigned char* memory, std::int32_t heads)
      : weights(reinterpret_cast<double*>(memory)),
        bins(reinterpret_cast<std::uint32_t*>(weights + heads)),
        held(reinterpret_cast<std::int32_t*>(bins + heads * Traits::bins)),
        floors(held + heads),
        above(floors + heads),
        tied(above + heads) {}
};

inline constexpr std::uint32_t kForcedKey = 0xff800000U;  // score_key(+inf)

/// Four neighbouring scores of a head.
struct PoolPiece {
  std::uint32_t keys[4];  // 0: none
  std::uint32_t* bins;

  __device__ __forceinline__ void load(float const* from, std::int32_t left) {
    if (left >= 4 && reinterpret_cast<std::uintptr_t>(from) % 16 == 0) {
      float4 const four = *reinterpret_cast<float4 const*>(from);
      keys[0] = score_key(four.x), keys[1] = score_key(four.y), keys[2] = score_key(four.z),
      keys[3] = score_key(four.w);
    } else {
#pragma unroll
      for (int i = 0; i < 4; ++i) keys[i] = i < left ? score_key(from[i]) : 0;
    }
  }
  /// Called by whole warps. Scores of a row share their first bits, so that many lanes meet in one bin: those that meet
  /// the first lane's are counted together.
  __device__ __forceinline__ void count(std::uint32_t prefix, int shift) const {
#pragma unroll
    for (std::uint32_t key : keys) {
      bool const counts = key != 0 && (shift == 24 || key >> (shift + 8) == prefix);
      unsigned const all = __ballot_sync(kAllLanes, counts);
      if (all == 0) continue;
      std::uint32_t const bin = key >> shift & 0xffU;
      int const leader = __ffs(static_cast<int>(all)) - 1;
      std::uint32_t const of_leader = __shfl_sync(kAllLanes, bin, leader);  // by all lanes, so not behind `counts`
      bool const joins = counts && bin == of_leader;
      unsigned const joined = __ballot_sync(kAllLanes, joins);
      if (lane_id() == leader)
        atomicAdd(bins + bin, static_cast<std::uint32_t>(__popc(joined)));
      else if (counts && !joins)
        atomicAdd(bins + bin, 1U);
    }
  }
};

/// bins[head][b]: how many of the head's keys that begin with `prefix` have b or more in the next 8 bits.
template <class Traits>
__device__ void count_bins(Pool const& p, PoolSmem<Traits> const& smem, std::int64_t first_head, std::int32_t longest,
                           std::uint32_t prefix, int shift) {
  for (int i = static_cast<int>(threadIdx.x); i < p.heads * Traits::bins; i += Traits::threads) smem.bins[i] = 0;
  __syncthreads();
  // A warp takes 128 neighbouring scores of a head at a time, and a few such pieces at once.
  constexpr int kAtOnce = 4;
  std::int32_t const pieces = (longest + 127) / 128, all = pieces * p.heads;
  for (std::int32_t first = static_cast<std::int32_t>(threadIdx.x) / 32; first < all;
       first += kAtOnce * Traits::warps) {
    PoolPiece piece[kAtOnce];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      std::int32_t const at = first + i * Traits::warps, head = min(at / pieces, p.heads - 1);
      std::int32_t const unit = (at - head * pieces) * 128 + lane_id() * 4;
      piece[i].load(&p.scores(first_head + head, 0, 0) + unit, at < all ? smem.held[head] - unit : 0);
      piece[i].bins = smem.bins + head * Traits::bins;
    }
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) piece[i].count(prefix, shift);
  }
  __syncthreads();
  for (std::int32_t head = static_cast<std::int32_t>(threadIdx.x) / 32; head < p.heads; head += Traits::warps) {
    std::uint32_t own[Traits::bins / 32], sum = 0;
    std::uint32_t* const last = smem.bins + head * Traits::bins + Traits::bins - 1 - lane_id() * (Traits::bins / 32);
#pragma unroll
    for (int i = 0; i < Traits::bins / 32; ++i) own[i] = sum += last[-i];
    std::uint32_t const before = warp_inclusive(sum) - sum;
#pragma unroll
    for (int i = 0; i < Traits::bins / 32; ++i) last[-i] = own[i] + before;
  }
  __syncthreads();
}

/// The lowest key that stays, when `enough(bin)` says whether the keys from `bin` on are as many as asked for: never
/// more for a higher bin. above and tied become each head's units above the cut, and at it.
template <class Traits, class Enough>
__device__ std::uint32_t find_pool_cut(Pool const& p, PoolSmem<Traits> const& smem, std::int64_t first_head,
                                       Enough const& enough) {
  __shared__ int found;
  int const thread = static_cast<int>(threadIdx.x);
  std::int32_t longest = 0;
  for (std::int32_t head = 0; head < p.heads; ++head) longest = max(longest, smem.held[head]);
  for (int head = thread; head < p.heads; head += Traits::threads) smem.above[head] = 0;
  std::uint32_t prefix = 0;
  for (int shift = 24; shift >= 0; shift -= 8) {
    if (thread == 0) found = 0;
    count_bins(p, smem, first_head, longest, prefix, shift);
    bool const there_are_such_keys = (prefix << 8 | static_cast<std::uint32_t>(thread)) <= kForcedKey >> shift;
    if (thread < Traits::bins && there_are_such_keys && enough(thread)) atomicMax(&found, thread);
    __syncthreads();
    int const bin = found;
    for (int head = thread; head < p.heads; head += Traits::threads) {
      std::uint32_t const* const bins = smem.bins + head * Traits::bins;
      std::int32_t const higher = bin + 1 < Traits::bins ? static_cast<std::int32_t>(bins[bin + 1]) : 0;
      smem.tied[head] = static_cast<std::int32_t>(bins[bin]) - higher;
      smem.above[head] += higher;
    }
    prefix = prefix << 8 | static_cast<std::uint32_t>(bin);
    __syncthreads();
  }
  return prefix;
}

/// Units that a head has from this bin on, above those that the passes before have found.
template <class Traits>
__device__ __forceinline__ std::int32_t from_bin(PoolSmem<Traits> const& smem, std::int32_t head, int bin) {
  return smem.above[head] + static_cast<std::int32_t>(smem.bins[head * Traits::bins + bin]);
}

/// Every head keeps max(floor, its units from the cut on), so that the pool is spent to the last unit; those that tie
/// for its end go to the lower head.
template <class Traits>
__device__ void share_by_score(Pool const& p, PoolSmem<Traits> const& smem, std::int64_t first_head,
                               std::int64_t pool) {
  std::uint32_t const cut = find_pool_cut(p, smem, first_head, [&](int bin) {
    std::int64_t sum = 0;
    for (std::int32_t head = 0; head < p.heads; ++head) sum += max(smem.floors[head], from_bin(smem, head, bin));
    return sum >= pool;
  });
  if (threadIdx.x != 0) return;
  std::int64_t left = pool;
  for (std::int32_t head = 0; head < p.heads; ++head) {
    if (cut == kForcedKey) smem.above[head] += smem.tied[head], smem.tied[head] = 0;
    left -= max(smem.floors[head], smem.above[head]);
  }
  for (std::int32_t head = 0; head < p.heads; ++head) {
    std::int32_t const sure = max(smem.floors[head], smem.above[head]);
    std::int64_t const more = max(smem.floors[head], smem.above[head] + smem.tied[head]) - sure;
    std::int64_t const taken = max(min(left, more), std::int64_t{0});
    left -= taken;
    p.counts(first_head + head, 0) = sure + static_cast<std::int32_t>(taken);
  }
}

/// Sum over the block, in every thread, in a fixed order.
template <class Traits>
__device__ double pool_sum(double x) {
  __shared__ double of_warps[Traits::warps];
  for (int lanes = 16; lanes > 0; lanes /= 2) x += __shfl_xor_sync(kAllLanes, x, lanes);
  __syncthreads();
  if (lane_id() == 0) of_warps[threadIdx.x / 32U] = x;
  __syncthreads();
  double sum = 0.0;
  for (double other : of_warps) sum += other;
  return sum;
}

__device__ __forceinline__ double pool_mass(float score) {
  return score > 0.0F && score < INFINITY ? static_cast<double>(score) : 0.0;
}

/// How widely the scores of one head are spread; smem.bins serves for that head alone.
template <class Traits>
__device__ double spread_of(Pool const& p, PoolSmem<Traits> const& smem, std::int64_t row, std::int32_t held,
                            std::int32_t anchored, std::int64_t units) {
  float const* const scores = &p.scores(row, 0, 0);
  auto const sum_of = [&](auto const& f) {
    double sum = 0.0;
    for (std::int32_t i = static_cast<std::int32_t>(threadIdx.x); i < held; i += Traits::threads) sum += f(scores[i]);
    return pool_sum<Traits>(sum);
  };
  double const total = sum_of([](float score) { return pool_mass(score); });
  if (total == 0.0) return 0.0;
  if (p.rule == PoolRule::entropy)
    return exp(sum_of([&](float score) {
      double const share = pool_mass(score) / total;
      return share > 0.0 ? -share * log(share) : 0.0;
    }));
  if (held <= units) return 0.0;
  Pool one = p;
  one.heads = 1;
  PoolSmem<Traits> of_one = smem;
  of_one.held = smem.held + (row - row / p.heads * p.heads);
  std::uint32_t const cut = find_pool_cut(
      one, of_one, row, [&](int bin) { return std::int64_t{from_bin(of_one, 0, bin)} - anchored >= units; });
  double const inside = sum_of([&](float score) { return score_key(score) > cut ? pool_mass(score) : 0.0; });
  std::int64_t const above = cut == kForcedKey ? 0 : of_one.above[0] - anchored;
  std::int64_t const tied = min(units - above, std::int64_t{cut == kForcedKey ? 0 : of_one.tied[0]});
  std::uint32_t const bits = (cut & 0x80000000U) != 0 ? cut & 0x7fffffffU : ~cut;
  double const each = pool_mass(__uint_as_float(bits));
  return fmax(1.0 - (inside + static_cast<double>(tied) * each) / total, 0.0);
}

/// By weight, on top of the floors. Who would get more than it has candidates for gets them all, and the others share
/// what that leaves; until nobody new is full.
template <class Traits>
__device__ void share_by_weight(Pool const& p, PoolSmem<Traits> const& smem, std::int64_t first_head,
                                std::int64_t units) {
  for (std::int32_t head = 0; head < p.heads; ++head) {
    std::int32_t const held = smem.held[head];
    float const* const scores = &p.scores(first_head + head, 0, 0);
    double forced = 0.0;
    for (std::int32_t i = static_cast<std::int32_t>(threadIdx.x); i < held; i += Traits::threads)
      forced += scores[i] == INFINITY ? 1.0 : 0.0;
    auto const anchored = static_cast<std::int32_t>(pool_sum<Traits>(forced));
    double const weight = spread_of(p, smem, first_head + head, held, anchored, units) + 1e-9;
    if (threadIdx.x == 0) {
      smem.weights[head] = weight;
      smem.floors[head] = max(smem.floors[head], min(anchored, held));
    }
    __syncthreads();
  }
  if (threadIdx.x != 0) return;
  double units_per_weight = 0.0;
  auto const is_full = [&](std::int32_t head) {
    return static_cast<double>(smem.floors[head]) + units_per_weight * smem.weights[head] >=
           static_cast<double>(smem.held[head]);
  };
  for (std::int32_t round = 0; round <= p.heads; ++round) {
    double left = static_cast<double>(p.heads * units), total = 0.0;
    for (std::int32_t head = 0; head < p.heads; ++head) {
      bool const full = is_full(head);
      left -= static_cast<double>(full ? smem.held[head] : smem.floors[head]);
      if (!full) total += smem.weights[head];
    }
    double const raised = total > 0.0 ? fmax(left, 0.0) / total : units_per_weight;
    if (raised <= units_per_weight) break;
    units_per_weight = raised;
  }
  // Shares are differences of a rounded running sum, so they add up whatever the rounding.
  double running = 0.0;
  std::int64_t given = 0;
  for (std::int32_t head = 0; head < p.heads; ++head) {
    if (is_full(head)) continue;  // counts are its candidates
    running += smem.weights[head] * units_per_weight;
    auto const upto = static_cast<std::int64_t>(running + 1e-6);
    std::int64_t const kept = smem.floors[head] + upto - given;
    given = upto;
    p.counts(first_head + head, 0) = static_cast<std::int32_t>(min(kept, std::int64_t{smem.held[head]}));
  }
}

/// grid: sequences. Reads the scores four times, three for the entropy, seven for the mass outside.
template <class Traits>
__global__ void __launch_bounds__(Traits::threads) share_pool_kernel(__grid_constant__ Pool const p) {
  extern __shared__ __align__(16) unsigned char pool_memory[];
  __shared__ std::int32_t longest;
  PoolSmem<Traits> const smem(pool_memory, p.heads);
  std::int64_t const first_head = std::int64_t{blockIdx.x} * p.heads;
  int const thread = static_cast<int>(threadIdx.x);
  if (thread == 0) longest = 0;
  __syncthreads();
  for (int head = thread; head < p.heads; head += Traits::threads) {
    smem.held[head] = p.counts(first_head + head, 0);
    atomicMax(&longest, smem.held[head]);
  }
  __syncthreads();
  std::int64_t const units = p.mean(longest, 0), pool = units * p.heads;
  auto const floor = static_cast<std::int64_t>(p.floor_share * static_cast<double>(units) + 1e-9);
  std::int64_t all = 0;
  for (std::int32_t head = 0; head < p.heads; ++head) all += smem.held[head];
  for (int head = thread; head < p.heads; head += Traits::threads)
    smem.floors[head] = static_cast<std::int32_t>(min(floor, std::int64_t{smem.held[head]}));
  __syncthreads();
  if (pool >= all) return;  // everybody keeps everything
  if (p.rule == PoolRule::best_units)
    share_by_score(p, smem, first_head, pool);
  else
    share_by_weight(p, smem, first_head, units);
}

}  // namespace lacuna::cuda

namespace lacuna {

inline Status share_pool(Cuda exec, SharePoolArgs const& args) {
  if (Status s = args.check(); !s) return s;
  if (args.counts.count() == 0) return {};
  std::int64_t const heads = args.counts.extent(0) / args.batch;
  using Traits = cuda::PoolTraits;
  if (heads > Traits::most_heads)
    return Status::invalid("share_pool: at most 200 heads share a pool on the device", heads, Traits::most_heads);
  cuda::Pool const pool{cuda::Entries<float, 3>(args.scores),
                        cuda::Entries<std::int32_t, 2>(args.counts),
                        static_cast<std::int32_t>(heads),
                        {args.tokens, args.growth.reference_tokens, args.unit_tokens, args.growth.exponent},
                        args.floor_share,
                        args.rule};
  return cuda::launch(exec, static_cast<unsigned>(args.batch), Traits::threads, Traits::smem_bytes(heads),
                      cuda::share_pool_kernel<Traits>, pool);
}

}  // namespace lacuna
