#pragma once

#include <cstdint>

#include "lacuna/kernels/cuda/primitives/warp.cuh"

namespace lacuna::cuda {

/// What a pick reads and writes, as its kernels take it.
struct PickRows {
  float const* scores;
  std::int64_t stride;
  std::int32_t units_most;     // scores in a row
  std::int32_t const* wanted;  // null: as many as there is room for
  std::int64_t wanted_stride;
  std::int32_t const* candidates;  // null: all of them
  std::int64_t candidates_stride;
  std::int32_t* units;
  std::int64_t units_stride;
  std::int32_t room;
  std::int32_t* counts;
  std::int64_t counts_stride;
  bool ties_to_higher;
  // Pages: candidates are the full pages before the newest token's, and that one follows the picked ones.
  std::int32_t page_tokens;  // 0: units that are no pages
  std::int32_t const* lens;
  std::int64_t lens_stride_sequence, lens_stride_head;
  std::int32_t heads_kv, rows_per_head_kv;
  std::int32_t* lens_out;
  std::int64_t lens_out_stride;

  __device__ std::int32_t len(int row) const {
    int const head = row / rows_per_head_kv;
    return lens[head / heads_kv * lens_stride_sequence + head % heads_kv * lens_stride_head];
  }
  __device__ std::int32_t available(int row) const {
    std::int32_t const asked = page_tokens > 0         ? (max(len(row), 1) - 1) / page_tokens
                               : candidates != nullptr ? candidates[row * candidates_stride]
                                                       : units_most;
    return min(max(asked, 0), units_most);
  }
  __device__ std::int32_t kept(int row, std::int32_t available) const {
    std::int32_t const asked = wanted != nullptr ? min(wanted[row * wanted_stride], available) : available;
    return max(0, min(asked, page_tokens > 0 ? room - 1 : room));
  }
  __device__ void finish(int row, std::int32_t kept) const {
    if (page_tokens > 0) {
      std::int32_t const held = len(row);
      if (held > 0) units[row * units_stride + kept++] = (held - 1) / page_tokens;
      lens_out[row * lens_out_stride] = held;
    }
    counts[row * counts_stride] = kept;
  }
};

/// Scores as integers that order alike: NaN as -inf, -0 as +0. Never 0, which stands for no score at all.
__device__ __forceinline__ std::uint32_t score_key(float score) {
  std::uint32_t bits = __float_as_uint(score);
  if ((bits & 0x7fffffffU) > 0x7f800000U) bits = 0xff800000U;
  if (bits == 0x80000000U) bits = 0;
  return (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
}

/// Keys of scores first, first + 1, ...; 0 from `available` on.
template <int Keys>
__device__ __forceinline__ void load_keys(float const* scores, std::int32_t available, std::int32_t first,
                                          std::uint32_t (&key)[Keys]) {
  static_assert(Keys % 4 == 0);
  if (first + Keys <= available && reinterpret_cast<std::uintptr_t>(scores) % 16 == 0) {
#pragma unroll
    for (int i = 0; i < Keys; i += 4) {
      float4 const four = *reinterpret_cast<float4 const*>(scores + first + i);
      key[i] = score_key(four.x);
      key[i + 1] = score_key(four.y);
      key[i + 2] = score_key(four.z);
      key[i + 3] = score_key(four.w);
    }
    return;
  }
#pragma unroll
  for (int i = 0; i < Keys; ++i) key[i] = first + i < available ? score_key(scores[first + i]) : 0;
}

inline constexpr int kBins = 2048;
inline constexpr int kBinBits = 11;

template <int Threads>
struct PickShared {
  static_assert(kBins % Threads == 0 && Threads % 32 == 0);
  std::uint32_t histogram[4][kBins];  // the last one of the maxima
  std::uint32_t sums[Threads / 32], others[Threads / 32];
  std::uint32_t found_bin, found_count, found_left;
};

/// Units whose key is above `key` are kept, and `kept_at_cut` of the `at_cut` that have it. While the cut is being
/// narrowed `key` is a prefix: that of the lowest kept unit.
struct Cut {
  std::uint32_t key;
  std::int32_t at_cut, kept_at_cut;
};

__device__ __forceinline__ std::uint32_t warp_inclusive(std::uint32_t x) {
#pragma unroll
  for (int distance = 1; distance < 32; distance *= 2) {
    std::uint32_t const other = __shfl_up_sync(kAllLanes, x, distance);
    if (lane_id() >= distance) x += other;
  }
  return x;
}

/// Sum over the threads before this one. All threads call it; `sums` may be reused after a barrier.
template <int Threads>
__device__ __forceinline__ std::uint32_t block_exclusive(std::uint32_t (&sums)[Threads / 32], std::uint32_t x) {
  std::uint32_t const inclusive = warp_inclusive(x);
  int const warp = static_cast<int>(threadIdx.x / 32U);
  if (lane_id() == 31) sums[warp] = inclusive;
  __syncthreads();
  std::uint32_t const of_warps = warp_inclusive(lane_id() < Threads / 32 ? sums[lane_id()] : 0);
  std::uint32_t const before = __shfl_sync(kAllLanes, of_warps, (warp + 31) % 32);
  return inclusive - x + (warp > 0 ? before : 0);
}

/// Follows the cut into the next bits, which `histogram` counted: those of the keys that have its prefix, from `shift`.
template <int Threads>
__device__ __forceinline__ Cut narrow(PickShared<Threads>& shared, std::uint32_t const* histogram, Cut cut, int shift) {
  constexpr int kOwn = kBins / Threads;
  int const top = kBins - 1 - static_cast<int>(threadIdx.x) * kOwn;  // bins from the highest down
  std::uint32_t own[kOwn], sum = 0;
#pragma unroll
  for (int i = 0; i < kOwn; ++i) sum += own[i] = histogram[top - i];
  std::uint32_t above = block_exclusive<Threads>(shared.sums, sum);
  std::uint32_t const wanted = static_cast<std::uint32_t>(cut.kept_at_cut);
  if (above < wanted && above + sum >= wanted) {
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      if (above < wanted && above + own[i] >= wanted) {
        shared.found_bin = static_cast<std::uint32_t>(top - i);
        shared.found_count = own[i];
        shared.found_left = wanted - above;
      }
      above += own[i];
    }
  }
  __syncthreads();
  return {cut.key | shared.found_bin << shift, static_cast<std::int32_t>(shared.found_count),
          static_cast<std::int32_t>(shared.found_left)};
}

struct KeyRange {
  std::uint32_t lowest, highest;
};

template <int Threads>
__device__ __forceinline__ KeyRange block_range(PickShared<Threads>& shared, KeyRange range) {
  range.highest = warp_max(range.highest);
  range.lowest = warp_min(range.lowest);
  __syncthreads();
  if (lane_id() == 0) {
    shared.sums[threadIdx.x / 32U] = range.highest;
    shared.others[threadIdx.x / 32U] = range.lowest;
  }
  __syncthreads();
  range.highest = warp_max(lane_id() < Threads / 32 ? shared.sums[lane_id()] : 0);
  range.lowest = warp_min(lane_id() < Threads / 32 ? shared.others[lane_id()] : ~std::uint32_t{0});
  return range;
}

template <int Threads>
__device__ __forceinline__ void clear_histograms(PickShared<Threads>& shared) {
  auto* const fours = reinterpret_cast<uint4*>(&shared.histogram[0][0]);
  for (int i = static_cast<int>(threadIdx.x); i < kBins; i += Threads) fours[i] = {0, 0, 0, 0};
}

/// A key that none of the `kept` highest is below, and the highest of all: from the maxima of small groups of keys, of
/// which there must be at least `kept`. Where one unit in 20 is kept it rules out nine keys of ten for a tenth of the
/// counting.
template <int Threads, int Groups>
__device__ __forceinline__ KeyRange find_floor(PickShared<Threads>& shared, std::uint32_t const (&maxima)[Groups],
                                               std::int32_t kept) {
  KeyRange range{~std::uint32_t{0}, 0};
#pragma unroll
  for (int i = 0; i < Groups; ++i) {
    range.highest = max(range.highest, maxima[i]);
    range.lowest = min(range.lowest, maxima[i] == 0 ? range.lowest : maxima[i]);
  }
  range = block_range(shared, range);
  int const above = 32 - __clz(static_cast<int>(range.highest ^ range.lowest));
  if (above == 0) return range;
  int const shift = max(0, above - kBinBits);
#pragma unroll
  for (int i = 0; i < Groups; ++i)
    if (maxima[i] != 0) atomicAdd(&shared.histogram[3][(maxima[i] >> shift) & (kBins - 1)], 1U);
  __syncthreads();
  Cut const cut =
      narrow(shared, shared.histogram[3], {above < 32 ? range.highest >> above << above : 0, 0, kept}, shift);
  return {max(cut.key, range.lowest), range.highest};
}

/// Where to cut a row held in the registers of one block, so that `kept` of its units (at least one, not all) remain.
/// Scores of one row share most of their leading bits: the first histogram begins where they part.
template <int Threads, int Keys>
__device__ __forceinline__ Cut find_cut(PickShared<Threads>& shared, std::uint32_t const (&key)[Keys],
                                        std::int32_t available, std::int32_t kept) {
  constexpr int kGroup = 8, kGroups = Keys / kGroup;
  static_assert(Keys % kGroup == 0);
  clear_histograms(shared);
  std::uint32_t highest[kGroups];
#pragma unroll
  for (int g = 0; g < kGroups; ++g) {
    highest[g] = key[g * kGroup];
#pragma unroll
    for (int i = 1; i < kGroup; ++i) highest[g] = max(highest[g], key[g * kGroup + i]);
  }
  KeyRange range;
  if (kept * kGroup <= available) {
    range = find_floor(shared, highest, kept);
  } else {
    range = {~std::uint32_t{0}, 0};
#pragma unroll
    for (int g = 0; g < kGroups; ++g) range.highest = max(range.highest, highest[g]);
#pragma unroll
    for (int i = 0; i < Keys; ++i) range.lowest = min(range.lowest, key[i] == 0 ? range.lowest : key[i]);
    range = block_range(shared, range);
    if (range.highest == range.lowest) return {range.highest, available, kept};
  }
  int above = max(1, 32 - __clz(static_cast<int>(range.highest ^ range.lowest)));  // bits from here on are known
  Cut cut{above < 32 ? range.highest >> above << above : 0, available, kept};
  for (int step = 0; above > 0; ++step) {
    int const shift = max(0, above - kBinBits);
#pragma unroll
    for (int i = 0; i < Keys; ++i)
      if (key[i] >= range.lowest && (above == 32 || key[i] >> above == cut.key >> above))
        atomicAdd(&shared.histogram[step][(key[i] >> shift) & (kBins - 1)], 1U);
    __syncthreads();
    // With fewer than 11 bits left the bins of the known ones above them stay empty, all but one.
    cut = narrow(shared, shared.histogram[step], cut, shift);
    above = shift;
    if (cut.at_cut == cut.kept_at_cut) return {max(cut.key, 1U) - 1, 0, 0};  // all with this prefix stay
  }
  return cut;
}

struct PairSum {
  std::int32_t first, second;
};

/// Sums of two small numbers over the threads before this one; their totals stay below 65536.
template <int Threads>
__device__ __forceinline__ PairSum block_prefix(PickShared<Threads>& shared, std::int32_t first, std::int32_t second) {
  __syncthreads();
  std::uint32_t const both = block_exclusive<Threads>(
      shared.sums, static_cast<std::uint32_t>(first) << 16 | static_cast<std::uint32_t>(second));
  return {static_cast<std::int32_t>(both >> 16), static_cast<std::int32_t>(both & 0xffffU)};
}

/// Writes the kept ones of this thread's keys, ascending, among those of the row's other threads: `before` says how
/// many above the cut and how many at it come earlier.
template <int Keys>
__device__ __forceinline__ void write_kept(PickRows const& rows, int row, std::uint32_t const (&key)[Keys],
                                           std::int32_t first, Cut const& cut, PairSum before) {
  std::int32_t const passed_over = rows.ties_to_higher ? cut.at_cut - cut.kept_at_cut : 0;
  std::int32_t* const units = rows.units + row * rows.units_stride;
#pragma unroll
  for (int i = 0; i < Keys; ++i) {
    std::int32_t const tied = before.second - passed_over;  // of the kept ones at the cut, those before this one
    bool const is_above = key[i] > cut.key, is_tied = key[i] == cut.key;
    if (is_above || (is_tied && tied >= 0 && tied < cut.kept_at_cut))
      units[before.first + min(max(tied, 0), cut.kept_at_cut)] = first + i;
    before.first += is_above ? 1 : 0;
    before.second += is_tied ? 1 : 0;
  }
}

template <int Keys>
__device__ __forceinline__ PairSum count_kept(std::uint32_t const (&key)[Keys], Cut const& cut) {
  PairSum sum{0, 0};
#pragma unroll
  for (int i = 0; i < Keys; ++i) {
    sum.first += key[i] > cut.key ? 1 : 0;
    sum.second += key[i] == cut.key ? 1 : 0;
  }
  return sum;
}

/// All of a row that fits the registers of a block, from its scores to its units.
template <int Threads, int Keys>
__device__ __forceinline__ void pick_row(PickShared<Threads>& shared, PickRows const& rows, int row) {
  std::int32_t const first = static_cast<std::int32_t>(threadIdx.x) * Keys;
  std::int32_t const available = rows.available(row);
  std::int32_t const kept = rows.kept(row, available);
  if (kept > 0) {
    std::uint32_t key[Keys];
    load_keys(rows.scores + row * rows.stride, available, first, key);
    Cut const cut = kept < available ? find_cut(shared, key, available, kept) : Cut{0, 0, 0};
    PairSum const own = count_kept(key, cut);
    write_kept(rows, row, key, first, cut, block_prefix(shared, own.first, kept < available ? own.second : 0));
  }
  if (threadIdx.x == 0) rows.finish(row, kept);
}

}  // namespace lacuna::cuda
