#pragma once

#include <cstdint>

#include "lacuna/kernels/cuda/block_rows.cuh"
#include "lacuna/kernels/cuda/primitives/sequence.cuh"
#include "lacuna/kernels/cuda/window_mass.cuh"

namespace lacuna::cuda {

/// Sizes of the groups, computed once for host and device.
struct GroupSizes {
  std::int32_t stride;
  std::int32_t per_block;           // groups of a block
  std::int32_t piece;               // groups of keys whose weights are summed at once
  std::int32_t pieces, key_blocks;  // capacities

  GroupSizes(std::int64_t max_len_k, std::int64_t stride_tokens, std::int64_t block_tokens, std::int64_t tile_keys)
      : stride(static_cast<std::int32_t>(stride_tokens)),
        per_block(static_cast<std::int32_t>(block_tokens / stride_tokens)),
        piece(per_block < tile_keys ? per_block : static_cast<std::int32_t>(tile_keys)),
        pieces(0),
        key_blocks(static_cast<std::int32_t>((max_len_k + block_tokens - 1) / block_tokens)) {
    pieces = key_blocks * (per_block / piece);
  }
};

template <class T>
struct GroupMassParameters {
  DeviceProblem<T> problem;
  BlockRows rows;
  GroupSizes sizes;
  float2* masses;  // [heads_q, groups of the chunk, pieces]: highest logit and sum of a piece, base 2
  float* scores;
  std::int64_t scores_stride_head, scores_stride_row;
  std::int32_t first_row, chunk_rows;
};

/// Which group of queries a row of a tile is.
struct QueryGroup {
  bool there;
  std::int32_t sequence, group, oldest;  // oldest: the first group of keys that any of its queries sees
  std::int32_t len_q, len_k;

  template <class T>
  __device__ QueryGroup(GroupMassParameters<T> const& p, std::int32_t index) : there(false), sequence(-1), group(-1) {
    oldest = len_q = len_k = 0;
    if (index >= p.chunk_rows * p.sizes.per_block) return;
    BlockRows::Row const row = p.rows.find(p.first_row + index / p.sizes.per_block);
    if (!row.there) return;
    std::int32_t const stride = p.sizes.stride, first_position = row.len_k - row.len_q;
    group = row.block * p.sizes.per_block + index % p.sizes.per_block;
    len_q = row.len_q;
    len_k = row.len_k;
    there = (group + 1) * stride > first_position && group * stride < row.len_k;
    if (!there) return;
    sequence = row.sequence;
    std::int32_t const position = max(group * stride, first_position);
    oldest = position < p.rows.window_tokens ? 0 : (position + 1 - p.rows.window_tokens) / stride;
  }
};

}  // namespace lacuna::cuda
