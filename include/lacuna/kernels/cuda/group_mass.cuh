#pragma once

#include <cstdint>

#include "lacuna/kernels/cuda/block_rows.cuh"
#include "lacuna/kernels/cuda/dot_tile.cuh"
#include "lacuna/kernels/cuda/group_mass_wgmma.cuh"
#include "lacuna/kernels/cuda/group_rows.cuh"
#include "lacuna/kernels/cuda/launch.cuh"
#include "lacuna/kernels/cuda/path.cuh"
#include "lacuna/kernels/cuda/primitives/warp.cuh"
#include "lacuna/kernels/group_mass.hpp"

namespace lacuna::cuda {

/// A tile is Rows groups of queries of one head by Keys groups of keys. Groups are met stride by stride: query
/// stride - 1 - u of each group with key u of each, so that the tile's sums are those of the antidiagonals.
template <Storage T, int Dim, int Rows, int Keys>
struct GroupMassTraits {
  using Element = T;
  static constexpr int dim = Dim, rows = Rows, keys = Keys, row_bytes = 2 * Dim;
  static constexpr int warps_across = Keys >= 64 ? 2 : 1, keys_per_warp = Keys / warps_across;
  static constexpr int threads = Rows / 32 * warps_across * 32;
  static constexpr int stages = 2, pitch = Keys + 1;
  static constexpr std::int64_t stage_bytes = std::int64_t{row_bytes} * (Rows + Keys);
  static constexpr std::int64_t smem_bytes =
      (stages * stage_bytes > 4 * Rows * pitch ? stages * stage_bytes : 4 * Rows * pitch) + 16 * Rows;
};

/// Highest logit and sum of each piece of each row of the tile, whose logits lie in shared memory.
template <class Traits>
__device__ void write_pieces(GroupMassParameters<typename Traits::Element> const& p, float const* logits,
                             std::int32_t const* rows, std::int32_t sequence, std::int32_t head, std::int32_t row0,
                             std::int32_t first_key) {
  std::int32_t const *const sequences = rows, *const groups = rows + Traits::rows,
                            *const oldest = groups + Traits::rows;
  int const pieces = Traits::keys / p.sizes.piece;
  for (int i = static_cast<int>(threadIdx.x); i < Traits::rows * pieces; i += Traits::threads) {
    int const row = i % Traits::rows, piece = i / Traits::rows, begin = piece * p.sizes.piece;
    std::int32_t const key = first_key + begin;
    if (sequences[row] != sequence || key > groups[row]) continue;
    int const seen = min(groups[row] + 1 - key, p.sizes.piece), hidden = max(oldest[row] - key, 0);
    float const* const own = logits + row * Traits::pitch + begin;
    float peak = -INFINITY, sum = 0.0F;
    for (int j = hidden; j < seen; ++j) peak = fmaxf(peak, own[j]);
    float const base = peak == -INFINITY ? 0.0F : peak;
    for (int j = hidden; j < seen; ++j) sum += exp2_fast(own[j] - base);
    std::int64_t const at = std::int64_t{head} * p.chunk_rows * p.sizes.per_block + row0 + row;
    p.masses[at * p.sizes.pieces + key / p.sizes.piece] = {peak, sum};
  }
}

/// Grid: (tiles of key groups, tiles of the chunk's query groups, heads_q). Reads stride * dim elements per group, and
/// writes 8 bytes per query group and piece.
template <class Traits>
__global__ void __launch_bounds__(Traits::threads, 1)
    group_mass_kernel(__grid_constant__ GroupMassParameters<typename Traits::Element> const p) {
  using T = typename Traits::Element;
  extern __shared__ __align__(128) unsigned char memory[];
  std::uint32_t const tiles = smem_address(memory);
  float* const logits = reinterpret_cast<float*>(memory);
  auto* const rows = reinterpret_cast<std::int32_t*>(memory + Traits::smem_bytes - 16 * Traits::rows);
  std::int32_t *const sequences = rows, *const groups = rows + Traits::rows, *const oldest = groups + Traits::rows;
  std::int32_t const first_key = static_cast<std::int32_t>(blockIdx.x) * Traits::keys;
  std::int32_t const row0 = static_cast<std::int32_t>(blockIdx.y) * Traits::rows;
  std::int32_t const head = static_cast<std::int32_t>(blockIdx.z), stride = p.sizes.stride;
  int const warp = warp_id(), warp_row = warp / Traits::warps_across * 32;
  int const warp_key = warp % Traits::warps_across * Traits::keys_per_warp;
  int first_sequence = INT32_MAX, last_sequence = -1;
  for (int i = static_cast<int>(threadIdx.x); i < Traits::rows; i += Traits::threads) {
    QueryGroup const query(p, row0 + i);
    sequences[i] = query.sequence;
    groups[i] = query.group;
    oldest[i] = query.oldest;
  }
  __syncthreads();
  for (int i = lane_id(); i < Traits::rows; i += 32)
    if (sequences[i] >= 0 && groups[i] >= first_key) {
      first_sequence = min(first_sequence, sequences[i]);
      last_sequence = max(last_sequence, sequences[i]);
    }
  first_sequence = warp_min(first_sequence);
  last_sequence = warp_max(last_sequence);

  for (std::int32_t sequence = first_sequence; sequence <= last_sequence; ++sequence) {
    std::int32_t const len_k = p.problem.len_k(sequence, head / p.problem.group);
    std::int32_t const first_token = p.problem.first_query(sequence);
    std::int32_t const first_position = len_k - p.problem.len_q(sequence);
    auto const fetch = [&](int u) {
      std::uint32_t const tile = tiles + static_cast<std::uint32_t>(u % Traits::stages * Traits::stage_bytes);
      copy_tile_rows<Traits::row_bytes, Traits::threads>(tile, Traits::rows, [&](int i) -> T const* {
        std::int32_t const position = (groups[i] + 1) * stride - 1 - u;
        bool const there = sequences[i] == sequence && position >= first_position && position < len_k;
        return there ? p.problem.query(first_token + position - first_position, head) : nullptr;
      });
      copy_tile_rows<Traits::row_bytes, Traits::threads>(
          tile + Traits::rows * Traits::row_bytes, Traits::keys, [&](int i) -> T const* {
            std::int32_t const key = (first_key + i) * stride + u;
            return key < len_k ? p.problem.k + p.problem.offset(sequence, head / p.problem.group, key) : nullptr;
          });
      close_copy_group();
    };
    float sums[2][Traits::keys_per_warp / 8][4] = {};
    fetch(0);
    for (int u = 0; u < stride; ++u) {
      if (u + 1 < stride) {
        fetch(u + 1);
        wait_copy_groups<1>();
      } else {
        wait_copy_groups<0>();
      }
      __syncthreads();
      std::uint32_t const tile = tiles + static_cast<std::uint32_t>(u % Traits::stages * Traits::stage_bytes);
      multiply_tiles<T, Traits::dim>(tile, tile + Traits::rows * Traits::row_bytes, warp_row, warp_key, sums);
      __syncthreads();
    }
    float const share = 1.0F / static_cast<float>(stride);
#pragma unroll
    for (auto& tile_rows : sums)
#pragma unroll
      for (auto& sum : tile_rows)
#pragma unroll
        for (float& x : sum) x *= share;
    make_logits(p.problem, sums);
#pragma unroll
    for (int part = 0; part < 4; ++part)
#pragma unroll
      for (int n = 0; n < Traits::keys_per_warp / 8; ++n)
#pragma unroll
        for (int e = 0; e < 2; ++e)
          logits[(warp_row + part * 8 + lane_id() / 4) * Traits::pitch + warp_key + n * 8 + lane_id() % 4 * 2 + e] =
              sums[part / 2][n][part % 2 * 2 + e];
    __syncthreads();
    write_pieces<Traits>(p, logits, rows, sequence, head, row0, first_key);
    __syncthreads();
  }
}

/// Grid: (rows of the chunk, heads_q). A block brings the pieces of one row of blocks to one scale and sums them, group
/// by group in order. Reads 8 bytes per query group and piece twice.
template <class T>
__global__ void __launch_bounds__(256) join_groups_kernel(__grid_constant__ GroupMassParameters<T> const p) {
  __shared__ float peaks[128], shares[128];
  std::int32_t const chunk_row = static_cast<std::int32_t>(blockIdx.x), head = static_cast<std::int32_t>(blockIdx.y);
  BlockRows::Row const row = p.rows.find(p.first_row + chunk_row);
  if (!row.there) return;
  std::int32_t const per_block = p.sizes.per_block, piece = p.sizes.piece, stride = p.sizes.stride;
  std::int32_t const first = max(row.block * per_block, (row.len_k - row.len_q) / stride);
  std::int32_t const end = min((row.block + 1) * per_block, (row.len_k + stride - 1) / stride);
  float2 const* const masses = p.masses + (std::int64_t{head} * p.chunk_rows + chunk_row) * per_block * p.sizes.pieces;
  auto const of_group = [&](std::int32_t group) { return masses + std::int64_t{group % per_block} * p.sizes.pieces; };
  for (std::int32_t group = first + warp_id(); group < end; group += 8) {
    float2 const* const own = of_group(group);
    float peak = -INFINITY, total = 0.0F;
    for (std::int32_t i = lane_id(); i <= group / piece; i += 32) peak = fmaxf(peak, own[i].x);
    for (int lanes = 16; lanes > 0; lanes /= 2) peak = fmaxf(peak, __shfl_xor_sync(kAllLanes, peak, lanes));
    float const base = peak == -INFINITY ? 0.0F : peak;
    for (std::int32_t i = lane_id(); i <= group / piece; i += 32) total += own[i].y * exp2_fast(own[i].x - base);
    for (int lanes = 16; lanes > 0; lanes /= 2) total += __shfl_xor_sync(kAllLanes, total, lanes);
    if (lane_id() == 0) {
      peaks[group % per_block] = base;
      shares[group % per_block] = 1.0F / (total * static_cast<float>(end - first));
    }
  }
  __syncthreads();
  float* const out = p.scores + head * p.scores_stride_head + chunk_row * p.scores_stride_row;
  for (std::int32_t block = static_cast<std::int32_t>(threadIdx.x); block <= row.block; block += 256) {
    float sum = 0.0F;
    for (std::int32_t group = first; group < end; ++group)
      for (std::int32_t i = block * per_block / piece; i < (block + 1) * per_block / piece && i <= group / piece; ++i) {
        float2 const own = of_group(group)[i];
        sum += own.y * exp2_fast(own.x - peaks[group % per_block]) * shares[group % per_block];
      }
    out[block] = block < row.oldest ? -INFINITY : sum;
  }
}

inline constexpr std::int64_t kGroupTileKeys = 64;

template <class Traits, Storage T>
Status launch_group_mass(Cuda exec, GroupMassBatchArgs<T> const& args) {
  GroupSizes const sizes(args.problem.max_len_k, args.stride, args.block_tokens, kGroupTileKeys);
  std::int64_t const heads = args.problem.heads_q(), rows = args.scores.extent(1);
  Workspace memory = args.scratch;
  auto* const masses = memory.take<float2>(heads * rows * sizes.per_block * sizes.pieces);
  if (Status s = memory.check("group_mass: the workspace is smaller than planned"); !s) return s;
  GroupMassParameters<T> const p{DeviceProblem<T>(args.problem),
                                 BlockRows(args.problem, args.block_tokens),
                                 sizes,
                                 masses,
                                 args.scores.data,
                                 args.scores.stride(0),
                                 args.scores.stride(1),
                                 static_cast<std::int32_t>(args.first_row),
                                 static_cast<std::int32_t>(rows)};
  std::int64_t const groups = (args.problem.max_len_k + args.stride - 1) / args.stride;
  auto const grid = [&](std::int64_t keys_of_block, std::int64_t rows_of_block) {
    return dim3(static_cast<unsigned>((groups + keys_of_block - 1) / keys_of_block),
                static_cast<unsigned>((rows * sizes.per_block + rows_of_block - 1) / rows_of_block),
                static_cast<unsigned>(heads));
  };
  using Hopper = GroupMassWgmmaTraits<T, Traits::dim>;
  // Only where it is asked for: it has not been run on a device.
  bool const hopper =
      path() == Path::hopper && group_mass_wgmma_serves(sizes) && has_hopper_body(group_mass_wgmma_kernel<Hopper>);
  Status s = hopper ? launch(exec, grid(Hopper::keys * Hopper::tiles_per_block, Hopper::rows), Hopper::threads,
                             Hopper::smem_bytes, group_mass_wgmma_kernel<Hopper>, p)
                    : launch(exec, grid(Traits::keys, Traits::rows), Traits::threads, Traits::smem_bytes,
                             group_mass_kernel<Traits>, p);
  if (!s) return s;
  return launch(exec, {static_cast<unsigned>(rows), static_cast<unsigned>(heads), 1}, 256, 0, join_groups_kernel<T>, p);
}

/// Large tiles where a block may have 160 KB of shared memory, small ones elsewhere. Pieces, and so the sums, are
/// alike.
template <int Dim, Storage T>
Status choose_group_mass(Cuda exec, GroupMassBatchArgs<T> const& args) {
  using Large = GroupMassTraits<T, Dim, Dim == 256 ? 64 : 128, Dim == 256 ? 64 : 128>;
  using Small = GroupMassTraits<T, Dim, Dim == 256 ? 32 : 64, 64>;
  int device = 0, most = 0;
  if (cudaGetDevice(&device) != cudaSuccess ||
      cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device) != cudaSuccess)
    return launched();
  return most >= Large::smem_bytes ? launch_group_mass<Large>(exec, args) : launch_group_mass<Small>(exec, args);
}

}  // namespace lacuna::cuda

namespace lacuna {

/// For chunks of up to `rows` rows.
inline void reserve_group_mass(Cuda, BatchShape const& shape, std::int64_t stride, std::int64_t block_tokens,
                               std::int64_t rows, Workspace& memory) {
  cuda::GroupSizes const sizes(shape.each.len_k, stride, block_tokens, cuda::kGroupTileKeys);
  memory.take<float2>(shape.each.heads_q * rows * sizes.per_block * sizes.pieces);
}

template <Storage T>
Status group_mass(Cuda exec, GroupMassBatchArgs<T> const& args) {
  if (Status s = args.check(); !s) return s;
  if (Status s = cuda::check_aligned(args.problem, "group_mass: rows must begin at multiples of 16 bytes"); !s)
    return s;
  if (args.problem.batch == 0 || args.scores.extent(1) == 0 || args.problem.max_len_k == 0) return {};
  switch (args.problem.dim()) {
    case 64: return cuda::choose_group_mass<64>(exec, args);
    case 128: return cuda::choose_group_mass<128>(exec, args);
    case 256: return cuda::choose_group_mass<256>(exec, args);
    default: return Status::invalid("group_mass: dim must be 64, 128 or 256", args.problem.dim(), 0);
  }
}

}  // namespace lacuna
