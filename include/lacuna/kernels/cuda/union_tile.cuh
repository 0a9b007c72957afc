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

/// The tiles of a batch, numbered by capacity: a few are empty. Tiles of a KV head are neighbours, late queries first,
/// so that what runs at the same time reads the same keys and long tiles begin early.
struct UnionTiles {
  UnionGroup group;
  std::int32_t heads_kv;
  std::int32_t head_groups;  // of a KV head
  std::int32_t tiles;
  std::int32_t entry_room;  // the most key blocks of 16 in one union

  UnionTiles(BatchShape const& shape, std::int64_t block_tokens, std::int64_t room, UnionGroup units)
      : group(units), heads_kv(static_cast<std::int32_t>(shape.each.heads_kv)) {
    std::int64_t const heads = shape.each.heads_q / shape.each.heads_kv;
    std::int64_t const each = block_tokens / kUnitRows, lists = units.heads * ((units.blocks + 2 * each - 2) / each);
    head_groups = static_cast<std::int32_t>((heads + units.heads - 1) / units.heads);
    tiles = static_cast<std::int32_t>(first_along(shape.batch, shape.tokens_q)) * heads_kv * head_groups;
    std::int64_t const key_blocks = (shape.each.len_k + block_tokens - 1) / block_tokens;
    entry_room = static_cast<std::int32_t>(std::min(lists * room, key_blocks) * each);
  }
  /// Where the tiles of a sequence begin, for one group of heads: as the rows of a BlockIndex do.
  LACUNA_HD std::int64_t first_along(std::int64_t sequence, std::int64_t first_query) const {
    return BlockIndex::first_row(sequence, first_query, kUnitRows * group.blocks);
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
  std::int32_t entries;  // negative: the tile has no queries
  std::int32_t kept;     // by all units together: kept / entries is how many share a read
};

/// What the index kernel leaves for the attention kernel.
struct UnionLists {
  UnionEntry* entries;      // [tiles, entry_room], ascending
  UnionCount* counts;       // [tiles]
  std::int32_t* next_tile;  // the first that nobody has drawn

  static UnionLists take(UnionTiles const& tiles, Workspace& memory) {
    UnionLists lists{};
    lists.entries = memory.take<UnionEntry>(std::int64_t{tiles.tiles} * tiles.entry_room);
    lists.counts = memory.take<UnionCount>(tiles.tiles);
    lists.next_tile = memory.take<std::int32_t>(1);
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
    std::int32_t const across = tiles.heads_kv * tiles.head_groups;
    sequence = 0;
    for (std::int32_t end = p.batch; end - sequence > 1;) {  // the last sequence that begins here or before
      std::int32_t const middle = (sequence + end) / 2;
      (tiles.first_along(middle, p.first_query(middle)) <= tile / across ? sequence : end) = middle;
    }
    auto const first = static_cast<std::int32_t>(tiles.first_along(sequence, p.first_query(sequence)));
    auto const end = static_cast<std::int32_t>(tiles.first_along(sequence + 1, p.first_query(sequence + 1)));
    std::int32_t const number = (tile - first * across) / tiles.head_groups, head_group = tile % tiles.head_groups;
    std::int32_t const along = end - first - 1 - number % (end - first);
    head_kv = number / (end - first);
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
