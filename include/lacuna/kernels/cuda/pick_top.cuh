#pragma once

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdint>

#include "lacuna/core/exec.hpp"
#include "lacuna/kernels/cuda/launch.cuh"
#include "lacuna/kernels/cuda/pick_top_rows.cuh"
#include "lacuna/kernels/cuda/primitives/launch_order.cuh"
#include "lacuna/kernels/pick_top.hpp"

// The best units of each row by radix select. A row that fits is held in the registers of one block: where its highest
// and its lowest key part, histograms of 11 bits each begin to narrow the cut. Longer rows are cut in pieces for
// several blocks whose histograms meet in scratch, one launch a step. Sums of integers only: the same scores give the
// same units in any order of execution.

namespace lacuna {
namespace cuda {

/// Rows of up to threads * keys scores, each thread owning `keys` neighbours.
template <int Threads, int Keys>
struct PickTopTraits {
  static constexpr int threads = Threads, keys = Keys;
  static constexpr std::int64_t row = std::int64_t{Threads} * Keys;
};

/// grid: rows; a block owns one row; reads its scores once, writes its units.
template <class Traits>
__global__ void __launch_bounds__(Traits::threads) pick_row_kernel(PickRows const rows) {
  __shared__ PickShared<Traits::threads> shared;
  launch_after_earlier();
  pick_row<Traits::threads, Traits::keys>(shared, rows, static_cast<int>(blockIdx.x));
}

using PickPiece = PickTopTraits<512, 16>;           // what one block of a long row owns
inline constexpr std::int64_t kLongestRow = 32768;  // of one block: more would spill

struct LongPick {
  std::uint32_t* histograms = nullptr;  // [rows, 3, kBins]
  std::int32_t* counts = nullptr;       // [rows, pieces, 2], above the cut and at it
  std::int64_t pieces = 0;              // 0: rows are not long
};

inline LongPick reserve_long_pick(std::int64_t rows, std::int64_t units, Workspace& memory) {
  if (units <= kLongestRow) return {};
  std::int64_t const pieces = (units + PickPiece::row - 1) / PickPiece::row;
  return {memory.take<std::uint32_t>(rows * 3 * kBins), memory.take<std::int32_t>(rows * pieces * 2), pieces};
}

/// grid: (rows, pieces). Steps 0 to 2: a histogram of the next bits of the keys that still tie. Step 3: how many of
/// each piece are above the cut and at it. Step 4: the units. Each step follows the cut through the histograms so far.
template <class Traits, int Step>
__global__ void __launch_bounds__(Traits::threads) pick_piece_kernel(PickRows const rows, LongPick const scratch) {
  constexpr int kThreads = Traits::threads, kKeys = Traits::keys;
  constexpr int kShift[] = {21, 10, 0};
  __shared__ PickShared<kThreads> shared;
  int const row = static_cast<int>(blockIdx.x), piece = static_cast<int>(blockIdx.y);
  std::int32_t const available = rows.available(row);
  std::int32_t const kept = rows.kept(row, available);
  if (kept == 0 || piece * Traits::row >= available) {
    if (Step == 4 && piece == 0 && threadIdx.x == 0) rows.finish(row, kept);
    return;
  }
  std::int32_t const first =
      piece * static_cast<std::int32_t>(Traits::row) + static_cast<std::int32_t>(threadIdx.x) * kKeys;
  std::uint32_t* const histograms = scratch.histograms + std::int64_t{row} * 3 * kBins;
  std::int32_t* const counts = scratch.counts + row * scratch.pieces * 2;
  std::uint32_t key[kKeys];
  load_keys(rows.scores + row * rows.stride, available, first, key);
  Cut cut{0, available, kept};
#pragma unroll
  for (int step = 0; step < (Step < 3 ? Step : 3); ++step)
    cut = narrow(shared, histograms + step * kBins, cut, kShift[step]);

  if constexpr (Step < 3) {
    for (int bin = static_cast<int>(threadIdx.x); bin < kBins; bin += kThreads) shared.histogram[0][bin] = 0;
    __syncthreads();
    constexpr int kKnown = Step == 0 ? 32 : kShift[Step == 0 ? 0 : Step - 1];
#pragma unroll
    for (int i = 0; i < kKeys; ++i)
      if (key[i] != 0 && (kKnown == 32 || key[i] >> (kKnown % 32) == cut.key >> (kKnown % 32)))
        atomicAdd(&shared.histogram[0][(key[i] >> kShift[Step]) & (kBins - 1)], 1U);
    __syncthreads();
    for (int bin = static_cast<int>(threadIdx.x); bin < kBins; bin += kThreads)
      if (shared.histogram[0][bin] != 0) atomicAdd(&histograms[Step * kBins + bin], shared.histogram[0][bin]);
  } else {
    PairSum const own = count_kept(key, cut);
    PairSum before = block_prefix(shared, own.first, own.second);
    if constexpr (Step == 3) {
      if (threadIdx.x + 1 == kThreads) {
        counts[2 * piece] = before.first + own.first;
        counts[2 * piece + 1] = before.second + own.second;
      }
    } else {
      for (int p = 0; p < piece; ++p) {
        before.first += counts[2 * p];
        before.second += counts[2 * p + 1];
      }
      write_kept(rows, row, key, first, cut, before);
      if (piece == 0 && threadIdx.x == 0) rows.finish(row, kept);
    }
  }
}

template <class Traits>
Status launch_pick_row(Cuda exec, PickRows const& rows, std::int64_t count) {
  return launch_overlapping(exec, dim3(static_cast<unsigned>(count)), dim3(Traits::threads), 0, pick_row_kernel<Traits>,
                            rows);
}

template <int Step = 0>
Status launch_pick_pieces(Cuda exec, PickRows const& rows, std::int64_t count, LongPick const& scratch) {
  dim3 const grid(static_cast<unsigned>(count), static_cast<unsigned>(scratch.pieces));
  Status const s = launch(exec, grid, dim3(PickPiece::threads), 0, pick_piece_kernel<PickPiece, Step>, rows, scratch);
  if constexpr (Step == 4)
    return s;
  else
    return s ? launch_pick_pieces<Step + 1>(exec, rows, count, scratch) : s;
}

inline Status pick_rows(Cuda exec, PickRows const& rows, std::int64_t count, Workspace memory) {
  LongPick const scratch = reserve_long_pick(count, rows.units_most, memory);
  if (Status s = memory.check("pick_top: the workspace is smaller than planned"); !s) return s;
  if (count == 0) return {};
  if (rows.units_most <= 1024) return launch_pick_row<PickTopTraits<128, 8>>(exec, rows, count);
  if (rows.units_most <= 4096) return launch_pick_row<PickTopTraits<256, 16>>(exec, rows, count);
  if (rows.units_most <= 8192) return launch_pick_row<PickTopTraits<512, 16>>(exec, rows, count);
  if (rows.units_most <= 16384) return launch_pick_row<PickTopTraits<512, 32>>(exec, rows, count);
  if (rows.units_most <= kLongestRow) return launch_pick_row<PickTopTraits<512, 64>>(exec, rows, count);
  if (cudaMemsetAsync(scratch.histograms, 0, static_cast<std::size_t>(count) * 3 * kBins * 4, exec.stream) !=
      cudaSuccess)
    return launched();
  return launch_pick_pieces(exec, rows, count, scratch);
}

}  // namespace cuda

/// Nothing unless rows have more than 32768 units.
inline void reserve_pick_top(Cuda, std::int64_t rows, std::int64_t units, Workspace& memory) {
  cuda::reserve_long_pick(rows, units, memory);
}

/// All pointers are the device's. wanted and candidates that do not fit are cut to what does.
inline Status pick_top(Cuda exec, PickTopArgs const& args) {
  if (Status s = args.check_views(); !s) return s;
  cuda::PickRows rows{};
  rows.scores = args.scores.data;
  rows.stride = args.scores.stride(0);
  rows.units_most = static_cast<std::int32_t>(args.scores.extent(1));
  rows.wanted = args.wanted.data;
  rows.wanted_stride = args.wanted.stride(0);
  rows.candidates = args.candidates.data;
  rows.candidates_stride = args.candidates.stride(0);
  rows.units = args.units.data;
  rows.units_stride = args.units.stride(0);
  rows.room = static_cast<std::int32_t>(args.units.extent(1));
  rows.counts = args.counts.data;
  rows.counts_stride = args.counts.stride(0);
  rows.ties_to_higher = args.ties_to_higher;
  return cuda::pick_rows(exec, rows, args.scores.extent(0), args.scratch);
}

inline Status pick_pages(Cuda exec, PickPagesBatchArgs const& args) {
  if (Status s = args.check(); !s) return s;
  cuda::PickRows rows{};
  rows.scores = args.scores.data;
  rows.stride = args.scores.stride(0);
  rows.units_most = static_cast<std::int32_t>(args.scores.extent(1));
  rows.wanted = args.wanted.data;
  rows.wanted_stride = args.wanted.stride(0);
  rows.units = args.index.pages.data;
  rows.units_stride = args.index.pages.stride(0);
  rows.room = static_cast<std::int32_t>(args.index.pages.extent(1));
  rows.counts = args.index.counts.data;
  rows.counts_stride = args.index.counts.stride(0);
  rows.page_tokens = static_cast<std::int32_t>(args.index.page_tokens);
  rows.lens = args.lens.data;
  rows.lens_stride_sequence = args.lens.stride(0);
  rows.lens_stride_head = args.lens.stride(1);
  rows.heads_kv = static_cast<std::int32_t>(args.lens.extent(1));
  rows.rows_per_head_kv = static_cast<std::int32_t>(
      args.scores.extent(0) / std::max<std::int64_t>(args.lens.extent(0) * args.lens.extent(1), 1));
  rows.lens_out = args.index.lens.data;
  rows.lens_out_stride = args.index.lens.stride(0);
  return cuda::pick_rows(exec, rows, args.scores.extent(0), args.scratch);
}

}  // namespace lacuna
