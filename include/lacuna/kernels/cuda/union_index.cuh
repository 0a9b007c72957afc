#pragma once

#include <cstdint>

#include "lacuna/kernels/cuda/block_lists.cuh"
#include "lacuna/kernels/cuda/launch.cuh"
#include "lacuna/kernels/cuda/primitives/warp.cuh"
#include "lacuna/kernels/cuda/union_tile.cuh"

namespace lacuna::cuda {

struct UnionIndexTraits {
  static constexpr int warps = 8, threads = 32 * warps;
  static constexpr int chunk = 8192, words = chunk / 2, words_a_warp = words / warps;  // key blocks at a time
};

/// Grid: tiles. A block joins the lists of one tile's units: a mask of 16 bits for each key block in shared memory,
/// then the masks that are not zero in ascending order. Reads every id once (once for each 8192 key blocks of a long
/// sequence), writes 4 bytes for each 16 tokens of the union.
template <class Traits, class T>
__global__ void __launch_bounds__(Traits::threads)
    union_index_kernel(DeviceProblem<T> const p, DeviceBlocks const index, std::int32_t const list_heads,
                       UnionTiles const tiles, UnionLists const lists) {
  __shared__ std::uint32_t masks[Traits::words];  // two key blocks each
  __shared__ std::int32_t found_by_warp[Traits::warps];
  __shared__ std::int32_t kept;
  std::int32_t const t = static_cast<std::int32_t>(blockIdx.x);
  UnionTile const tile(p, tiles, t);
  int const thread = static_cast<int>(threadIdx.x), lane = lane_id(), warp = warp_id();
  if (t == 0 && thread == 0) *lists.next_tile = 0;
  if (tile.empty()) {
    if (thread == 0) lists.counts[t] = {-1, 0};
    return;
  }
  UnionEntry* const entries = lists.entries + static_cast<std::int64_t>(t) * tiles.entry_room;
  std::int32_t const each = index.block_tokens / kUnitRows;  // entries of a key block
  std::int32_t const key_blocks = (tile.end_block * kUnitRows - 1) / index.block_tokens + 1;
  std::int64_t const first_row =
      BlockIndex::first_row(tile.sequence, p.first_query(tile.sequence), index.block_tokens) -
      tile.first_position() / index.block_tokens;
  if (thread == 0) kept = 0;
  std::int32_t written = 0;
  for (std::int32_t begin = 0; begin < key_blocks; begin += Traits::chunk) {
    for (int w = thread; w < Traits::words; w += Traits::threads) masks[w] = 0;
    __syncthreads();
    for (int unit = warp; unit < tiles.group.blocks * tiles.group.heads; unit += Traits::warps) {
      if (!tile.has(tiles.group, unit)) continue;
      std::int64_t const r = first_row + tile.block(tiles.group, unit) / each;
      std::int32_t const head = tile.head(tiles.group, unit) / (p.heads_q / list_heads);
      std::int32_t const* const ids = index.row(head, r);
      std::int32_t const count = index.count(head, r);
      if (begin == 0 && lane == 0) atomicAdd(&kept, count * each);
      for (std::int32_t i = lane; i < count; i += 32) {
        std::int32_t const id = ids[i] - begin;
        if (id >= 0 && id < Traits::chunk) atomicOr(&masks[id / 2], 1U << (unit + id % 2 * 16));
      }
    }
    __syncthreads();
    std::uint32_t const before = (1U << lane) - 1;
    auto const each_word = [&](auto&& use) {  // ballots of the even and of the odd key blocks
      for (int w = warp * Traits::words_a_warp; w < (warp + 1) * Traits::words_a_warp; w += 32) {
        std::uint32_t const word = masks[w + lane];
        use(w + lane, word, __ballot_sync(kAllLanes, (word & 0xffffU) != 0), __ballot_sync(kAllLanes, word >> 16 != 0));
      }
    };
    std::int32_t found = 0;
    each_word([&](int, std::uint32_t, unsigned even, unsigned odd) { found += __popc(even) + __popc(odd); });
    if (lane == 0) found_by_warp[warp] = found;
    __syncthreads();
    std::int32_t at = written;
    for (int w = 0; w < Traits::warps; ++w) {
      if (w < warp) at += found_by_warp[w];
      written += found_by_warp[w];
    }
    each_word([&](int w, std::uint32_t word, unsigned even, unsigned odd) {
      std::int32_t slot = at + __popc(even & before) + __popc(odd & before);
      for (int half = 0; half < 2; ++half) {
        std::uint32_t const units = word >> (16 * half) & 0xffffU;
        if (units == 0) continue;
        for (std::int32_t e = 0; e < each; ++e)
          entries[slot * each + e] = UnionEntry::of((begin + 2 * w + half) * each + e, units);
        ++slot;
      }
      at += __popc(even) + __popc(odd);
    });
    __syncthreads();
  }
  if (thread == 0) lists.counts[t] = {written * each, kept};
}

template <class T>
Status launch_union_index(Cuda exec, BatchProblem<T> const& problem, BlockIndex const& index, UnionTiles const& tiles,
                          UnionLists const& lists) {
  using Traits = UnionIndexTraits;
  return launch(exec, dim3(static_cast<unsigned>(tiles.tiles)), dim3(Traits::threads), 0, union_index_kernel<Traits, T>,
                DeviceProblem<T>(problem), DeviceBlocks(index), static_cast<std::int32_t>(index.heads()), tiles, lists);
}

}  // namespace lacuna::cuda
