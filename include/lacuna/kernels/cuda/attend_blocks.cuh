#pragma once

#include "lacuna/kernels/attend_blocks.hpp"
#include "lacuna/kernels/cuda/attend_union.cuh"
#include "lacuna/kernels/cuda/block_lists.cuh"
#include "lacuna/kernels/cuda/flash_mma.cuh"
#include "lacuna/kernels/cuda/flash_wgmma.cuh"

namespace lacuna {
namespace cuda {

/// The kept blocks of a block of queries, key by key.
struct BlockKeys {
  DeviceBlocks index;

  struct Keys {
    std::int32_t const* blocks;
    std::int32_t block_tokens, count;
    __device__ std::int32_t at(std::int32_t i) const {
      return blocks[i / block_tokens] * block_tokens + i % block_tokens;
    }
    __device__ bool sees(std::int32_t, std::int32_t) const { return true; }
    __device__ bool all_see(std::int32_t, std::int32_t, std::int32_t) const { return true; }
  };

  __device__ std::int32_t block_begin(std::int32_t block, std::int32_t positions, std::int32_t first_position) const {
    return (first_position / positions + block) * positions;
  }
  template <class T>
  __device__ Keys keys(DeviceProblem<T> const& p, FlashTile const& tile, FlashRows const&) const {
    std::int64_t const r =
        BlockIndex::first_row(tile.sequence, p.first_query(tile.sequence), index.block_tokens) + tile.block;
    return {index.row(tile.list, r), index.block_tokens, index.count(tile.list, r) * index.block_tokens};
  }
};

}  // namespace cuda

/// `heads` of the index: heads_q, or heads_kv; `room` as in BlockIndex.
inline void reserve_attend_blocks(Cuda exec, BatchShape const& shape, std::int64_t heads, std::int64_t block_tokens,
                                  std::int64_t room, Workspace& memory) {
  cuda::reserve_flash_wgmma(memory);
  if (heads == shape.each.heads_q && cuda::union_suits(shape, block_tokens))
    cuda::reserve_attend_union(exec, shape, block_tokens, room, memory);
}

template <Storage T>
  requires(sizeof(T) == 2)
Status attend_blocks(Cuda exec, AttendBlocksBatchArgs<T> const& args) {
  if (Status s = args.check(); !s) return s;
  std::int64_t const tokens = args.index.block_tokens, heads = args.problem.heads_q() / args.index.heads();
  if (args.problem.batch == 0 || args.problem.tokens_q() == 0) return {};
  auto const hopper = cuda::takes_flash_wgmma(cuda::flash_wgmma_serves(args.problem, args.out, args.index), true);
  bool const shared_reads = cuda::union_serves(args.problem, args.index, args.out);
  if (!hopper && !shared_reads) return hopper.status();
  if (hopper && *hopper) return cuda::launch_flash_wgmma(exec, args.problem, args.out, args.index, args.scratch);
  if (shared_reads) return cuda::attend_union(exec, args.problem, args.index, args.out, args.scratch);
  return cuda::attend_gathered(exec, args.problem, args.out, cuda::BlockKeys{cuda::DeviceBlocks(args.index)}, tokens,
                               heads, cuda::most_blocks(args.problem.max_len_q, tokens));
}

}  // namespace lacuna
