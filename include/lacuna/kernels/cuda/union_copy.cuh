#pragma once

#include <cstdint>

#include "lacuna/kernels/cuda/flash_mma_rows.cuh"
#include "lacuna/kernels/cuda/primitives/async_copy.cuh"
#include "lacuna/kernels/cuda/primitives/tensor_map.cuh"
#include "lacuna/kernels/cuda/primitives/warp.cuh"
#include "lacuna/kernels/cuda/union_tile.cuh"

namespace lacuna::cuda {

/// Boxes: the copy engine brings whole key blocks (sm_90a); otherwise cp.async brings them row by row (sm_80).
template <class Element, int Dim, bool WithBoxes>
struct UnionTraits {
  using T = Element;
  static constexpr int dim = Dim;
  static constexpr bool boxes = WithBoxes;
  // A warp each. Beyond dim 128 the sums of a unit fill the registers and its queries lie in shared memory.
  static constexpr bool queries_in_registers = Dim <= 128;
  static constexpr int units = queries_in_registers ? (WithBoxes ? 12 : 8) : (WithBoxes ? 8 : 4);
  static constexpr int copy_warps = 4, threads = 32 * (units + copy_warps);
  static constexpr int slots = Dim > 128 ? 2 : 4;  // key blocks of 16 behind one barrier: 32 KB, or 16 at dim 64
  static constexpr int tile_bytes = kUnitRows * Dim * 2, slot_bytes = 2 * tile_bytes, stage_bytes = slots * slot_bytes;
  static constexpr int query_bytes = queries_in_registers ? 0 : units * tile_bytes;
  static constexpr int stages = ((WithBoxes ? 192 : 128) * 1024 - query_bytes) / stage_bytes;
  static constexpr int works = 4;  // tiles that copying warps may be ahead
  static constexpr int smem_bytes = query_bytes + stages * (stage_bytes + 16) + works * (16 + 8);
  // 3 x 152 + 56 registers of 128 threads are the whole file; with 160 + 32 the copying warps spill.
  static constexpr int copy_registers = queries_in_registers ? 56 : 72,
                       unit_registers = queries_in_registers ? 152 : 216;
};

/// Position in a ring; everyone who walks it walks it alike.
template <int Slots>
struct RingPlace {
  int slot = 0;
  std::uint32_t parity = 0;
  __device__ void next() {
    if (++slot == Slots) slot = 0, parity ^= 1U;
  }
};

/// What is worked at: a tile and the length of its union. A negative tile: there are no more.
struct UnionWork {
  std::int32_t tile, entries;
};

/// Shared memory: queries, stages of key blocks, and which tiles they belong to.
template <class Traits>
struct UnionRing {
  unsigned char* data;
  std::uint64_t *full, *empty, *work_full, *work_empty;
  UnionWork* works;

  __device__ explicit UnionRing(unsigned char* smem)
      : data(smem + Traits::query_bytes),
        full(reinterpret_cast<std::uint64_t*>(data + Traits::stages * Traits::stage_bytes)),
        empty(full + Traits::stages),
        work_full(empty + Traits::stages),
        work_empty(work_full + Traits::works),
        works(reinterpret_cast<UnionWork*>(work_empty + Traits::works)) {}
  __device__ void init() const {
    for (int s = 0; s < Traits::stages; ++s) {
      barrier_init(full + s, Traits::boxes ? 1 : 32 * Traits::copy_warps);
      barrier_init(empty + s, Traits::units);
    }
    for (int w = 0; w < Traits::works; ++w) {
      barrier_init(work_full + w, 1);
      barrier_init(work_empty + w, Traits::units + Traits::copy_warps - 1);
    }
    if constexpr (Traits::boxes) barrier_init_done();
  }
  __device__ unsigned char* keys(int stage, int slot) const {
    return data + stage * Traits::stage_bytes + slot * Traits::slot_bytes;
  }
  __device__ unsigned char* values(int stage, int slot) const { return keys(stage, slot) + Traits::tile_bytes; }

  /// For all but the warp that draws: the next tile, as one warp.
  __device__ UnionWork receive(RingPlace<Traits::works>& place) const {
    barrier_wait(work_full + place.slot, place.parity);
    UnionWork const work = works[place.slot];
    __syncwarp();
    if (lane_id() == 0) barrier_arrive(work_empty + place.slot);
    place.next();
    return work;
  }
};

/// Tiles go to whoever is free, so that long ones do not pile up; which block computes a tile changes no bit of it.
template <class Traits>
class UnionDraw {
 public:
  __device__ UnionDraw(UnionTiles const& tiles, UnionLists const& lists) : tiles_(tiles), lists_(lists) { draw(); }

  /// The next tile that has queries, told to everyone. As one warp.
  __device__ UnionWork next(UnionRing<Traits> const& ring) {
    UnionWork work{-1, -1};
    do {
      std::int32_t const tile = __shfl_sync(kAllLanes, drawn_, 0);
      work = tile < tiles_.tiles ? UnionWork{tile, lists_.counts[tile].entries} : UnionWork{-1, 0};
      draw();  // for the next call: by then it has come
    } while (work.entries < 0);
    barrier_wait(ring.work_empty + place_.slot, place_.parity ^ 1U);
    if (lane_id() == 0) {
      ring.works[place_.slot] = work;
      barrier_arrive(ring.work_full + place_.slot);
    }
    __syncwarp();
    place_.next();
    return work;
  }

 private:
  __device__ void draw() {
    if (lane_id() == 0) drawn_ = atomicAdd(lists_.next_tile, 1);
  }

  UnionTiles const& tiles_;
  UnionLists const& lists_;
  RingPlace<Traits::works> place_;
  std::int32_t drawn_ = 0;
};

/// Rows of one key block by one warp, zeros behind the length. Waits for nothing.
template <class Traits>
__device__ void copy_key_block(DeviceProblem<typename Traits::T> const& p, UnionTile const& tile,
                               std::int32_t first_key, std::uint32_t keys, std::uint32_t values) {
  constexpr int chunks = Traits::dim / 8, unrolled = Traits::boxes ? 1 : 4;  // beside boxes it is rare
#pragma unroll unrolled
  for (int i = lane_id(); i < kUnitRows * chunks; i += 32) {
    int const row = i / chunks, chunk = i % chunks;
    bool const present = first_key + row < tile.len_k;
    std::int64_t const from = present ? p.offset(tile.sequence, tile.head_kv, first_key + row) + chunk * 8 : 0;
    std::uint32_t const to = chunk_offset<kUnitRows>(row, chunk);
    copy16_or_zero(keys + to, p.k + from, present ? 16 : 0);
    copy16_or_zero(values + to, p.v + from, present ? 16 : 0);
  }
}

/// One copying warp's part of a tile with the copy engine: every copy_warps-th stage, since a stage takes one warp
/// longer to ask for than L2 to bring. Lane l < slots brings the keys of slot l, the next ones the values. `begin`:
/// stages of all tiles before this one.
template <class Traits>
__device__ void copy_boxes(DeviceProblem<typename Traits::T> const& p, CUtensorMap const& k_map,
                           CUtensorMap const& v_map, UnionTile const& tile, UnionEntry const* entries,
                           std::int32_t count, std::uint32_t begin, UnionRing<Traits> const& ring) {
  constexpr int slots = Traits::slots, at_once = slots * Traits::copy_warps;
  int const lane = lane_id(), slot = lane % slots, warp = warp_id() - Traits::units;
  std::int32_t const first_token = p.first_token != nullptr ? p.first_token[tile.sequence] : 0;
  auto first = static_cast<std::int32_t>((static_cast<std::uint32_t>(warp) - begin) % Traits::copy_warps) * slots;
  UnionEntry next = first + slot < count ? entries[first + slot] : UnionEntry{0};
  for (; first < count; first += at_once) {
    std::int32_t const key = next.first_key();
    bool const valid = first + slot < count;
    // A box would reach past what the caller holds: such a block is copied row by row.
    bool const whole = valid && key + kUnitRows <= tile.len_k;
    if (first + at_once + slot < count) next = entries[first + at_once + slot];
    std::int32_t page = 0, row = key + first_token;
    if (p.page_table != nullptr) {
      if (whole)
        page = p.page_table[tile.sequence * p.table_stride_sequence + tile.head_kv * p.table_stride_head +
                            key / p.page_tokens];
      row = key % p.page_tokens;
    }
    std::uint32_t const number = begin + static_cast<std::uint32_t>(first / slots);
    auto const stage = static_cast<int>(number % Traits::stages);
    unsigned const boxes = __ballot_sync(kAllLanes, whole && lane < 2 * slots);
    unsigned rest = __ballot_sync(kAllLanes, valid && !whole && lane < slots);
    barrier_wait(ring.empty + stage, (number / Traits::stages & 1U) ^ 1U);
    for (; rest != 0; rest &= rest - 1) {
      int const s = __ffs(static_cast<int>(rest)) - 1;
      copy_key_block<Traits>(p, tile, __shfl_sync(kAllLanes, key, s), smem_address(ring.keys(stage, s)),
                             smem_address(ring.values(stage, s)));
      close_copy_group();
      wait_copy_groups<0>();
      fence_async_proxy();  // a later box may land here
    }
    __syncwarp();
    if (lane == 0)
      barrier_arrive_expecting(ring.full + stage, static_cast<std::uint32_t>(__popc(boxes) * Traits::tile_bytes));
    __syncwarp();
    if ((boxes >> lane & 1U) != 0)
      copy_box(lane < slots ? ring.keys(stage, slot) : ring.values(stage, slot), lane < slots ? &k_map : &v_map,
               ring.full + stage, 0, row, 0, tile.head_kv, page);
  }
}

/// The same by cp.async: a warp brings one slot of every stage.
template <class Traits>
__device__ void copy_rows(DeviceProblem<typename Traits::T> const& p, UnionTile const& tile, UnionEntry const* entries,
                          std::int32_t count, std::uint32_t begin, UnionRing<Traits> const& ring) {
  int const slot = warp_id() - Traits::units;
  for (std::int32_t first = 0; first < count; first += Traits::slots, ++begin) {
    auto const stage = static_cast<int>(begin % Traits::stages);
    barrier_wait(ring.empty + stage, (begin / Traits::stages & 1U) ^ 1U);
    if (slot < Traits::slots && first + slot < count)
      copy_key_block<Traits>(p, tile, entries[first + slot].first_key(), smem_address(ring.keys(stage, slot)),
                             smem_address(ring.values(stage, slot)));
    barrier_arrive_after_copies(ring.full + stage);
  }
}

/// What a copying warp does: the first of them also draws, one tile ahead.
template <class Traits>
__device__ void copy_unions(DeviceProblem<typename Traits::T> const& p, CUtensorMap const& k_map,
                            CUtensorMap const& v_map, UnionTiles const& tiles, UnionLists const& lists,
                            UnionRing<Traits> const& ring) {
  std::uint32_t begin = 0;
  auto const copy = [&](UnionWork const& work) {
    UnionTile const tile(p, tiles, work.tile);
    UnionEntry const* const entries = lists.entries + static_cast<std::int64_t>(work.tile) * tiles.entry_room;
    if constexpr (Traits::boxes)
      copy_boxes<Traits>(p, k_map, v_map, tile, entries, work.entries, begin, ring);
    else
      copy_rows<Traits>(p, tile, entries, work.entries, begin, ring);
    begin += static_cast<std::uint32_t>((work.entries + Traits::slots - 1) / Traits::slots);
  };
  if (warp_id() == Traits::units) {
    UnionDraw<Traits> draw(tiles, lists);
    for (UnionWork work = draw.next(ring), upcoming; work.tile >= 0; work = upcoming) {
      upcoming = draw.next(ring);
      copy(work);
    }
  } else {
    RingPlace<Traits::works> works;
    for (UnionWork work = ring.receive(works); work.tile >= 0; work = ring.receive(works)) copy(work);
  }
  if constexpr (!Traits::boxes) wait_copy_groups<0>();
}

}  // namespace lacuna::cuda
