#pragma once

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdint>

#include "lacuna/core/batch_problem.hpp"
#include "lacuna/core/exec.hpp"
#include "lacuna/core/workspace.hpp"
#include "lacuna/index/block_index.hpp"
#include "lacuna/kernels/cuda/flash_wgmma_consumer.cuh"
#include "lacuna/kernels/cuda/flash_wgmma_producer.cuh"
#include "lacuna/kernels/cuda/flash_wgmma_tile.cuh"
#include "lacuna/kernels/cuda/launch.cuh"
#include "lacuna/kernels/cuda/path.cuh"
#include "lacuna/kernels/cuda/primitives/tensor_map.cuh"

namespace lacuna::cuda {

/// Grid: as many blocks as fit the device; each draws tiles until there are none. A block owns one tile at a time: one
/// warp brings queries, keys and values by the copy engine, a warpgroup for every 64 rows multiplies. Reads a tile's
/// queries once and 2 * keys * dim * 2 bytes a step, from L2 for the most part; writes each answer once.
template <class Tile>
__global__ void __launch_bounds__(HopperPlan<Tile>::threads, Tile::blocks_per_sm)
    flash_wgmma_kernel(__grid_constant__ HopperArgs<typename Tile::Element> const args) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  using Plan = HopperPlan<Tile>;
  extern __shared__ __align__(1024) std::byte hopper_smem[];
  std::byte* const smem = hopper_smem;
  auto& barriers = *reinterpret_cast<HopperBarriers<Tile>*>(smem + Plan::barriers_at);
  auto* const works = reinterpret_cast<HopperWork<Tile>*>(smem + Plan::works_at);
  auto* const steps = reinterpret_cast<HopperStep<Tile>*>(smem + Plan::steps_at);
  if (threadIdx.x == 0) {
    constexpr int kWarps = Tile::consumers * 4;
    for (int buffer = 0; buffer < Tile::query_buffers; ++buffer) {
      barrier_init(&barriers.queries_full[buffer], 1);
      barrier_init(&barriers.queries_empty[buffer], kWarps);
    }
    for (int stage = 0; stage < Tile::stages; ++stage) {
      barrier_init(&barriers.keys_full[stage], 1);
      barrier_init(&barriers.keys_empty[stage], kWarps);
      barrier_init(&barriers.values_full[stage], 1);
      barrier_init(&barriers.values_empty[stage], kWarps);
    }
    barrier_init_done();
  }
  __syncthreads();
  if (threadIdx.x / 128 == Tile::consumers) {
    give_registers<Tile::producer_registers>();
    if (threadIdx.x / 32 == Tile::consumers * 4) HopperProducer<Tile>(args, smem, barriers, works, steps).run();
  } else {
    take_registers<Tile::consumer_registers>();
    HopperConsumer<Tile>(args, smem, barriers, works, steps).run();
  }
#endif
}

namespace detail {

/// What the copy engine asks of an address or of a stride in elements.
inline bool boxable(void const* p) { return reinterpret_cast<std::uintptr_t>(p) % 16 == 0; }
inline bool boxable(std::int64_t stride_elements) { return stride_elements >= 0 && stride_elements % 8 == 0; }

template <class T>
bool flash_serves(BatchProblem<T> const& p, AttentionOut<T> const& out) {
  bool const dims = p.dim() == 64 || p.dim() == 128 || p.dim() == 256;
  bool const queries = boxable(p.q.data) && boxable(p.q.stride(0)) && boxable(p.q.stride(1));
  bool const keys = boxable(p.kv.k) && boxable(p.kv.v) && boxable(p.kv.stride_head) && boxable(p.kv.stride_token) &&
                    (!p.kv.paged() || (boxable(p.kv.stride_page) && p.kv.page_tokens % kWarpRows == 0));
  bool const answers = boxable(out.out.data) && boxable(out.out.stride(0)) && boxable(out.out.stride(1));
  return dims && queries && keys && answers && p.logit_scale() > 0.0F && p.tokens_q() > 0 && p.max_len_k > 0;
}

/// Rows of `dim` elements, heads and pages, in boxes of `box_rows` rows that are `halves` lines of 64 wide.
template <class T>
Status encode_rows(CUtensorMap& map, T const* data, std::int64_t dim, std::int64_t rows, std::int64_t stride_row,
                   std::int64_t heads, std::int64_t stride_head, std::int64_t stride_page, std::int64_t box_rows,
                   std::int64_t halves) {
  BoxedTensor tensor;
  tensor.data = data;
  tensor.rank = 5;
  auto const extent = [](std::int64_t n) { return static_cast<cuuint64_t>(n); };
  constexpr std::int64_t kAnyPage = INT32_MAX;  // the table names only pages that are there
  tensor.extents = {64, extent(rows), extent(dim / 64), extent(heads), extent(stride_page == 0 ? 1 : kAnyPage)};
  // An axis of one element needs a stride too; any that is allowed will do.
  tensor.stride_bytes = {extent(std::max<std::int64_t>(stride_row, dim) * 2), 128,
                         extent(std::max<std::int64_t>(stride_head, dim) * 2),
                         extent(std::max<std::int64_t>(stride_page, dim) * 2)};
  tensor.box = {64, static_cast<cuuint32_t>(box_rows), static_cast<cuuint32_t>(halves), 1, 1};
  return encode_tensor_map(map, tensor_map_type<T>(), tensor);
}

/// The same rows in boxes of whole rows, groups of 8 behind each other: the fourth axis overlaps the second.
template <class T>
Status encode_grouped_rows(CUtensorMap& map, T const* data, std::int64_t dim, std::int64_t stride_row,
                           std::int64_t heads, std::int64_t stride_head, std::int64_t box_rows) {
  BoxedTensor tensor;
  tensor.data = data;
  tensor.rank = 5;
  auto const bytes = [](std::int64_t elements) { return static_cast<cuuint64_t>(elements) * 2; };
  auto const halves = static_cast<cuuint32_t>(dim / 64);
  tensor.extents = {64, 8, halves, INT32_MAX, static_cast<cuuint64_t>(heads)};
  tensor.stride_bytes = {bytes(stride_row), 128, bytes(stride_row), bytes(std::max(stride_head, dim))};
  tensor.box = {64, 8, halves, static_cast<cuuint32_t>(box_rows), 1};
  tensor.every = {1, 1, 1, 8, 1};
  return encode_tensor_map(map, tensor_map_type<T>(), tensor);
}

/// Keys that one box may bring: never across the end of a page or of a block of a list.
template <class Tile, class T>
std::int64_t key_box_rows(BatchProblem<T> const& p, std::int64_t block_tokens) {
  std::int64_t box = Tile::keys;
  auto const fit = [&](std::int64_t run) {
    while (run % box != 0) box /= 2;
  };
  if (p.kv.paged()) fit(p.kv.page_tokens);
  if (block_tokens > 0) fit(block_tokens);
  return box;
}

inline int multiprocessors() {
  int device = 0, count = 1;
  if (cudaGetDevice(&device) == cudaSuccess) cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device);
  return count;
}

/// `complete` adds to the arguments what only its index knows.
template <class Tile, class T, class Complete>
Status launch_flash(Cuda exec, BatchProblem<T> const& p, AttentionOut<T> const& out, std::int64_t block_tokens,
                    std::int64_t span, Workspace scratch, Complete&& complete) {
  using Plan = HopperPlan<Tile>;
  auto* const next_tile = scratch.take<std::int32_t>(1);
  if (Status s = scratch.check("flash_wgmma: scratch is too small"); !s) return s;
  std::int64_t const box = key_box_rows<Tile>(p, block_tokens);
  HopperArgs<T> args{.queries = {},
                     .keys = {},
                     .values = {},
                     .problem = DeviceProblem<T>(p),
                     .answer = DeviceAnswer<T>(out),
                     .lists = {},
                     .slashes = {},
                     .column_keys = {},
                     .column_values = {},
                     .next_tile = next_tile,
                     .span = static_cast<std::int32_t>(span),
                     .key_box_rows = static_cast<std::int32_t>(box)};
  Status s = encode_rows(args.queries, p.q.data, p.dim(), p.tokens_q(), p.q.stride(0), p.heads_q(), p.q.stride(1), 0,
                         std::min<std::int64_t>(span, 64), 1);
  if (!s) return s;
  std::int64_t const rows = p.kv.paged() ? p.kv.page_tokens : INT32_MAX;
  std::int64_t const stride_page = p.kv.paged() ? p.kv.stride_page : 0;
  std::int64_t const halves = box == Tile::keys ? Plan::halves : 1;
  for (bool const values : {false, true}) {
    CUtensorMap& map = values ? args.values : args.keys;
    T const* const data = values ? p.kv.v : p.kv.k;
    if constexpr (Tile::grouped)
      s = encode_grouped_rows(map, data, p.dim(), p.kv.stride_token, p.heads_kv(), p.kv.stride_head, box);
    else
      s = encode_rows(map, data, p.dim(), rows, p.kv.stride_token, p.heads_kv(), p.kv.stride_head, stride_page, box,
                      halves);
    if (!s) return s;
  }
  if (Status completed = complete(args); !completed) return completed;
  cudaError_t const error = cudaMemsetAsync(next_tile, 0, sizeof(std::int32_t), exec.stream);
  if (error != cudaSuccess) return {Errc::launch_failed, cudaGetErrorString(error), error, 0};
  std::int64_t const spans = p.tokens_q() / span + 2 * p.batch;
  std::int64_t const heads_of_tile = Plan::rows / span;
  std::int64_t const tiles = spans * p.heads_kv() * ((p.group() + heads_of_tile - 1) / heads_of_tile);
  auto const grid = static_cast<unsigned>(
      std::min<std::int64_t>(tiles, static_cast<std::int64_t>(multiprocessors()) * Tile::blocks_per_sm));
  return launch(exec, dim3(grid), dim3(Plan::threads), Plan::smem_bytes, flash_wgmma_kernel<Tile>, args);
}

/// f with the dim's tile, where it was compiled for this device; false elsewhere.
template <template <class, int> class Tile, class T, class F>
bool with_flash_tile(std::int64_t dim, F&& f) {
  auto const offer = [&]<int Dim>() { return has_hopper_body(flash_wgmma_kernel<Tile<T, Dim>>) && f(Tile<T, Dim>{}); };
  switch (dim) {
    case 64: return offer.template operator()<64>();
    case 128: return offer.template operator()<128>();
    case 256: return offer.template operator()<256>();
    default: return false;
  }
}

}  // namespace detail

/// Whether a launch takes this kernel: where it is asked for, or where it `pays` and nobody asked for another. A Status
/// where it is asked for and does not serve.
inline Expected<bool> takes_flash_wgmma(bool serves, bool pays) {
  if (path() == Path::hopper && !serves)
    return Status::invalid(
        "path: Hopper's was not compiled for this device or does not serve these shapes and strides");
  return path() != Path::generic && serves && (pays || path() == Path::hopper);
}

/// Scratch of each call below.
inline void reserve_flash_wgmma(Workspace& scratch) { (void)scratch.take<std::int32_t>(1); }

/// Whether dense attention to this problem can be computed here: the copy engine wants addresses and strides that are
/// multiples of 16 bytes and pages of multiples of 16 tokens.
template <Storage T>
bool flash_wgmma_serves(BatchProblem<T> const& problem, AttentionOut<T> const& out) {
  return detail::flash_serves(problem, out) &&
         detail::with_flash_tile<DenseTile, T>(problem.dim(), [](auto) { return true; });
}
template <Storage T>
Status launch_flash_wgmma(Cuda exec, BatchProblem<T> const& problem, AttentionOut<T> const& out, Workspace scratch) {
  Status status = Status::invalid("flash_wgmma: not compiled for this device");
  detail::with_flash_tile<DenseTile, T>(problem.dim(), [&]<class Tile>(Tile) {
    status = detail::launch_flash<Tile>(exec, problem, out, 0, HopperPlan<Tile>::rows, scratch,
                                        [](auto&) { return Status{}; });
    return true;
  });
  return status;
}

/// The same for block lists. Blocks are of 16, 32, 64 or a multiple of 128 tokens; those below 64 must be shared by the
/// heads of a group, of which tiles of 64 rows are then made, and leave at most two fifths of their rows unused.
template <Storage T>
bool flash_wgmma_serves(BatchProblem<T> const& problem, AttentionOut<T> const& out, BlockIndex const& index) {
  std::int64_t const block = index.block_tokens, group = problem.group();
  if (!detail::flash_serves(problem, out) || index.offsets.data != nullptr) return false;
  if (block % 128 == 0) return detail::with_flash_tile<WideTile, T>(problem.dim(), [](auto) { return true; });
  if (block != 16 && block != 32 && block != 64) return false;
  std::int64_t const heads_of_tile = 64 / block;
  std::int64_t const rows_of_group = (group + heads_of_tile - 1) / heads_of_tile * heads_of_tile;
  if (heads_of_tile > 1 && (index.heads() != problem.heads_kv() || group * 5 < rows_of_group * 3)) return false;
  return detail::with_flash_tile<NarrowTile, T>(problem.dim(), [](auto) { return true; });
}
template <Storage T>
Status launch_flash_wgmma(Cuda exec, BatchProblem<T> const& problem, AttentionOut<T> const& out,
                          BlockIndex const& index, Workspace scratch) {
  HopperLists const lists{index.blocks.data,
                          index.counts.data,
                          index.blocks.stride(0),
                          index.counts.stride(0),
                          index.room,
                          static_cast<std::int32_t>(index.block_tokens),
                          static_cast<std::int32_t>(problem.heads_q() / index.heads())};
  Status status = Status::invalid("flash_wgmma: not compiled for this device");
  auto const launch_with = [&]<class Tile>(Tile) {
    std::int64_t const span = std::min<std::int64_t>(index.block_tokens, HopperPlan<Tile>::rows);
    status = detail::launch_flash<Tile>(exec, problem, out, index.block_tokens, span, scratch, [&](auto& args) {
      args.lists = lists;
      return Status{};
    });
    return true;
  };
  if (index.block_tokens % 128 == 0)
    detail::with_flash_tile<WideTile, T>(problem.dim(), launch_with);
  else if (index.block_tokens < 64 && !problem.kv.paged() && problem.dim() > 64)
    detail::with_flash_tile<GroupedTile, T>(problem.dim(), launch_with);
  else
    detail::with_flash_tile<NarrowTile, T>(problem.dim(), launch_with);
  return status;
}

}  // namespace lacuna::cuda
