#pragma once

#include <algorithm>
#include <cstdint>

#include "lacuna/core/batch_problem.hpp"
#include "lacuna/core/workspace.hpp"
#include "lacuna/index/block_index.hpp"
#include "lacuna/kernels/cuda/primitives/sequence.cuh"

namespace lacuna::cuda {

// A unit is 16 neighbouring queries of one head with a list of key blocks of its own: one warp's rows. A tile is a few
// units of one KV head that walk the union of their lists together, so that a key block is read once for all units
// that kept it; a unit skips what it did not keep.

inline constexpr std::int32_t kUnitRows = 16;

/// Which units share a tile: so many neighbouring blocks of 16 queries, of so many neighbouring heads.
struct UnionGroup {
  std::int32_t blocks = 12;
  std::int32_t heads = 1;
};

/// The tiles of a batch, by capacity: those of short sequences are empty. Tiles of a KV head are neighbours, late
/// queries first, so that what runs at the same time reads the same keys and long tiles begin early.
struct UnionTiles {
  UnionGroup group;
  std::int32_t head_groups;       // of a KV head
  std::int32_t tiles_a_sequence;  // along the queries
  std::int32_t tiles;
  std::int32_t entry_room;  // the most key blocks of 16 in one union

  UnionTiles(BatchShape const& shape, std::int64_t block_tokens, std::int64_t room, UnionGroup units) : group(units) {
    std::int64_t const heads = shape.each.heads_q / shape.each.heads_kv;
    std::int64_t const blocks = shape.each.len_q == 0 ? 0 : (shape.each.len_q + kUnitRows - 2) / kUnitRows + 1;
    std::int64_t const each = block_tokens / kUnitRows, lists = units.heads * ((units.blocks + 2 * each - 2) / each);
    head_groups = static_cast<std::int32_t>((heads + units.heads - 1) / units.heads);
    tiles_a_sequence = static_cast<std::int32_t>((blocks + units.blocks - 1) / units.blocks);
    tiles = static_cast<std::int32_t>(shape.batch * shape.each.heads_kv * head_groups * tiles_a_sequence);
    std::int64_t const key_blocks = (shape.each.len_k + block_tokens - 1) / block_tokens;
    entry_room = static_cast<std::int32_t>(std::min(lists * room, key_blocks) * each);
  }
};

/// One key block of a union: its number, counted in 16 tokens from the sequence's start, and the units that kept it.
struct UnionEntry {
  std::uint32_t word;  // number << 12 | units

  static constexpr int kMostUnits = 12;
  static constexpr std::int64_t kMostTokens = std::int64_t{kUnitRows} << (32 - kMostUnits);

  LACUNA_HD static constexpr UnionEntry of(std::int32_t block, std::uint32_t units) {
    return {static_cast<std::uint32_t>(block) << kMostUnits | units};
  }
  LACUNA_HD constexpr std::int32_t first_key() const {
    return static_cast<std::int32_t>(word >> kMostUnits) * kUnitRows;
  }
  LACUNA_HD constexpr bool kept_by(int unit) const { return (word >> unit & 1U) != 0; }
};

struct UnionCount {
  std::int32_t entries;
  std::int32_t kept;  // by all units together: kept / entries is how many share a read
};

/// What the index kernel leaves for the attention kernel.
struct UnionLists {
  UnionEntry* entries;  // [tiles, entry_room], ascending
  UnionCount* counts;   // [tiles]

  static UnionLists take(UnionTiles const& tiles, Workspace& memory) {
    UnionLists lists{};
    lists.entries = memory.take<UnionEntry>(std::int64_t{tiles.tiles} * tiles.entry_room);
    lists.counts = memory.take<UnionCount>(tiles.tiles);
    return lists;
  }
};

/// What tile number `tile` is.
struct UnionTile {
  std::int32_t sequence, head_kv, first_head, heads;
  std::int32_t len_q, len_k;
  std::int32_t first_block, end_block;  // of 16 queries; from the sequence's start

  template <class T>
  __device__ UnionTile(DeviceProblem<T> const& p, UnionTiles const& tiles, std::int32_t tile) {
    std::int32_t const head_group = tile % tiles.head_groups;
    tile /= tiles.head_groups;
    std::int32_t const along = tiles.tiles_a_sequence - 1 - tile % tiles.tiles_a_sequence;
    tile /= tiles.tiles_a_sequence;
    head_kv = tile % p.heads_kv;
    sequence = tile / p.heads_kv;
    first_head = head_kv * p.group + head_group * tiles.group.heads;
    heads = min(tiles.group.heads, p.group - head_group * tiles.group.heads);
    len_q = p.len_q(sequence);
    len_k = p.len_k(sequence, head_kv);
    first_block = first_position() / kUnitRows + along * tiles.group.blocks;
    end_block = min(first_block + tiles.group.blocks, (len_k + kUnitRows - 1) / kUnitRows);
  }
  __device__ bool empty() const { return len_q == 0 || first_block >= end_block; }
  __device__ std::int32_t first_position() const { return len_k - len_q; }
  __device__ std::int32_t head(UnionGroup const& group, std::int32_t unit) const {
    return first_head + unit / group.blocks;
  }
  __device__ std::int32_t block(UnionGroup const& group, std::int32_t unit) const {
    return first_block + unit % group.blocks;
  }
  __device__ bool has(UnionGroup const& group, std::int32_t unit) const {
    return unit < heads * group.blocks && block(group, unit) < end_block;
  }
};

}  // namespace lacuna::cuda
