#pragma once

#include <cstdint>

#include "lacuna/kernels/cuda/flash_mma_rows.cuh"
#include "lacuna/kernels/cuda/launch.cuh"
#include "lacuna/kernels/cuda/path.cuh"
#include "lacuna/kernels/cuda/primitives/answer.cuh"
#include "lacuna/kernels/cuda/primitives/async_copy.cuh"
#include "lacuna/kernels/cuda/primitives/tensor_map.cuh"
#include "lacuna/kernels/cuda/primitives/wgmma.cuh"
#include "lacuna/kernels/cuda/union_tile.cuh"

namespace lacuna::cuda {

/// Boxes: the copy engine brings whole key blocks (sm_90a); otherwise cp.async brings them row by row (sm_80).
template <class Element, int Dim, bool WithBoxes>
struct UnionTraits {
  using T = Element;
  static constexpr int dim = Dim;
  static constexpr bool boxes = WithBoxes;
  static constexpr int units = WithBoxes ? 12 : 8;  // a warp each
  static constexpr int copy_warps = 4, threads = 32 * (units + copy_warps);
  static constexpr int slots = Dim > 128 ? 2 : 4;  // key blocks of 16 behind one barrier: 32 KB, or 16 at dim 64
  static constexpr int tile_bytes = kUnitRows * Dim * 2, slot_bytes = 2 * tile_bytes, stage_bytes = slots * slot_bytes;
  static constexpr int stages = (WithBoxes ? 192 : 128) * 1024 / stage_bytes;
  static constexpr int smem_bytes = stages * (stage_bytes + 16);
  // 3 x 152 + 56 registers of 128 threads are the whole file; with 160 + 32 the copying warps spill.
  static constexpr int copy_registers = 56, unit_registers = 152;
};

/// Position in the ring of stages; consumers and producer walk it alike.
template <class Traits>
struct RingPlace {
  int stage = 0;
  std::uint32_t parity = 0;
  __device__ void next() {
    if (++stage == Traits::stages) stage = 0, parity ^= 1U;
  }
};

/// The ring as everyone sees it.
template <class Traits>
struct UnionRing {
  unsigned char* data;
  std::uint64_t* full;
  std::uint64_t* empty;

  __device__ explicit UnionRing(unsigned char* smem)
      : data(smem),
        full(reinterpret_cast<std::uint64_t*>(smem + Traits::stages * Traits::stage_bytes)),
        empty(full + Traits::stages) {}
  __device__ void init() const {
    for (int s = 0; s < Traits::stages; ++s) {
      barrier_init(full + s, Traits::boxes ? 1 : 32 * Traits::copy_warps);
      barrier_init(empty + s, Traits::units);
    }
    if constexpr (Traits::boxes) barrier_init_done();
  }
  __device__ unsigned char* keys(int stage, int slot) const {
    return data + stage * Traits::stage_bytes + slot * Traits::slot_bytes;
  }
  __device__ unsigned char* values(int stage, int slot) const { return keys(stage, slot) + Traits::tile_bytes; }
};

/// Rows of one key block by one warp, zeros behind the length. Waits for nothing.
template <class Traits>
__device__ void copy_key_block(DeviceProblem<typename Traits::T> const& p, UnionTile const& tile,
                               std::int32_t first_key, std::uint32_t keys, std::uint32_t values) {
  constexpr int chunks = Traits::dim / 8;
  int const lane = lane_id();
  std::int32_t const own_key = first_key + lane % kUnitRows;
  std::int64_t const own = own_key < tile.len_k ? p.offset(tile.sequence, tile.head_kv, own_key) : -1;
#pragma unroll 4
  for (int i = lane; i < kUnitRows * chunks; i += 32) {
    int const row = i / chunks, chunk = i % chunks;
    std::int64_t const offset = __shfl_sync(kAllLanes, own, row);
    std::int64_t const from = offset < 0 ? 0 : offset + chunk * 8;
    std::uint32_t const to = chunk_offset<kUnitRows>(row, chunk);
    copy16_or_zero(keys + to, p.k + from, offset < 0 ? 0 : 16);
    copy16_or_zero(values + to, p.v + from, offset < 0 ? 0 : 16);
  }
}

/// The copying warp's part with the copy engine: lane l < slots brings the keys of slot l, the next ones the values.
template <class Traits>
__device__ void copy_union_by_boxes(DeviceProblem<typename Traits::T> const& p, CUtensorMap const& k_map,
                                    CUtensorMap const& v_map, UnionTiles const& tiles, UnionLists const& lists,
                                    UnionRing<Traits> const& ring) {
  constexpr int slots = Traits::slots;
  int const lane = lane_id(), slot = lane % slots;
  RingPlace<Traits> place;
  for (std::int32_t t = static_cast<std::int32_t>(blockIdx.x); t < tiles.tiles; t += static_cast<int>(gridDim.x)) {
    std::int32_t const count = lists.counts[t].entries;
    if (count == 0) continue;
    UnionTile const tile(p, tiles, t);
    UnionEntry const* const entries = lists.entries + static_cast<std::int64_t>(t) * tiles.entry_room;
    UnionEntry next = slot < count ? entries[slot] : UnionEntry{0};
    for (std::int32_t first = 0; first < count; first += slots) {
      std::int32_t const key = next.first_key();
      bool const valid = first + slot < count;
      // A box would reach past what the caller holds: such a block is copied row by row.
      bool const whole = key + kUnitRows <= tile.len_k;
      if (first + slots + slot < count) next = entries[first + slots + slot];
      std::int32_t page = 0, row = key;
      if (p.page_table != nullptr) {
        if (valid && whole)
          page = p.page_table[tile.sequence * p.table_stride_sequence + tile.head_kv * p.table_stride_head +
                              key / p.page_tokens];
        row = key % p.page_tokens;
      } else if (p.first_token != nullptr) {
        row += p.first_token[tile.sequence];
      }
      barrier_wait(ring.empty + place.stage, place.parity ^ 1U);
      unsigned const boxes = __ballot_sync(kAllLanes, valid && whole && lane < 2 * slots);
      unsigned rest = __ballot_sync(kAllLanes, valid && !whole && lane < slots);
      while (rest != 0) {
        int const s = __ffs(static_cast<int>(rest)) - 1;
        rest &= rest - 1;
        copy_key_block<Traits>(p, tile, __shfl_sync(kAllLanes, key, s), smem_address(ring.keys(place.stage, s)),
                               smem_address(ring.values(place.stage, s)));
        close_copy_group();
        wait_copy_groups<0>();
        fence_async_proxy();  // a later box may land here
      }
      __syncwarp();
      if (lane == 0)
        barrier_arrive_expecting(ring.full + place.stage,
                                 static_cast<std::uint32_t>(__popc(boxes) * Traits::tile_bytes));
      __syncwarp();
      if ((boxes >> lane & 1U) != 0)
        copy_box(lane < slots ? ring.keys(place.stage, slot) : ring.values(place.stage, slot),
                 lane < slots ? &k_map : &v_map, ring.full + place.stage, 0, row, 0, tile.head_kv, page);
      place.next();
    }
  }
}

/// The same by cp.async: a warp brings one slot.
template <class Traits>
__device__ void copy_union_by_rows(DeviceProblem<typename Traits::T> const& p, UnionTiles const& tiles,
                                   UnionLists const& lists, UnionRing<Traits> const& ring) {
  int const slot = warp_id() - Traits::units;
  RingPlace<Traits> place;
  for (std::int32_t t = static_cast<std::int32_t>(blockIdx.x); t < tiles.tiles; t += static_cast<int>(gridDim.x)) {
    std::int32_t const count = lists.counts[t].entries;
    if (count == 0) continue;
    UnionTile const tile(p, tiles, t);
    UnionEntry const* const entries = lists.entries + static_cast<std::int64_t>(t) * tiles.entry_room;
    for (std::int32_t first = 0; first < count; first += Traits::slots) {
      barrier_wait(ring.empty + place.stage, place.parity ^ 1U);
      if (slot < Traits::slots && first + slot < count)
        copy_key_block<Traits>(p, tile, entries[first + slot].first_key(), smem_address(ring.keys(place.stage, slot)),
                               smem_address(ring.values(place.stage, slot)));
      barrier_arrive_after_copies(ring.full + place.stage);
      place.next();
    }
  }
  wait_copy_groups<0>();
}

/// 16 rows of queries as A operands, straight from memory; rows without a query are zeros.
template <class T, int Dim>
struct UnitQueries {
  std::uint32_t fragments[Dim / 16][4];

  __device__ __forceinline__ UnitQueries(T const* (&row)[2]) {
#pragma unroll
    for (int k = 0; k < Dim / 16; ++k)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        T const* const from = row[i % 2];
        fragments[k][i] = from == nullptr
                              ? 0
                              : *reinterpret_cast<std::uint32_t const*>(from + k * 16 + i / 2 * 8 + lane_id() % 4 * 2);
      }
  }
  __device__ __forceinline__ void get(std::uint32_t (&a)[4], int k) const {
#pragma unroll
    for (int i = 0; i < 4; ++i) a[i] = fragments[k][i];
  }
};

/// What one warp, a unit, does with the tiles of its thread block.
template <class Traits>
struct UnionUnit {
  using T = typename Traits::T;
  static constexpr int dim = Traits::dim;

  DeviceProblem<T> const& p;
  std::int32_t position[2];  // of this lane's two rows; -1: no query
  std::int32_t oldest, newest;
  float scale_log2;
  bool plain;
  RowSums<T, dim> sums;

  /// Masks and scales one block's products; `masked`: some row does not see some key.
  __device__ __forceinline__ void mask(float (&s)[2][4], std::int32_t first_key, bool masked) const {
#pragma unroll
    for (int n = 0; n < 2; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        if (!plain) s[n][i] = capped_log2(s[n][i], p.scale, p.soft_cap);
        std::int32_t const key = first_key + 8 * n + lane_id() % 4 * 2 + i % 2, query = position[i / 2];
        if (masked && (key > query || query - key >= p.window_tokens)) s[n][i] = kMinusInfinity;
      }
  }

  /// One key block, or two whose products are independent of each other. The softmax goes block by block, so that the
  /// bits do not depend on which blocks met in a stage.
  template <int Blocks, class Queries>
  __device__ __forceinline__ void visit(Queries const& queries, std::uint32_t const (&keys)[Blocks],
                                        std::int32_t const (&first_key)[Blocks], bool const (&masked)[Blocks]) {
    float s[Blocks][2][4];
#pragma unroll
    for (int b = 0; b < Blocks; ++b)
#pragma unroll
      for (int n = 0; n < 2; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i) s[b][n][i] = 0.0F;
    int const lane = lane_id(), row = lane % 8 + lane / 16 * 8, half = lane / 8 % 2;
#pragma unroll
    for (int k = 0; k < dim / 16; ++k) {
      std::uint32_t a[4];
      queries.get(a, k);
#pragma unroll
      for (int b = 0; b < Blocks; ++b) {
        std::uint32_t m[4];
        load_matrices(m, keys[b] + chunk_offset<kUnitRows>(row, 2 * k + half));
        mma<T>(s[b][0], a, m[0], m[1]);
        mma<T>(s[b][1], a, m[2], m[3]);
      }
    }
#pragma unroll
    for (int b = 0; b < Blocks; ++b)
      if (masked[b] || !plain) mask(s[b], first_key[b], masked[b]);
    float above[Blocks][2];
#pragma unroll
    for (int b = 0; b < Blocks; ++b) sums.highest_here(above[b], s[b], scale_log2);
    if (sums.outgrown(above[0])) sums.grow_to(above[0]);
    if (Blocks == 1 || !sums.outgrown(above[Blocks - 1])) {
#pragma unroll
      for (int b = 0; b < Blocks; ++b) sums.weigh(s[b], scale_log2);
#pragma unroll
      for (int b = 0; b < Blocks; ++b) sums.template add<kUnitRows>(s[b], keys[b] + Traits::tile_bytes);
    } else {
      sums.weigh(s[0], scale_log2);
      sums.template add<kUnitRows>(s[0], keys[0] + Traits::tile_bytes);
      sums.grow_to(above[Blocks - 1]);
      sums.weigh(s[Blocks - 1], scale_log2);
      sums.template add<kUnitRows>(s[Blocks - 1], keys[Blocks - 1] + Traits::tile_bytes);
    }
  }
};

/// Grid: as many blocks as run at once; block b takes tiles b, b + grid, ... A warp owns a unit's 16 rows; the copying
/// warps bring the union's key blocks, 4 dim bytes a key, through a ring of stages that every unit releases. Writes
/// each row of the answer once.
template <class Traits>
__global__ void __launch_bounds__(Traits::threads, 1)
    union_mma_kernel(DeviceProblem<typename Traits::T> const p, DeviceAnswer<typename Traits::T> const answer,
                     UnionTiles const tiles, UnionLists const lists, __grid_constant__ CUtensorMap const k_map,
                     __grid_constant__ CUtensorMap const v_map) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  constexpr bool compiled = true;
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  constexpr bool compiled = !Traits::boxes;
#else
  constexpr bool compiled = false;
#endif
  if constexpr (compiled) {
    using T = typename Traits::T;
    constexpr int dim = Traits::dim;
    extern __shared__ __align__(1024) unsigned char smem[];
    UnionRing<Traits> const ring(smem);
    int const warp = warp_id(), lane = lane_id();
    if (threadIdx.x == 0) ring.init();
    __syncthreads();
    if (warp >= Traits::units) {
      if constexpr (Traits::boxes) {
        give_registers<Traits::copy_registers>();
        if (warp == Traits::units) copy_union_by_boxes<Traits>(p, k_map, v_map, tiles, lists, ring);
      } else {
        copy_union_by_rows<Traits>(p, tiles, lists, ring);
      }
      return;
    }
    if constexpr (Traits::boxes) take_registers<Traits::unit_registers>();

    RingPlace<Traits> place;
    for (std::int32_t t = static_cast<std::int32_t>(blockIdx.x); t < tiles.tiles; t += static_cast<int>(gridDim.x)) {
      UnionTile const tile(p, tiles, t);
      if (tile.empty()) continue;
      std::int32_t const count = lists.counts[t].entries;
      UnionEntry const* const entries = lists.entries + static_cast<std::int64_t>(t) * tiles.entry_room;
      bool const present = tile.has(tiles.group, warp);
      std::int32_t const head = tile.head(tiles.group, warp), block = tile.block(tiles.group, warp);
      std::int32_t const first_token = p.first_query(tile.sequence) - tile.first_position();
      T const* query[2];
      UnionUnit<Traits> unit{p, {}, 0, 0, 0.0F, p.soft_cap == 0.0F && p.scale > 0.0F, {}};
      unit.scale_log2 = unit.plain ? p.scale * kLog2E : 1.0F;
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        std::int32_t const at = block * kUnitRows + lane / 4 + 8 * r;
        unit.position[r] = present && at >= tile.first_position() && at < tile.len_k ? at : -1;
        query[r] = unit.position[r] < 0 ? nullptr : p.query(first_token + at, head);
      }
      unit.oldest = max(block * kUnitRows, tile.first_position());
      unit.newest = min(block * kUnitRows + kUnitRows, tile.len_k) - 1;
      UnitQueries<T, dim> const queries(query);

      UnionEntry ahead = lane < count ? entries[lane] : UnionEntry{0};
      for (std::int32_t first = 0; first < count; first += 32) {
        UnionEntry const own = ahead;
        std::int32_t const key = own.first_key();
        unsigned const kept = __ballot_sync(kAllLanes, first + lane < count && own.kept_by(warp));
        unsigned const masked =
            __ballot_sync(kAllLanes, key + kUnitRows - 1 > unit.oldest || unit.newest - key >= p.window_tokens);
        if (first + 32 + lane < count) ahead = entries[first + 32 + lane];
        std::int32_t const here = min(32, count - first);
        for (std::int32_t i = 0; i < here; i += Traits::slots) {
          unsigned todo = kept >> i & ((1U << Traits::slots) - 1);
          barrier_wait(ring.full + place.stage, place.parity);
          std::uint32_t const stage = smem_address(ring.keys(place.stage, 0));
          while (todo != 0) {
            int const a = __ffs(static_cast<int>(todo)) - 1;
            todo &= todo - 1;
            std::uint32_t const at_a = stage + static_cast<std::uint32_t>(a * Traits::slot_bytes);
            std::int32_t const key_a = __shfl_sync(kAllLanes, key, i + a);
            bool const masked_a = (masked >> (i + a) & 1U) != 0;
            if (todo != 0) {
              int const b = __ffs(static_cast<int>(todo)) - 1;
              todo &= todo - 1;
              unit.template visit<2>(queries, {at_a, stage + static_cast<std::uint32_t>(b * Traits::slot_bytes)},
                                     {key_a, __shfl_sync(kAllLanes, key, i + b)},
                                     {masked_a, (masked >> (i + b) & 1U) != 0});
            } else {
              unit.template visit<1>(queries, {at_a}, {key_a}, {masked_a});
            }
          }
          __syncwarp();
          if (lane == 0) barrier_arrive(ring.empty + place.stage);
          place.next();
        }
      }

      float const sink = present && p.sink_logits != nullptr ? p.sink_logits[head] * kLog2E : kMinusInfinity;
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        float const lse = unit.sums.finish(r, sink);
        if (unit.position[r] < 0) continue;
        if (lane % 4 == 0) answer.set_lse(first_token + unit.position[r], head, lse);
        T* const out = answer.row(first_token + unit.position[r], head) + lane % 4 * 2;
#pragma unroll
        for (int n = 0; n < dim / 8; ++n)
          *reinterpret_cast<std::uint32_t*>(out + n * 8) =
              pack2<T>(unit.sums.values[n][2 * r], unit.sums.values[n][2 * r + 1]);
      }
    }
  }
}

/// Key blocks of 16 rows of a head, from any row on; a cache without pages is one long page.
template <class Traits>
Status encode_key_boxes(CUtensorMap& map, BatchKv<typename Traits::T> const& kv, void const* data) {
  auto const bytes = [](std::int64_t elements) { return static_cast<cuuint64_t>(elements) * 2; };
  constexpr cuuint64_t kUnknown = cuuint64_t{1} << 31;  // the caller's memory ends where its lengths say
  BoxedTensor tensor{data, 5};
  tensor.extents = {64, kv.paged() ? static_cast<cuuint64_t>(kv.page_tokens) : kUnknown, Traits::dim / 64,
                    static_cast<cuuint64_t>(kv.heads_kv), kv.paged() ? kUnknown : 1};
  tensor.stride_bytes = {bytes(kv.stride_token), 128, bytes(kv.heads_kv > 1 ? kv.stride_head : 8),
                         bytes(kv.paged() ? kv.stride_page : 8)};
  tensor.box = {64, kUnitRows, Traits::dim / 64, 1, 1};
  return encode_tensor_map(map, tensor_map_type<typename Traits::T>(), tensor);
}

template <class Traits>
Status launch_union_mma(Cuda exec, BatchProblem<typename Traits::T> const& problem,
                        AttentionOut<typename Traits::T> const& out, UnionTiles const& tiles, UnionLists const& lists,
                        int blocks) {
  CUtensorMap k_map{}, v_map{};
  if constexpr (Traits::boxes) {
    if (Status s = encode_key_boxes<Traits>(k_map, problem.kv, problem.kv.k); !s) return s;
    if (Status s = encode_key_boxes<Traits>(v_map, problem.kv, problem.kv.v); !s) return s;
  }
  return launch(exec, dim3(static_cast<unsigned>(std::min(blocks, tiles.tiles))), dim3(Traits::threads),
                Traits::smem_bytes, union_mma_kernel<Traits>, DeviceProblem<typename Traits::T>(problem),
                DeviceAnswer<typename Traits::T>(out), tiles, lists, k_map, v_map);
}

}  // namespace lacuna::cuda
