#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "lacuna/kernels/attend_vertical_slash.hpp"
#include "lacuna/kernels/cuda/flash_mma.cuh"
#include "lacuna/kernels/cuda/flash_wgmma_vertical_slash.cuh"
#include "lacuna/kernels/cuda/vertical_slash_runs.cuh"

namespace lacuna {
namespace cuda {

/// The tiles of a block of queries key by key, then its columns; columns that a tile covers are no keys.
struct VerticalSlashKeys {
  DeviceVerticalSlash index;
  VerticalSlashRuns runs;

  struct Keys {
    std::int32_t const* tiles;
    std::int32_t const* columns;
    std::uint32_t const* column_bits;
    std::int32_t tile, in_tiles, count;
    __device__ std::int32_t at(std::int32_t i) const {
      if (i < in_tiles) return tiles[i / tile] + i % tile;
      i -= in_tiles;
      return (column_bits[i / 32] >> (i % 32) & 1U) != 0 ? columns[i] : kNoKey;
    }
    __device__ bool sees(std::int32_t, std::int32_t) const { return true; }
    __device__ bool all_see(std::int32_t, std::int32_t, std::int32_t) const { return true; }
  };

  __device__ std::int32_t block_begin(std::int32_t block, std::int32_t positions, std::int32_t first_position) const {
    return (first_position / positions + block) * positions;
  }
  template <class T>
  __device__ Keys keys(DeviceProblem<T> const& p, FlashTile const& tile, FlashRows const&) const {
    std::int64_t const row = tile.list * runs.rows + tile.block +
                             BlockIndex::first_row(tile.sequence, p.first_query(tile.sequence), index.tile);
    std::int32_t const in_tiles = runs.tile_counts[row] * index.tile;
    return {runs.tiles + row * runs.tile_room,
            index.columns_of(tile.sequence, tile.list),
            runs.column_bits + row * runs.column_words,
            index.tile,
            in_tiles,
            in_tiles + runs.column_ends[row]};
  }
};

}  // namespace cuda

/// `heads` of the index: heads_q, or heads_kv; `columns` and `diagonals`: the most that one of them keeps.
inline void reserve_attend_vertical_slash(Cuda, BatchShape const& shape, std::int64_t heads, std::int64_t tile,
                                          std::int64_t columns, std::int64_t diagonals, Workspace& memory) {
  Workspace generic, hopper;
  (void)cuda::VerticalSlashRuns::take(shape, heads, tile, columns, diagonals, generic);
  cuda::reserve_flash_wgmma_slashes<bfloat16>(hopper, shape.batch, heads, columns, shape.each.dim);
  (void)memory.take<std::byte>(static_cast<std::int64_t>(std::max(generic.used_bytes(), hopper.used_bytes())));
}

/// Two launches: the tiles and columns of each block of queries, or on Hopper's path the compacted columns; then
/// attention over them.
template <Storage T>
  requires(sizeof(T) == 2)
Status attend_vertical_slash(Cuda exec, AttendVerticalSlashBatchArgs<T> const& args) {
  if (Status s = args.check(); !s) return s;
  BatchProblem<T> const& problem = args.problem;
  VerticalSlashIndex const& index = args.index;
  if (problem.batch == 0 || problem.tokens_q() == 0) return {};
  auto const hopper = cuda::takes_flash_wgmma(cuda::flash_wgmma_serves(problem, args.out, index), true);
  if (!hopper) return hopper.status();
  if (*hopper) return cuda::launch_flash_wgmma(exec, problem, args.out, index, args.scratch);
  Workspace scratch = args.scratch;
  auto const runs = cuda::VerticalSlashRuns::take(shape_of(problem), args.heads(), index.tile, index.columns.extent(1),
                                                  index.diagonals.extent(1), scratch);
  if (Status s = scratch.check("attend_vertical_slash: the workspace is smaller than planned"); !s) return s;
  if (Status s = cuda::launch_vertical_slash_runs(exec, problem, index, runs); !s) return s;
  cuda::VerticalSlashKeys const keys{cuda::DeviceVerticalSlash(index, problem.batch), runs};
  return cuda::attend_gathered(exec, problem, args.out, keys, index.tile, problem.heads_q() / args.heads(),
                               cuda::most_blocks(problem.max_len_q, index.tile));
}

}  // namespace lacuna
