#pragma once

#include <cstdint>

#include "lacuna/kernels/cuda/flash_mma_rows.cuh"
#include "lacuna/kernels/cuda/launch.cuh"
#include "lacuna/kernels/cuda/path.cuh"
#include "lacuna/kernels/cuda/primitives/answer.cuh"
#include "lacuna/kernels/cuda/primitives/async_copy.cuh"
#include "lacuna/kernels/cuda/primitives/tensor_map.cuh"
#include "lacuna/kernels/cuda/primitives/wgmma.cuh"
#include "lacuna/kernels/cuda/union_copy.cuh"
#include "lacuna/kernels/cuda/union_tile.cuh"

namespace lacuna::cuda {

/// 16 rows of queries as A operands; rows without a query are zeros. In registers straight from memory, or in `tile`,
/// shared memory of this warp's own, read anew for each product.
template <class Traits>
struct UnitQueries {
  using T = typename Traits::T;
  std::uint32_t fragments[Traits::queries_in_registers ? Traits::dim / 16 : 1][4];
  std::uint32_t tile;

  /// row(r): where row r of the unit begins, or null; anywhere: an address that may be read.
  template <class Row>
  __device__ __forceinline__ UnitQueries(std::uint32_t own_tile, T const* anywhere, Row const& row) : tile(own_tile) {
    if constexpr (Traits::queries_in_registers) {
      T const* const from[2] = {row(lane_id() / 4), row(lane_id() / 4 + 8)};
#pragma unroll
      for (int k = 0; k < Traits::dim / 16; ++k)
#pragma unroll
        for (int i = 0; i < 4; ++i)
          fragments[k][i] =
              from[i % 2] == nullptr
                  ? 0
                  : *reinterpret_cast<std::uint32_t const*>(from[i % 2] + k * 16 + i / 2 * 8 + lane_id() % 4 * 2);
    } else {
      __syncwarp();  // nobody reads the last tile's queries any more
      for (int r = 0; r < kUnitRows; ++r) {
        T const* const from = row(r);
        for (int chunk = lane_id(); chunk < Traits::dim / 8; chunk += 32)
          copy16_or_zero(tile + chunk_offset<kUnitRows>(r, chunk), from == nullptr ? anywhere : from + chunk * 8,
                         from == nullptr ? 0 : 16);
      }
      close_copy_group();
      wait_copy_groups<0>();
      __syncwarp();
    }
  }
  __device__ __forceinline__ void get(std::uint32_t (&a)[4], int k) const {
    if constexpr (Traits::queries_in_registers) {
#pragma unroll
      for (int i = 0; i < 4; ++i) a[i] = fragments[k][i];
    } else {
      load_matrices(a, tile + chunk_offset<kUnitRows>(lane_id() % 16, 2 * k + lane_id() / 16));
    }
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
  RowSums<T, dim> sums[1];

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
    float s[Blocks][1][2][4];
#pragma unroll
    for (int b = 0; b < Blocks; ++b)
#pragma unroll
      for (int n = 0; n < 2; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i) s[b][0][n][i] = 0.0F;
    int const lane = lane_id(), row = lane % 8 + lane / 16 * 8, half = lane / 8 % 2;
#pragma unroll
    for (int k = 0; k < dim / 16; ++k) {
      std::uint32_t a[4];
      queries.get(a, k);
#pragma unroll
      for (int b = 0; b < Blocks; ++b) {
        std::uint32_t m[4];
        load_matrices(m, keys[b] + chunk_offset<kUnitRows>(row, 2 * k + half));
        mma<T>(s[b][0][0], a, m[0], m[1]);
        mma<T>(s[b][0][1], a, m[2], m[3]);
      }
    }
    float above[Blocks][2];
#pragma unroll
    for (int b = 0; b < Blocks; ++b) {
      if (masked[b] || !plain) mask(s[b][0], first_key[b], masked[b]);
      sums[0].highest_here(above[b], s[b][0], scale_log2);
    }
    constexpr int last = Blocks - 1;
    if (sums[0].outgrown(above[0])) sums[0].grow_to(above[0]);
    if (Blocks == 1 || !sums[0].outgrown(above[last])) {
#pragma unroll
      for (int b = 0; b < Blocks; ++b) sums[0].weigh(s[b][0], scale_log2);
#pragma unroll
      for (int b = 0; b < Blocks; ++b) add_values<T, dim>(sums, s[b], keys[b] + Traits::tile_bytes);
    } else {
      sums[0].weigh(s[0][0], scale_log2);
      add_values<T, dim>(sums, s[0], keys[0] + Traits::tile_bytes);
      sums[0].grow_to(above[last]);
      sums[0].weigh(s[last][0], scale_log2);
      add_values<T, dim>(sums, s[last], keys[last] + Traits::tile_bytes);
    }
  }
};

/// Grid: as many blocks as run at once; each draws tiles until there are none. A warp owns a unit's 16 rows; the
/// copying warps bring the union's key blocks, 4 dim bytes a key, through a ring of stages that every unit releases.
/// Writes each row of the answer once.
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
      if constexpr (Traits::boxes) give_registers<Traits::copy_registers>();
      copy_unions<Traits>(p, k_map, v_map, tiles, lists, ring);
      return;
    }
    if constexpr (Traits::boxes) take_registers<Traits::unit_registers>();

    RingPlace<Traits::stages> place;
    RingPlace<Traits::works> works;
    for (UnionWork work = ring.receive(works); work.tile >= 0; work = ring.receive(works)) {
      UnionTile const tile(p, tiles, work.tile);
      std::int32_t const count = work.entries;
      UnionEntry const* const entries = lists.entries + static_cast<std::int64_t>(work.tile) * tiles.entry_room;
      bool const present = tile.has(tiles.group, warp);
      std::int32_t const head = tile.head(tiles.group, warp), block = tile.block(tiles.group, warp);
      std::int32_t const first_token = p.first_query(tile.sequence) - tile.first_position();
      UnionUnit<Traits> unit{p, {}, 0, 0, 0.0F, p.soft_cap == 0.0F && p.scale > 0.0F, {}};
      unit.scale_log2 = unit.plain ? p.scale * kLog2E : 1.0F;
      auto const position = [&](std::int32_t row) {
        std::int32_t const at = block * kUnitRows + row;
        return present && at >= tile.first_position() && at < tile.len_k ? at : -1;
      };
      unit.position[0] = position(lane / 4);
      unit.position[1] = position(lane / 4 + 8);
      unit.oldest = max(block * kUnitRows, tile.first_position());
      unit.newest = min(block * kUnitRows + kUnitRows, tile.len_k) - 1;
      UnitQueries<Traits> const queries(smem_address(smem) + static_cast<std::uint32_t>(warp * Traits::tile_bytes), p.q,
                                        [&](std::int32_t row) -> T const* {
                                          std::int32_t const at = position(row);
                                          return at < 0 ? nullptr : p.query(first_token + at, head);
                                        });

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
          barrier_wait(ring.full + place.slot, place.parity);
          std::uint32_t const stage = smem_address(ring.keys(place.slot, 0));
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
          if (lane == 0) barrier_arrive(ring.empty + place.slot);
          place.next();
        }
      }

      float const sink = present && p.sink_logits != nullptr ? p.sink_logits[head] * kLog2E : kMinusInfinity;
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        float const lse = unit.sums[0].finish(r, sink);
        if (unit.position[r] < 0) continue;
        if (lane % 4 == 0) answer.set_lse(first_token + unit.position[r], head, lse);
        T* const out = answer.row(first_token + unit.position[r], head) + lane % 4 * 2;
#pragma unroll
        for (int n = 0; n < dim / 8; ++n)
          *reinterpret_cast<std::uint32_t*>(out + n * 8) =
              pack2<T>(unit.sums[0].values[n][2 * r], unit.sums[0].values[n][2 * r + 1]);
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
