#pragma once

#include <cstdint>

#include "lacuna/kernels/cuda/attend_pages_merge.cuh"
#include "lacuna/kernels/cuda/attend_pages_row.cuh"
#include "lacuna/kernels/cuda/path.cuh"
#include "lacuna/kernels/cuda/primitives/async_copy.cuh"
#include "lacuna/kernels/cuda/primitives/launch_order.cuh"
#include "lacuna/kernels/cuda/primitives/tensor_map.cuh"

// The copy engine's way (sm_90) where every chunk of 16 tokens lies in one page of the cache: two boxes a chunk, asked
// for by one lane, instead of 32 pieces of 16 bytes by each.

namespace lacuna::cuda {

/// A warp's states lie beside its ring where they fit, so that the ring runs on into the next row while a row is
/// merged.
template <class Element, int Dim, bool Tall>
struct PageBoxTraits : AttendPagesTraits<Element, Dim, Tall> {
  using Base = AttendPagesTraits<Element, Dim, Tall>;
  static constexpr bool runs_on = !Tall && Dim <= 128;
  static constexpr int pitch = runs_on ? Dim + 2 : Base::pitch;
  static constexpr int state_bytes = runs_on ? Base::rows * (pitch + 2) * 4 : Base::ring_bytes;
  static constexpr int states_at = runs_on ? Base::smem_bytes : 0;
  static constexpr int states_bytes =
      Base::warps * state_bytes > Base::merge_bytes ? Base::warps* state_bytes : Base::merge_bytes;
  static constexpr int control_at = runs_on ? states_at + states_bytes : Base::smem_bytes;
  static constexpr int smem_bytes = control_at + 512;  // 227 KB of two blocks hold just that
};

/// Beside the rings: whose bytes have come, and what they are.
template <class Traits>
struct BoxControl {
  std::uint64_t full[Traits::warps][Traits::stages];
  std::int32_t tokens[Traits::warps][Traits::stages];  // first of the chunk; -1: nothing to see
  union {
    PartShared<Traits::threads> part;
    bool last;
  };
};

/// The chunks that one warp reads, in order: of its block's part, on from row to row, or of one row. Up to 32 at a time
/// are looked up together, a lane each, while the ones before are read.
template <class Traits>
class BoxStream {
  using T = typename Traits::T;

 public:
  __device__ BoxStream(PageRows<T> const& rows, PagePart const& cut) : rows_(rows), cut_(cut) {
    index_ = cut.row - 1;
    at_ = cut.begin;
    row_begin_ = cut.row_begin;
  }

  /// To be followed by calls of next(), until it says no.
  __device__ void begin(PageRow const& row, std::int32_t first, std::int32_t end) {
    row_ = row;
    chunk_ = first;
    end_ = end;
    ahead_.count = now_.count = used_ = 0;
    look_up();
  }
  __device__ void begin() {
    chunk_ = end_ = 0;
    ahead_.count = now_.count = used_ = 0;
    look_up();
  }

  struct Chunk {
    std::int32_t token, page, head_kv;  // token -1: nothing to see
  };
  __device__ __forceinline__ bool next(Chunk& chunk) {
    if (used_ == now_.count) {
      if (ahead_.count == 0) return false;
      now_ = ahead_;
      used_ = 0;
      look_up();
    }
    chunk = {__shfl_sync(kAllLanes, now_.token, used_), __shfl_sync(kAllLanes, now_.page, used_), now_.head_kv};
    ++used_;
    return true;
  }

 private:
  struct Batch {
    std::int32_t token, page;  // of this lane's chunk
    std::int32_t head_kv, count;
  };

  __device__ bool next_row() {
    if constexpr (Traits::runs_on) {
      while (at_ < cut_.end) {
        row_ = rows_.at(++index_);
        std::int32_t const row_end = row_begin_ + row_.chunks, end = min(cut_.end, row_end);
        chunk_ = at_ - row_begin_ + warp_id();
        end_ = end - row_begin_;
        at_ = max(at_, end);
        row_begin_ = row_end;
        if (chunk_ < end_) return true;
      }
    }
    return false;
  }

  __device__ void look_up() {
    constexpr int kStep = Traits::warps;
    ahead_.count = 0;
    if (chunk_ >= end_ && !next_row()) return;
    ahead_.count = min(32, (end_ - chunk_ + kStep - 1) / kStep);
    ahead_.head_kv = row_.head_kv;
    ahead_.token = -1;
    ahead_.page = 0;
    DeviceProblem<T> const& p = rows_.problem;
    if (std::int32_t const mine = chunk_ + lane_id() * kStep; mine < end_) {
      std::int32_t token = mine * kChunkTokens;
      if (std::int32_t const* const list = rows_.list(row_); list != nullptr) {
        auto const unit = static_cast<unsigned>(token) / static_cast<unsigned>(rows_.unit_tokens);
        token += (list[unit] - static_cast<std::int32_t>(unit)) * rows_.unit_tokens;
      } else {
        token += row_.start;
      }
      if (token < row_.len_k && token + kChunkTokens > row_.oldest) {
        ahead_.token = token;
        ahead_.page = p.page_table[row_.sequence * p.table_stride_sequence + row_.head_kv * p.table_stride_head +
                                   static_cast<unsigned>(token) / static_cast<unsigned>(p.page_tokens)];
      }
    }
    chunk_ += 32 * kStep;
  }

  PageRows<T> const& rows_;
  PagePart const& cut_;
  PageRow row_;
  int index_;
  std::int32_t at_, row_begin_;
  std::int32_t chunk_, end_;  // the next to look up
  Batch now_, ahead_;
  int used_;
};

/// One warp's ring of boxes.
template <class Traits>
struct BoxRing {
  static constexpr int kBytes = 2 * Traits::tile_bytes;
  unsigned char* bytes;
  std::uint64_t* full;
  std::int32_t* tokens;
  CUtensorMap const* k_map;
  CUtensorMap const* v_map;
  int stage = 0;
  std::uint32_t parity = 0;

  /// Into the current stage, which nobody reads any more.
  __device__ __forceinline__ void bring(PageRows<typename Traits::T> const& rows, BoxStream<Traits>& stream, int to) {
    typename BoxStream<Traits>::Chunk chunk;
    if (!stream.next(chunk) || lane_id() != 0) return;
    tokens[to] = chunk.token;
    if (chunk.token < 0) {
      barrier_arrive(full + to);
      return;
    }
    barrier_arrive_expecting(full + to, kBytes);
    unsigned char* const at = bytes + to * kBytes;
    int const row = static_cast<int>(static_cast<unsigned>(chunk.token) %
                                     static_cast<unsigned>(rows.problem.page_tokens)),
              head = rows.problem.stride_head == 0 ? 0 : chunk.head_kv;
    copy_box(at, k_map, full + to, 0, row, 0, head, chunk.page);
    copy_box(at + Traits::tile_bytes, v_map, full + to, 0, row, 0, head, chunk.page);
  }
  __device__ __forceinline__ std::int32_t wait() {
    barrier_wait(full + stage, parity);
    return tokens[stage];
  }
  __device__ __forceinline__ void advance() {
    if (++stage == Traits::stages) stage = 0, parity ^= 1;
  }
};

/// Values that no query may see become zeros: what lies behind a sequence's end may be anything, and a NaN among the
/// values would survive a weight of 0. Before the copy engine writes here again its view must follow.
template <class Traits>
__device__ __forceinline__ void clear_unseen(PageRow const& row, std::int32_t token, unsigned char* values) {
  constexpr int kPieces = kChunkTokens * Traits::pieces;
  for (int i = lane_id(); i < kPieces; i += 32) {
    int const r = i / Traits::pieces;
    if (token + r >= row.oldest && token + r < row.len_k) continue;
    *reinterpret_cast<uint4*>(values + piece_offset<Traits>(r, i % Traits::pieces)) = {0, 0, 0, 0};
  }
  __syncwarp();
  fence_async_proxy();
}

/// A warp's share of chunks [first, end) of a row.
template <class Traits>
__device__ __forceinline__ void walk_boxes(PageRows<typename Traits::T> const& rows, PageRow const& row,
                                           std::int32_t first, std::int32_t end, BoxStream<Traits>& stream,
                                           BoxRing<Traits>& ring, Queries<Traits>& queries, WarpState<Traits>& state) {
  queries.load(rows, row);
  Visible const visible(rows, row);
  for (std::int32_t chunk = first; chunk < end; chunk += Traits::warps) {
    std::int32_t const token = ring.wait();
    if (token >= 0) {
      unsigned char* const at = ring.bytes + ring.stage * BoxRing<Traits>::kBytes;
      bool const masked = token < visible.all_oldest || token + kChunkTokens - 1 > visible.all_newest;
      if (masked) clear_unseen<Traits>(row, token, at + Traits::tile_bytes);
      add_chunk<Traits>(
          rows, queries, smem_address(at), [&](int i) { return token + i; }, masked, visible, state);
    }
    __syncwarp();
    ring.bring(rows, stream, ring.stage);
    ring.advance();
  }
}

/// As attend_pages_kernel.
template <class Traits>
__global__ void __launch_bounds__(Traits::threads, Traits::blocks)
    attend_page_boxes_kernel(__grid_constant__ CUtensorMap const k_map, __grid_constant__ CUtensorMap const v_map,
                             PageRows<typename Traits::T> const rows, PageOut<typename Traits::T> const out) {
#if __CUDA_ARCH__ >= 900
  extern __shared__ __align__(1024) unsigned char box_smem[];
  auto& control = *reinterpret_cast<BoxControl<Traits>*>(box_smem + Traits::control_at);
  static_assert(sizeof(control) <= 512);
  unsigned char* const states = box_smem + Traits::states_at;
  int const warp = warp_id();
  if (lane_id() < Traits::stages) barrier_init(&control.full[warp][lane_id()], 1);
  barrier_init_done();
  if (threadIdx.x == 0) prefetch_tensor_map(&k_map), prefetch_tensor_map(&v_map);
  launch_after_earlier();
  PagePart const cut = cut_part<Traits::threads, Traits::parts>(rows, static_cast<int>(blockIdx.x), control.part);

  BoxRing<Traits> ring{box_smem + warp * Traits::ring_bytes, control.full[warp], control.tokens[warp], &k_map, &v_map};
  BoxStream<Traits> stream(rows, cut);
  if constexpr (Traits::runs_on) {
    stream.begin();
    for (int i = 0; i < Traits::stages; ++i) ring.bring(rows, stream, i);
  }
  RowShare share{cut.row, cut.row_begin, cut.begin, cut.begin};
  for (; share.begin < cut.end; ++share.index) {
    PageRow const row = rows.at(share.index);
    std::int32_t const row_end = share.row_begin + row.chunks;
    share.end = min(cut.end, row_end);
    if (share.begin < share.end) {
      std::int32_t const first = share.begin - share.row_begin + warp, end = share.end - share.row_begin;
      WarpState<Traits> state;
      state.clear();
      Queries<Traits> queries;
      queries.shared = reinterpret_cast<uint4*>(box_smem + Traits::warps * Traits::ring_bytes);
      if constexpr (!Traits::runs_on) {
        fence_async_proxy();  // the states of the row before lay in the rings
        stream.begin(row, first, end);
        for (int i = 0; i < Traits::stages; ++i)
          ring.bring(rows, stream, ring.stage + i < Traits::stages ? ring.stage + i : ring.stage + i - Traits::stages);
      }
      walk_boxes<Traits>(rows, row, first, end, stream, ring, queries, state);
      leave_state<Traits>(state, states);
      end_share<Traits>(rows, row, out, cut, share, states, control.last);
    }
    share.begin = share.end;
    share.row_begin = row_end;
  }
  answer_empty_rows<Traits>(rows, out);
#endif
}

/// Whether every chunk of 16 tokens lies in one page.
template <class T>
bool pages_are_boxes(PageRows<T> const& rows) {
  bool const whole_units = rows.units == nullptr || rows.unit_tokens % kChunkTokens == 0;
  return rows.problem.page_table != nullptr && rows.problem.page_tokens % kChunkTokens == 0 && whole_units;
}

/// Over the whole pool, whose size nobody tells: boxes lie only where a page table points.
template <class T>
Status encode_page_maps(PageRows<T> const& rows, CUtensorMap& k_map, CUtensorMap& v_map) {
  DeviceProblem<T> const& p = rows.problem;
  auto const bytes = [](std::int64_t elements) {
    return static_cast<cuuint64_t>(elements != 0 ? elements * static_cast<std::int64_t>(sizeof(T)) : 16);
  };
  BoxedTensor tensor;
  tensor.rank = 5;
  tensor.extents = {64, static_cast<cuuint64_t>(p.page_tokens), static_cast<cuuint64_t>(p.dim / 64),
                    static_cast<cuuint64_t>(p.stride_head != 0 ? p.heads_kv : 1), cuuint64_t{1} << 31};
  tensor.stride_bytes = {bytes(p.stride_token), 128, bytes(p.stride_head), bytes(p.stride_page)};
  tensor.box = {64, kChunkTokens, static_cast<cuuint32_t>(p.dim / 64), 1, 1};
  tensor.promotion = CU_TENSOR_MAP_L2_PROMOTION_L2_128B;  // 256 costs 6 % where pages come from memory
  tensor.data = p.k;
  if (Status s = encode_tensor_map(k_map, tensor_map_type<T>(), tensor); !s) return s;
  tensor.data = p.v;
  return encode_tensor_map(v_map, tensor_map_type<T>(), tensor);
}

}  // namespace lacuna::cuda
