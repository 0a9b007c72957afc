#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "lacuna/index/block_index.hpp"

namespace lacuna::cuda {

/// A BlockIndex on the device.
struct DeviceBlocks {
  std::int32_t const* blocks;
  std::int32_t const* counts;
  std::int64_t blocks_stride_head, counts_stride_head, room;
  std::int32_t block_tokens;

  explicit DeviceBlocks(BlockIndex const& index)
      : blocks(index.blocks.data),
        counts(index.counts.data),
        blocks_stride_head(index.blocks.stride(0)),
        counts_stride_head(index.counts.stride(0)),
        room(index.room),
        block_tokens(static_cast<std::int32_t>(index.block_tokens)) {}

  __device__ std::int32_t const* row(std::int32_t head, std::int64_t r) const {
    return blocks + head * blocks_stride_head + r * room;
  }
  __device__ std::int32_t count(std::int32_t head, std::int64_t r) const {
    return counts[head * counts_stride_head + r];
  }
};

}  // namespace lacuna::cuda
