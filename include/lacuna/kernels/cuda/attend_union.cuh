#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "lacuna/core/batch_problem.hpp"
#include "lacuna/core/workspace.hpp"
#include "lacuna/index/block_index.hpp"
#include "lacuna/kernels/cuda/flash_mma.cuh"
#include "lacuna/kernels/cuda/path.cuh"
#include "lacuna/kernels/cuda/union_index.cuh"
#include "lacuna/kernels/cuda/union_mma.cuh"

namespace lacuna::cuda {

// Fine blocks with a list per query head: two launches, one that joins the lists of each tile's units and one that
// attends over the unions.

/// Lists of blocks so fine that several are read together. From 64 tokens on a list alone fills a tile.
inline bool union_suits(BatchShape const& shape, std::int64_t block_tokens) {
  return (block_tokens == 16 || block_tokens == 32) &&
         (shape.each.dim == 64 || shape.each.dim == 128 || shape.each.dim == 256) &&
         shape.each.len_k <= UnionEntry::kMostTokens;
}

template <class T>
bool union_serves(BatchProblem<T> const& problem, BlockIndex const& index, AttentionOut<T> const& out) {
  return index.heads() == problem.heads_q() && union_suits(shape_of(problem), index.block_tokens) &&
         rows_are_aligned(problem, out);
}

/// Neighbouring blocks of one head: their lists have the most in common.
inline UnionGroup default_group(std::int64_t dim, bool boxes) {
  return {dim <= 128 ? (boxes ? 12 : 8) : (boxes ? 8 : 4), 1};  // UnionTraits::units
}

inline void reserve_attend_union(Cuda, BatchShape const& shape, std::int64_t block_tokens, std::int64_t room,
                                 Workspace& memory, UnionGroup const* group = nullptr) {
  std::size_t most = 0;
  for (bool boxes : {false, true}) {
    Workspace needed;
    UnionLists::take(
        UnionTiles(shape, block_tokens, room, group != nullptr ? *group : default_group(shape.each.dim, boxes)),
        needed);
    most = std::max(most, needed.used_bytes());
  }
  (void)memory.take<std::byte>(static_cast<std::int64_t>(most));
}

template <class Traits>
Status attend_union_with(Cuda exec, BatchProblem<typename Traits::T> const& problem, BlockIndex const& index,
                         AttentionOut<typename Traits::T> const& out, Workspace scratch, UnionGroup group) {
  if (group.blocks < 1 || group.heads < 1 || group.blocks * group.heads > Traits::units)
    return Status::invalid("attend_blocks: a tile has fewer units than its group", group.blocks * group.heads,
                           Traits::units);
  UnionTiles const tiles(shape_of(problem), index.block_tokens, index.room, group);
  UnionLists const lists = UnionLists::take(tiles, scratch);
  if (Status s = scratch.check("attend_blocks: the workspace is smaller than planned"); !s) return s;
  if (tiles.tiles == 0) return {};
  int device = 0, processors = 0;
  if (cudaGetDevice(&device) != cudaSuccess ||
      cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device) != cudaSuccess)
    return launched();
  if (Status s = launch_union_index(exec, problem, index, tiles, lists); !s) return s;
  return launch_union_mma<Traits>(exec, problem, out, tiles, lists, processors);
}

/// `group`: which units share a tile; null lets the kernel choose. It never changes a bit of the answer.
template <class T>
Status attend_union(Cuda exec, BatchProblem<T> const& problem, BlockIndex const& index, AttentionOut<T> const& out,
                    Workspace scratch, UnionGroup const* group = nullptr) {
  return for_dim(problem.dim(), [&]<int Dim>() {
    using Boxes = UnionTraits<T, Dim, true>;
    // A box lies within one page.
    bool const boxes = path() != Path::generic && (!problem.kv.paged() || problem.kv.page_tokens % kUnitRows == 0) &&
                       has_hopper_body(union_mma_kernel<Boxes>);
    UnionGroup const units = group != nullptr ? *group : default_group(Dim, boxes);
    if (boxes) return attend_union_with<Boxes>(exec, problem, index, out, scratch, units);
    return attend_union_with<UnionTraits<T, Dim, false>>(exec, problem, index, out, scratch, units);
  });
}

}  // namespace lacuna::cuda
