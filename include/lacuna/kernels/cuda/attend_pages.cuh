#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "lacuna/core/exec.hpp"
#include "lacuna/kernels/attend_pages.hpp"
#include "lacuna/kernels/cuda/attend_pages_boxes.cuh"
#include "lacuna/kernels/cuda/attend_pages_merge.cuh"
#include "lacuna/kernels/cuda/attend_pages_row.cuh"
#include "lacuna/kernels/cuda/launch.cuh"
#include "lacuna/kernels/cuda/path.cuh"

// Attention of a few queries over long rows of keys, bound by memory: 4 d group operations for 4 d bytes. The heads of
// a group share one product of 16 rows. Each warp has a ring of its own in shared memory and waits for nobody while it
// walks its chunks of 16 tokens; the warps of a block meet at the end of a row, the blocks of a row in scratch.

namespace lacuna {
namespace cuda {

/// grid: Traits::parts; a block owns one part of the stream of all rows' chunks (page_plan.cuh). Reads each chunk's
/// keys and values once (2 * 16 * dim * 2 bytes); writes rows that lie wholly in its part, and for others one partial
/// state (rows * (dim + 2) floats).
template <class Traits>
__global__ void __launch_bounds__(Traits::threads, Traits::blocks)
    attend_pages_kernel(PageRows<typename Traits::T> const rows, PageOut<typename Traits::T> const out) {
  extern __shared__ __align__(128) unsigned char page_smem[];
  __shared__ std::int32_t tokens[Traits::warps][Traits::stages][kChunkTokens];
  __shared__ PartShared<Traits::threads> part_shared;
  __shared__ bool last;
  launch_after_earlier();
  int const warp = warp_id(), part = static_cast<int>(blockIdx.x);
  PagePart const cut = cut_part<Traits::threads, Traits::parts>(rows, part, part_shared);

  RowShare share{cut.row, cut.row_begin, cut.begin, cut.begin};
  for (; share.begin < cut.end; ++share.index) {
    PageRow const row = rows.at(share.index);
    std::int32_t const row_end = share.row_begin + row.chunks;
    share.end = min(cut.end, row_end);
    if (share.begin < share.end) {
      WarpState<Traits> state;
      Queries<Traits> queries;
      queries.shared = reinterpret_cast<uint4*>(page_smem + Traits::warps * Traits::ring_bytes);
      walk_chunks<Traits>(rows, row, share.begin - share.row_begin + warp, share.end - share.row_begin,
                          page_smem + warp * Traits::ring_bytes, tokens[warp], queries, state);
      leave_state<Traits>(state, page_smem);
      end_share<Traits>(rows, row, out, cut, share, page_smem, last);
    }
    share.begin = share.end;
    share.row_begin = row_end;
  }
  answer_empty_rows<Traits>(rows, out);
}

/// By boxes where the launch allows them; false: it does not. At d = 256 their registers do not suffice.
template <class T, class Kv, int Dim, bool Tall>
bool launch_page_boxes(Cuda exec, PageRows<T> const& rows, PageOut<T> const& out, Status* status) {
  if constexpr (std::is_same_v<T, Kv> && Dim <= 128) {
    using Boxes = PageBoxTraits<T, Dim, Tall>;
    if (!pages_are_boxes(rows) || path() == Path::generic || !has_hopper_body(attend_page_boxes_kernel<Boxes>))
      return false;
    CUtensorMap k_map, v_map;
    *status = encode_page_maps(rows, k_map, v_map);
    if (*status)
      *status = launch_overlapping(exec, dim3(Boxes::parts), dim3(Boxes::threads), Boxes::smem_bytes,
                                   attend_page_boxes_kernel<Boxes>, k_map, v_map, rows, out);
    return true;
  } else {
    return false;
  }
}

template <class T, class Kv, int Dim, bool Tall>
Status launch_attend_pages(Cuda exec, PageRows<T> const& rows, PageOut<T> const& out) {
  using Traits = AttendPagesTraits<T, Dim, Tall, Kv>;
  Status s;
  if (!launch_page_boxes<T, Kv, Dim, Tall>(exec, rows, out, &s))
    s = launch_overlapping(exec, dim3(Traits::parts), dim3(Traits::threads), Traits::smem_bytes,
                           attend_pages_kernel<Traits>, rows, out);
  if (!s || out.tickets != nullptr) return s;
  auto const count = static_cast<unsigned>(rows.problem.batch * rows.heads * rows.tiles);
  return launch_overlapping(exec, dim3(count), dim3(Traits::threads), Traits::merge_bytes, merge_rows_kernel<Traits>,
                            rows, out);
}

/// Whether a product's last 8 rows are in use. At d = 256 they always count: without them the registers do not suffice.
inline bool page_rows_are_tall(std::int64_t dim, std::int64_t max_len_q, std::int64_t group) {
  return dim > 128 || std::min<std::int64_t>(max_len_q * group, kTileRows) > 8;
}

template <class T, class Kv = T>
Status attend_page_rows(Cuda exec, PageRows<T> const& rows, PageOut<T> const& out) {
  bool const tall = page_rows_are_tall(rows.problem.dim, rows.problem.max_len_q, rows.group);
  switch (rows.problem.dim) {
    case 64:
      return tall ? launch_attend_pages<T, Kv, 64, true>(exec, rows, out)
                  : launch_attend_pages<T, Kv, 64, false>(exec, rows, out);
    case 128:
      return tall ? launch_attend_pages<T, Kv, 128, true>(exec, rows, out)
                  : launch_attend_pages<T, Kv, 128, false>(exec, rows, out);
    case 256: return launch_attend_pages<T, Kv, 256, true>(exec, rows, out);
    default: return Status::invalid("attend_pages: dim must be 64, 128 or 256 on the device", rows.problem.dim, 256);
  }
}

inline std::int64_t page_tiles(std::int64_t max_len_q, std::int64_t group) {
  return (max_len_q * group + kTileRows - 1) / kTileRows;
}

/// Copies of 16 bytes need rows that begin at multiples of 16.
template <class T>
Status check_alignment(BatchKv<T> const& kv) {
  auto const whole = [](std::int64_t stride) { return stride * static_cast<std::int64_t>(sizeof(T)) % 16 == 0; };
  if (reinterpret_cast<std::uintptr_t>(kv.k) % 16 != 0 || reinterpret_cast<std::uintptr_t>(kv.v) % 16 != 0 ||
      !whole(kv.stride_token) || !whole(kv.stride_head) || !whole(kv.stride_page))
    return Status::invalid("kv: on the device every row of k and v must begin at a multiple of 16 bytes");
  return {};
}

}  // namespace cuda

/// Tickets that attend_pages needs where a row is merged in the same launch.
inline std::int64_t attend_pages_tickets(BatchShape const& shape, std::int64_t heads) {
  return shape.batch * heads * cuda::page_tiles(shape.each.len_q, shape.each.heads_q / heads);
}

/// `heads` of the index, per sequence: heads_kv or heads_q; heads_kv without an index.
inline cuda::PageScratch reserve_attend_pages(Cuda, BatchShape const& shape, std::int64_t heads, Workspace& memory) {
  std::int64_t const group = shape.each.heads_q / heads;
  std::int64_t const slots = cuda::kPageParts + attend_pages_tickets(shape, heads);
  std::int64_t const rows = cuda::page_rows_are_tall(shape.each.dim, shape.each.len_q, group) ? 16 : 8;
  return {memory.take<float>(slots * rows * shape.each.dim), memory.take<float>(slots * rows * 2),
          memory.take<int2>(attend_pages_tickets(shape, heads))};
}

namespace cuda {

/// Everything but the launch: what the kernels take, or why they cannot serve.
template <class T>
Status plan_page_rows(Cuda exec, AttendPagesBatchArgs<T> const& args, PageRows<T>* rows, PageScratch* scratch) {
  BatchProblem<T> const& problem = args.problem;
  std::int64_t const heads = args.heads();
  BatchShape const shape = shape_of(problem);
  if (args.tickets.data != nullptr && args.tickets.extent(0) < attend_pages_tickets(shape, heads))
    return Status::invalid("attend_pages: fewer tickets than attend_pages_tickets()", args.tickets.extent(0),
                           attend_pages_tickets(shape, heads));
  if (attend_pages_tickets(shape, heads) * ((problem.max_len_k + 15) / 16 + 1) > INT32_MAX)
    return Status::invalid("attend_pages: more tokens in all rows than 16 * 2^31 on the device");
  Workspace memory = args.scratch;
  *scratch = reserve_attend_pages(exec, shape, heads, memory);
  if (Status s = memory.check("attend_pages: the workspace is smaller than planned"); !s) return s;
  *rows = {DeviceProblem<T>(problem),
           args.index.pages.data,
           args.index.counts.data,
           args.index.pages.stride(0),
           args.index.counts.stride(0),
           static_cast<std::int32_t>(std::max<std::int64_t>(args.index.page_tokens, 1)),
           static_cast<std::int32_t>(heads),
           static_cast<std::int32_t>(problem.heads_q() / heads),
           static_cast<std::int32_t>(page_tiles(problem.max_len_q, problem.heads_q() / heads))};
  return {};
}

}  // namespace cuda

template <class T>
Status attend_pages(Cuda exec, AttendPagesBatchArgs<T> const& args) {
  if (Status s = args.check(); !s) return s;
  if (args.problem.batch == 0 || args.problem.tokens_q() == 0) return {};
  if (Status s = cuda::check_alignment(args.problem.kv); !s) return s;
  cuda::PageRows<T> rows{cuda::DeviceProblem<T>(args.problem)};
  cuda::PageScratch scratch;
  if (Status s = cuda::plan_page_rows(exec, args, &rows, &scratch); !s) return s;
  return cuda::attend_page_rows<T>(exec, rows, cuda::PageOut<T>(args.out, scratch, args.tickets.data));
}

/// The same over eight-bit keys and values.
template <class T>
Status attend_pages(Cuda exec, AttendFp8PagesBatchArgs<T> const& args) {
  if (Status s = args.check(); !s) return s;
  AttendPagesBatchArgs<T> const& pages = args.pages;
  BatchKv<T> const& kv = pages.problem.kv;
  if (pages.problem.batch == 0 || pages.problem.tokens_q() == 0) return {};
  if ((reinterpret_cast<std::uintptr_t>(args.k) | reinterpret_cast<std::uintptr_t>(args.v) | kv.stride_token |
       kv.stride_head | kv.stride_page) %
          16 !=
      0)
    return Status::invalid("kv: on the device every row of k and v must begin at a multiple of 16 bytes");
  cuda::PageRows<T> rows{cuda::DeviceProblem<T>(pages.problem)};
  cuda::PageScratch scratch;
  if (Status s = cuda::plan_page_rows(exec, pages, &rows, &scratch); !s) return s;
  rows.k8 = args.k;
  rows.v8 = args.v;
  rows.k_scales = args.k_scales.data;
  rows.v_scales = args.v_scales.data;
  return cuda::attend_page_rows<T, e4m3>(exec, rows, cuda::PageOut<T>(pages.out, scratch, pages.tickets.data));
}

}  // namespace lacuna
