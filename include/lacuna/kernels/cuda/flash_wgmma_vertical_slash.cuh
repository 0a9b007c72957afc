#pragma once

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdint>

#include "lacuna/core/batch_problem.hpp"
#include "lacuna/core/exec.hpp"
#include "lacuna/core/workspace.hpp"
#include "lacuna/index/vertical_slash_index.hpp"
#include "lacuna/kernels/cuda/flash_wgmma.cuh"
#include "lacuna/kernels/cuda/launch.cuh"

namespace lacuna::cuda {

/// Columns belong to a head, not to a block of its queries: their keys and values are copied once, side by side, and
/// then come by the box like any tile. Where a list ends zeros follow, to the end of the last box.
template <class T>
struct CompactColumnsArgs {
  DeviceProblem<T> problem;
  HopperSlashes slashes;
  T* keys;  // [rows, room, dim], both
  T* values;
  std::int64_t room;  // columns of a row, a multiple of kSlashTile
};

/// Grid: x over the columns of a row, a warp each; y over the rows. Reads and writes 4 * dim bytes a column.
template <class T, int Dim>
__global__ void __launch_bounds__(256) compact_columns_kernel(__grid_constant__ CompactColumnsArgs<T> const args) {
  std::int32_t const row = static_cast<std::int32_t>(blockIdx.y);
  std::int64_t const place = std::int64_t{blockIdx.x} * 8 + threadIdx.x / 32;
  std::int32_t const count = args.slashes.counts[row * 2];
  if (place >= (count + kSlashTile - 1) / kSlashTile * kSlashTile) return;
  std::int32_t const sequence = row / args.slashes.heads;
  std::int32_t const head_kv = row % args.slashes.heads * args.slashes.heads_per_list / args.problem.group;
  constexpr int kChunks = Dim / 8;  // of 16 bytes, of a row
  uint4 const* keys = nullptr;
  uint4 const* values = nullptr;
  if (place < count) {
    std::int64_t const from =
        args.problem.offset(sequence, head_kv, args.slashes.columns[row * args.slashes.columns_stride + place]);
    keys = reinterpret_cast<uint4 const*>(args.problem.k + from);
    values = reinterpret_cast<uint4 const*>(args.problem.v + from);
  }
  std::int64_t const to = (row * args.room + place) * Dim;
  for (int chunk = lane_id(); chunk < 2 * kChunks; chunk += 32) {
    bool const is_key = chunk < kChunks;
    uint4 const* const from = is_key ? keys : values;
    reinterpret_cast<uint4*>((is_key ? args.keys : args.values) + to)[chunk % kChunks] =
        from == nullptr ? uint4{0, 0, 0, 0} : from[chunk % kChunks];
  }
}

namespace detail {

inline std::int64_t column_room(std::int64_t capacity) { return (capacity + kSlashTile - 1) / kSlashTile * kSlashTile; }

}  // namespace detail

/// Scratch of a vertical-slash launch: `heads` of the index and the most columns that one of them may keep.
template <class T>
void reserve_flash_wgmma_slashes(Workspace& scratch, std::int64_t batch, std::int64_t heads, std::int64_t columns,
                                 std::int64_t dim) {
  for (int copy = 0; copy < 2; ++copy) (void)scratch.take<T>(batch * heads * detail::column_room(columns) * dim);
  reserve_flash_wgmma(scratch);
}

/// Columns and diagonals in tiles of 64. Keys and values in pages are for others: a tile begins anywhere.
template <Storage T>
bool flash_wgmma_serves(BatchProblem<T> const& problem, AttentionOut<T> const& out, VerticalSlashIndex const& index) {
  return detail::flash_serves(problem, out) && index.tile == kSlashTile && !problem.kv.paged() &&
         problem.window_tokens == 0 && detail::with_flash_tile<SlashTile, T>(problem.dim(), [](auto) { return true; });
}

/// Row batch * heads + head of the index belongs to a sequence's head.
template <Storage T>
Status launch_flash_wgmma(Cuda exec, BatchProblem<T> const& problem, AttentionOut<T> const& out,
                          VerticalSlashIndex const& index, Workspace scratch) {
  std::int64_t const rows = index.counts.extent(0), heads = rows / problem.batch;
  std::int64_t const room = detail::column_room(index.columns.extent(1)), dim = problem.dim();
  HopperSlashes const slashes{index.columns.data,
                              index.diagonals.data,
                              index.counts.data,
                              index.columns.stride(0),
                              index.diagonals.stride(0),
                              static_cast<std::int32_t>(heads),
                              static_cast<std::int32_t>(problem.heads_q() / heads)};
  T* const keys = scratch.take<T>(rows * room * dim);
  T* const values = scratch.take<T>(rows * room * dim);
  if (Status s = scratch.check("flash_wgmma: scratch is too small"); !s) return s;
  CompactColumnsArgs<T> const columns{DeviceProblem<T>(problem), slashes, keys, values, room};
  Status status = Status::invalid("flash_wgmma: not compiled for this device");
  detail::with_flash_tile<SlashTile, T>(dim, [&]<class Tile>(Tile) {
    if (room > 0) {
      dim3 const grid(static_cast<unsigned>(room / 8), static_cast<unsigned>(rows));
      status = launch(exec, grid, dim3(256), 0, compact_columns_kernel<T, Tile::dim>, columns);
      if (!status) return true;
    }
    status = detail::launch_flash<Tile>(exec, problem, out, 0, kSlashTile, scratch.rest(), [&](HopperArgs<T>& args) {
      args.slashes = slashes;
      if (room == 0) return Status{};
      for (bool const of_values : {false, true}) {
        Status s = detail::encode_rows(of_values ? args.column_values : args.column_keys,
                                       static_cast<T const*>(of_values ? values : keys), dim, room, dim, rows,
                                       room * dim, 0, Tile::keys, HopperPlan<Tile>::halves);
        if (!s) return s;
      }
      return Status{};
    });
    return true;
  });
  return status;
}

}  // namespace lacuna::cuda
