#pragma once

#include <cstdint>

#include "lacuna/kernels/cuda/flash_wgmma_tile.cuh"
#include "lacuna/kernels/cuda/primitives/async_copy.cuh"
#include "lacuna/kernels/cuda/primitives/warp.cuh"

namespace lacuna::cuda {

/// One warp brings the keys, or the values, of a step: each lane a box of neighbouring keys, or a half of one. What
/// each lane does is settled once; a step costs one shuffle and one vote.
template <class Tile>
class HopperBoxes {
  using T = typename Tile::Element;
  using Plan = HopperPlan<Tile>;

 public:
  __device__ explicit HopperBoxes(HopperArgs<T> const& args) : args_(args), lane_(lane_id()) {
    std::int32_t const boxes = Tile::keys / args.key_box_rows;
    std::int32_t const halves = boxes == 1 || Tile::grouped ? 1 : Plan::halves;  // boxes that a row takes
    std::int32_t const box = lane_ % boxes;
    half_ = lane_ / boxes;
    mine_ = half_ < halves;
    chunk_lane_ = box * (args.key_box_rows / kWarpRows);
    box_offset_ = box * (args.key_box_rows / 8) * Plan::atom_bytes;
  }

  __device__ void open(std::int32_t sequence, std::int32_t head_kv, std::int32_t len_k) {
    sequence_ = sequence;
    head_kv_ = head_kv;
    last_box_ = len_k - args_.key_box_rows;
    bool const paged = args_.problem.page_table != nullptr;
    row_base_ = !paged && args_.problem.first_token != nullptr ? args_.problem.first_token[sequence] : 0;
    map_head_ = args_.problem.stride_head == 0 ? 0 : head_kv;  // only the page table tells heads apart
  }

  /// `key`: the first of this lane's 16. All boxes of a step are fetched at once, except those that reach past the
  /// sequence: their rows come one by one, and zeros behind the end. What lies there belongs to others, and a NaN among
  /// the values would survive a probability of 0.
  __device__ void bring(std::byte* to, CUtensorMap const* map, T const* from, std::uint64_t* full, std::int32_t key) {
    std::int32_t const box_key = __shfl_sync(kAllLanes, key, chunk_lane_);
    bool const whole = box_key <= last_box_;
    std::uint32_t bytes = Plan::stage_bytes;
    if (!__all_sync(kAllLanes, whole)) bytes = bring_cut(to, from, box_key);
    if (lane_ == 0) barrier_arrive_expecting(full, bytes);
    __syncwarp();
    if (mine_ && whole) {
      to += box_offset_ + half_ * Plan::half_bytes;
      std::int32_t page = 0, row = row_base_ + box_key;
      if (args_.problem.page_table != nullptr) {
        page = *table_entry(box_key);
        row = box_key % args_.problem.page_tokens;
      }
      if constexpr (Tile::grouped)
        copy_box(to, map, full, 0, 0, 0, row, map_head_);
      else
        copy_box(to, map, full, 0, row, half_, map_head_, page);
    }
    __syncwarp();
  }

 private:
  __device__ std::int32_t const* table_entry(std::int32_t key) const {
    return args_.problem.page_table + sequence_ * args_.problem.table_stride_sequence +
           head_kv_ * args_.problem.table_stride_head + key / args_.problem.page_tokens;
  }

  /// The bytes that are left to boxes.
  __device__ std::uint32_t bring_cut(std::byte* to, T const* from, std::int32_t box_key) {
    bool const whole = box_key <= last_box_;
    unsigned const whole_boxes = __ballot_sync(kAllLanes, mine_ && whole);
    unsigned const cut_boxes = __ballot_sync(kAllLanes, mine_ && !whole && half_ == 0);
    for (unsigned rest = cut_boxes; rest != 0; rest &= rest - 1) {
      std::int32_t const cut = __ffs(static_cast<int>(rest)) - 1;
      copy_rows(to + __shfl_sync(kAllLanes, box_offset_, cut), from, __shfl_sync(kAllLanes, box_key, cut));
    }
    fence_async_proxy();
    __syncwarp();
    int const all_boxes = __popc(__ballot_sync(kAllLanes, mine_));
    return static_cast<std::uint32_t>(Plan::stage_bytes / all_boxes * __popc(whole_boxes));
  }
  __device__ void copy_rows(std::byte* to, T const* from, std::int32_t key) {
    constexpr std::int32_t kChunks = Tile::dim / 8;  // of 16 bytes, in a row
    std::int32_t const chunk = lane_ % kChunks;
    std::int32_t const len_k = last_box_ + args_.key_box_rows;
    for (std::int32_t row = lane_ / kChunks; row < args_.key_box_rows; row += 32 / kChunks) {
      bool const there = key + row < len_k;
      T const* const source =
          from + (there ? args_.problem.offset(sequence_, head_kv_, key + row) : std::int64_t{0}) + chunk * 8;
      copy16_or_zero(smem_address(to + chunk / 8 * Plan::half_bytes + row / 8 * Plan::atom_bytes + row % 8 * 128 +
                                  ((chunk % 8) ^ (row % 8)) * 16),
                     source, there ? 16 : 0);
    }
    close_copy_group();
    wait_copy_groups<0>();
  }

  HopperArgs<T> const& args_;
  std::int32_t lane_;
  // of this lane: which box, which half of it, whether there is one
  std::int32_t half_, chunk_lane_, box_offset_;
  bool mine_;
  std::int32_t sequence_ = 0, head_kv_ = 0, map_head_ = 0, row_base_ = 0;
  std::int32_t last_box_ = 0;  // the last key that a whole box can begin with
};

}  // namespace lacuna::cuda
