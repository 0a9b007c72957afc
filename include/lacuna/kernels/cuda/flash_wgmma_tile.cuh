#pragma once

#include <cuda.h>

#include <cstdint>
#include <type_traits>

#include "lacuna/kernels/cuda/flash_wgmma_slashes.cuh"
#include "lacuna/kernels/cuda/primitives/answer.cuh"
#include "lacuna/kernels/cuda/primitives/sequence.cuh"

namespace lacuna::cuda {

// Tiles of Hopper's prefill kernel. A tile is 64 or 128 query rows in units of 16, one unit a warp, that walk one list
// of key steps. A unit is 16 neighbouring queries of one head; units of a tile may be of different heads.

/// 128 rows, two warpgroups of consumers that take turns: dense attention and lists of blocks of 128 or more.
template <class T, int Dim>
struct WideTile {
  using Element = T;
  static constexpr int dim = Dim;
  static constexpr int consumers = 2;                // warpgroups
  static constexpr int keys = Dim > 128 ? 64 : 128;  // of a step
  static constexpr int stages = 2;
  static constexpr int query_buffers = Dim > 128 ? 1 : 2;  // the next tile begins while this one ends
  static constexpr bool queries_in_registers = false;
  static constexpr bool lists = true, grouped = false, slashes = false;
  static constexpr int blocks_per_sm = 1;
  static constexpr int producer_registers = 56, consumer_registers = 224;
};

/// 192 rows, three warpgroups, for dense attention at dim 64: exponentials are the bottleneck there, and a third
/// softmax under way keeps them busy. H200, 64K tokens: 447 -> 523 TFLOP/s.
template <class T>
struct TallTile : WideTile<T, 64> {
  static constexpr int consumers = 3;
  static constexpr bool lists = false;
  static constexpr int producer_registers = 32, consumer_registers = 160;
};
template <class T, int Dim>
using DenseTile = std::conditional_t<Dim == 64, TallTile<T>, WideTile<T, Dim>>;

/// 64 rows, one warpgroup, two blocks on an SM that hide each other's softmax: one list for every 64 rows. Queries in
/// registers: with 64 keys a step, reading them from shared memory would saturate it.
template <class T, int Dim>
struct NarrowTile {
  using Element = T;
  static constexpr int dim = Dim;
  static constexpr int consumers = 1;
  static constexpr int keys = 8192 / Dim;  // 16 KB of keys a step
  static constexpr int stages = Dim > 128 ? 2 : 3;
  static constexpr int query_buffers = 1;
  static constexpr bool queries_in_registers = Dim <= 128;
  static constexpr bool lists = true, grouped = false, slashes = false;
  static constexpr int blocks_per_sm = 2;
  static constexpr int producer_registers = 40, consumer_registers = 216;
};

/// The same for keys in blocks smaller than a step, from contiguous memory: one box then brings whole rows, groups of 8
/// of them behind each other, where the other layout takes a box for every 64 elements of a row.
template <class T, int Dim>
struct GroupedTile : NarrowTile<T, Dim> {
  static constexpr bool grouped = Dim > 64;
};

/// The same for columns and diagonals, which the producer turns into steps: that takes registers.
template <class T, int Dim>
struct SlashTile : NarrowTile<T, Dim> {
  static constexpr int keys = Dim > 128 ? 32 : 64;
  static constexpr bool slashes = true;
  static constexpr int producer_registers = 56, consumer_registers = 200;
};

inline constexpr int kWarpRows = 16;
inline constexpr std::int32_t kFarKey = 0x3fffffff;  // behind every position

/// Sixteen query rows of one head; those in [valid_begin, valid_end) exist.
struct HopperUnit {
  std::int32_t token;     // of the first row, in q and in out; may lie before the sequence
  std::int32_t position;  // of the first row
  std::int32_t head;
  std::int16_t valid_begin, valid_end;
};

/// What the producer tells the consumers of a tile, and of a step.
enum class HopperTask : std::int32_t { attend, nothing_to_see, stop };
template <class Tile>
struct HopperWork {
  HopperTask task;
  HopperUnit units[Tile::consumers * 64 / kWarpRows];
};
enum class HopperMask : std::int32_t { none, position, column };
template <class Tile>
struct HopperStep {
  HopperMask mask;  // none: every row sees every key of this step
  std::int32_t last;
  union {
    std::int32_t first_key[Tile::keys / kWarpRows];  // of each 16 keys, for a mask by position
    std::uint32_t columns[Tile::keys / 32];          // a bit for each key that counts
  };
};

/// Shared memory of one block, in bytes from its start, and the launch that goes with it.
template <class Tile>
struct HopperPlan {
  static constexpr int halves = Tile::dim / 64;  // lines of 64 elements that a row takes
  static constexpr int rows = Tile::consumers * 64;
  static constexpr int key_chunks = Tile::keys / kWarpRows;
  static constexpr int threads = (Tile::consumers + 1) * 128;
  static constexpr int query_bytes = rows * Tile::dim * 2;
  static constexpr int stage_bytes = Tile::keys * Tile::dim * 2;  // of keys, and again of values
  static constexpr int keys_at = Tile::query_buffers * query_bytes;
  static constexpr int values_at = keys_at + Tile::stages * stage_bytes;
  static constexpr int barriers_at = values_at + Tile::stages * stage_bytes;
  static constexpr int works = Tile::query_buffers + 1;  // one is still read after its queries are not
  static constexpr int works_at = barriers_at + (2 * Tile::query_buffers + 4 * Tile::stages) * 8;
  static constexpr int steps_at = works_at + works * static_cast<int>(sizeof(HopperWork<Tile>));
  static constexpr int smem_bytes = steps_at + Tile::stages * static_cast<int>(sizeof(HopperStep<Tile>));
  // Keys and values lie in lines of 64 elements, eight lines of neighbouring rows an atom of 1024 bytes.
  static constexpr int atom_bytes = Tile::grouped ? 1024 * halves : 1024;          // to the next 8 rows
  static constexpr int half_bytes = Tile::grouped ? 1024 : Tile::keys / 8 * 1024;  // to the next 64 elements
  static_assert(Tile::blocks_per_sm * (smem_bytes + 1024) <= 228 * 1024, "flash_wgmma: shared memory of an SM");
};

/// The barriers of a block: full when the copies have landed, empty when every consumer warp is done.
template <class Tile>
struct HopperBarriers {
  std::uint64_t queries_full[Tile::query_buffers], queries_empty[Tile::query_buffers];
  std::uint64_t keys_full[Tile::stages], keys_empty[Tile::stages];
  std::uint64_t values_full[Tile::stages], values_empty[Tile::stages];
};

/// Block lists as a kernel takes them; null lists: every key that causality allows.
struct HopperLists {
  std::int32_t const* blocks = nullptr;
  std::int32_t const* counts = nullptr;
  std::int64_t blocks_stride_head = 0, counts_stride_head = 0, room = 0;
  std::int32_t block_tokens = 0;
  std::int32_t heads_per_list = 1;  // query heads that share a row of lists
};

template <class T>
struct HopperArgs {
  CUtensorMap queries, keys, values;
  DeviceProblem<T> problem;
  DeviceAnswer<T> answer;
  HopperLists lists;
  HopperSlashes slashes;
  CUtensorMap column_keys, column_values;  // of the columns that compact_columns gathered
  std::int32_t* next_tile;                 // device, 0 at launch: work is drawn from it
  std::int32_t span;                       // neighbouring queries of one head in a tile
  std::int32_t key_box_rows;               // keys that one box brings
};

}  // namespace lacuna::cuda
