#pragma once

#include <algorithm>
#include <cstdint>

#include "lacuna/core/batch_problem.hpp"
#include "lacuna/core/workspace.hpp"
#include "lacuna/index/block_index.hpp"
#include "lacuna/index/vertical_slash_index.hpp"
#include "lacuna/kernels/cuda/launch.cuh"
#include "lacuna/kernels/cuda/primitives/sequence.cuh"

namespace lacuna::cuda {

/// A VerticalSlashIndex on the device; row b * heads + h is head h of sequence b.
struct DeviceVerticalSlash {
  std::int32_t const* columns;
  std::int32_t const* diagonals;
  std::int32_t const* counts;
  std::int64_t columns_stride, diagonals_stride, counts_stride;
  std::int32_t tile, heads;

  DeviceVerticalSlash(VerticalSlashIndex const& index, std::int64_t batch)
      : columns(index.columns.data),
        diagonals(index.diagonals.data),
        counts(index.counts.data),
        columns_stride(index.columns.stride(0)),
        diagonals_stride(index.diagonals.stride(0)),
        counts_stride(index.counts.stride(0)),
        tile(static_cast<std::int32_t>(index.tile)),
        heads(static_cast<std::int32_t>(index.heads() / batch)) {}

  __device__ std::int32_t const* columns_of(std::int32_t sequence, std::int32_t head) const {
    return columns + (sequence * heads + head) * columns_stride;
  }
  __device__ std::int32_t const* diagonals_of(std::int32_t sequence, std::int32_t head) const {
    return diagonals + (sequence * heads + head) * diagonals_stride;
  }
  __device__ std::int32_t const* counts_of(std::int32_t sequence, std::int32_t head) const {
    return counts + (sequence * heads + head) * counts_stride;
  }
};

/// row_block_runs() of every block of `tile` queries, for one reader: the first keys of its tiles in ascending order,
/// and which of the head's columns it reads besides, a bit each. Row of head h: h * rows + r, r as in BlockIndex.
struct VerticalSlashRuns {
  std::int32_t* tiles;         // [heads * rows, tile_room]
  std::int32_t* tile_counts;   // [heads * rows]
  std::uint32_t* column_bits;  // [heads * rows, column_words]; bit c of a row: column c lies in no tile of it
  std::int32_t* column_ends;   // [heads * rows]; columns from here on are not read
  std::int64_t rows;
  std::int32_t tile_room, column_words;

  /// `columns` and `diagonals`: the most that a head keeps.
  static VerticalSlashRuns take(BatchShape const& shape, std::int64_t heads, std::int64_t tile, std::int64_t columns,
                                std::int64_t diagonals, Workspace& memory) {
    VerticalSlashRuns runs{};
    runs.rows = BlockIndex::first_row(shape.batch, shape.tokens_q, tile);
    // Runs are disjoint and whole tiles: they cannot be more than what a sequence has room for.
    runs.tile_room = static_cast<std::int32_t>(std::min(diagonals, shape.each.len_k / tile + 2));
    runs.column_words = static_cast<std::int32_t>((columns + 31) / 32);
    runs.tiles = memory.take<std::int32_t>(heads * runs.rows * runs.tile_room);
    runs.tile_counts = memory.take<std::int32_t>(heads * runs.rows);
    runs.column_bits = memory.take<std::uint32_t>(heads * runs.rows * runs.column_words);
    runs.column_ends = memory.take<std::int32_t>(heads * runs.rows);
    return runs;
  }
};

struct VerticalSlashRunsTraits {
  static constexpr int threads = 64;
};

/// Grid: (blocks of queries / 64, heads of the index, sequences). A thread converts one block of queries: it walks the
/// diagonals from the farthest and the columns from the first, O(columns + diagonals) reads that its neighbours share.
template <class Traits, class T>
__global__ void __launch_bounds__(Traits::threads)
    vertical_slash_runs_kernel(DeviceProblem<T> const p, DeviceVerticalSlash const index,
                               VerticalSlashRuns const runs) {
  std::int32_t const sequence = static_cast<std::int32_t>(blockIdx.z), head = static_cast<std::int32_t>(blockIdx.y);
  std::int32_t const len_q = p.len_q(sequence), len_k = p.len_k(sequence, head / (index.heads / p.heads_kv));
  std::int32_t const first_block = (len_k - len_q) / index.tile;
  auto const r = static_cast<std::int32_t>(blockIdx.x * Traits::threads + threadIdx.x);
  if (len_q == 0 || (first_block + r) * index.tile >= len_k) return;
  std::int64_t const row = head * runs.rows + BlockIndex::first_row(sequence, p.first_query(sequence), index.tile) + r;
  std::int32_t* const tiles = runs.tiles + row * runs.tile_room;
  std::uint32_t* const bits = runs.column_bits + row * runs.column_words;
  std::int32_t const* const columns = index.columns_of(sequence, head);
  std::int32_t const* const diagonals = index.diagonals_of(sequence, head);
  std::int32_t const* const counts = index.counts_of(sequence, head);
  std::int32_t const column_count = counts[0], tile = index.tile, block_end = (first_block + r + 1) * tile;

  std::int32_t column = 0, written = 0;
  std::uint32_t word = 0;
  auto const note_column = [&](bool read) {
    word |= static_cast<std::uint32_t>(read) << (column & 31);
    if ((++column & 31) != 0) return;
    bits[column / 32 - 1] = word;
    word = 0;
  };
  auto const close = [&](std::int32_t begin, std::int32_t end) {
    while (column < column_count && columns[column] < begin) note_column(true);
    while (column < column_count && columns[column] < end) note_column(false);
  };

  std::int32_t near = 0, far = counts[1];  // diagonals at or past the block's end come before every key
  while (near < far) {
    std::int32_t const middle = (near + far) / 2;
    if (diagonals[middle] < block_end)
      near = middle + 1;
    else
      far = middle;
  }
  std::int32_t begin = 0, end = 0;  // of the run that is being built; empty at first
  for (std::int32_t d = near - 1; d >= 0; --d) {
    std::int32_t const next_end = max(block_end - diagonals[d], tile);
    if (next_end <= end) continue;
    if (end > 0 && next_end <= end + tile) {
      end += tile;  // by one whole tile, not to next_end
    } else {
      if (end > 0) close(begin, end);
      end = next_end;
      begin = end - tile;
    }
    tiles[written++] = end - tile;
  }
  if (end > 0) close(begin, end);
  if ((column & 31) != 0) bits[column / 32] = word;
  runs.tile_counts[row] = written;
  runs.column_ends[row] = column;
}

template <class T>
Status launch_vertical_slash_runs(Cuda exec, BatchProblem<T> const& problem, VerticalSlashIndex const& index,
                                  VerticalSlashRuns const& runs) {
  using Traits = VerticalSlashRunsTraits;
  std::int64_t const blocks = problem.max_len_q == 0 ? 0 : (problem.max_len_q + index.tile - 2) / index.tile + 1;
  if (blocks == 0 || problem.batch == 0) return {};
  dim3 const grid(static_cast<unsigned>((blocks + Traits::threads - 1) / Traits::threads),
                  static_cast<unsigned>(index.heads() / problem.batch), static_cast<unsigned>(problem.batch));
  return launch(exec, grid, dim3(Traits::threads), 0, vertical_slash_runs_kernel<Traits, T>, DeviceProblem<T>(problem),
                DeviceVerticalSlash(index, problem.batch), runs);
}

}  // namespace lacuna::cuda
