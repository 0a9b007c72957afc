#pragma once

#include <cstdint>

#include "lacuna/index/block_index.hpp"
#include "lacuna/kernels/cuda/flash_wgmma_boxes.cuh"
#include "lacuna/kernels/cuda/flash_wgmma_tile.cuh"
#include "lacuna/kernels/cuda/primitives/async_copy.cuh"
#include "lacuna/kernels/cuda/primitives/warp.cuh"

namespace lacuna::cuda {

/// One warp: draws tiles, and brings the queries of each and the keys and values of its steps.
template <class Tile>
class HopperProducer {
  using T = typename Tile::Element;
  using Plan = HopperPlan<Tile>;

 public:
  __device__ HopperProducer(HopperArgs<T> const& args, std::byte* smem, HopperBarriers<Tile>& barriers,
                            HopperWork<Tile>* works, HopperStep<Tile>* steps)
      : args_(args), smem_(smem), barriers_(barriers), works_(works), steps_(steps), boxes_(args), lane_(lane_id()) {
    std::int32_t const at = lane_ % Plan::key_chunks * kWarpRows;
    std::int32_t const block_tokens = listed() ? args.lists.block_tokens : Tile::keys;
    first_place_ = {at / block_tokens, at % block_tokens};
    stride_ = {Tile::keys / block_tokens, Tile::keys % block_tokens};
  }

  __device__ void run() {
    std::int32_t tile = static_cast<std::int32_t>(blockIdx.x);
    while (find_sequence(tile)) {
      std::int32_t drawn = 0;
      if (lane_ == 0) drawn = atomicAdd(args_.next_tile, 1);
      open(tile - first_tile_);
      bring_queries();
      if constexpr (Tile::slashes)
        bring_slashes();
      else
        bring_steps();
      tile = static_cast<std::int32_t>(gridDim.x) + __shfl_sync(kAllLanes, drawn, 0);
    }
    begin_work(HopperTask::stop);
    if (lane_ == 0) barrier_arrive(&barriers_.queries_full[query_slot_]);
  }

 private:
  // ---- which tile

  __device__ bool listed() const { return Tile::lists && !Tile::slashes && args_.lists.counts != nullptr; }
  __device__ bool by_position() const { return Tile::slashes || listed(); }
  __device__ std::int32_t tiles_of_group() const {  // that one span of queries of a KV head's group takes
    std::int32_t const heads = Plan::rows / args_.span;
    return (args_.problem.group + heads - 1) / heads;
  }
  /// Spans of a sequence: blocks of positions where there is an index, else runs of queries.
  __device__ std::int32_t spans_of(std::int32_t sequence) const {
    std::int32_t const len_q = args_.problem.len_q(sequence);
    if (!by_position()) return (len_q + args_.span - 1) / args_.span;
    std::int32_t const len_k = args_.problem.len_k(sequence, 0);
    return len_q == 0 ? 0 : (len_k - 1) / args_.span - (len_k - len_q) / args_.span + 1;
  }
  /// Tiles come sequence by sequence, and ever later ones: the search goes on where it stopped.
  __device__ bool find_sequence(std::int32_t tile) {
    while (sequence_ < args_.problem.batch) {
      std::int32_t const tiles = spans_of(sequence_) * tiles_of_group() * args_.problem.heads_kv;
      if (tile < first_tile_ + tiles) return true;
      first_tile_ += tiles;
      ++sequence_;
    }
    return false;
  }

  /// Heads of one KV head are neighbours, long spans come first: what runs together reads the same keys.
  __device__ void open(std::int32_t tile) {
    std::int32_t const of_group = tiles_of_group();
    std::int32_t const heads = Plan::rows / args_.span;
    std::int32_t const span_and_head = tile / of_group;
    std::int32_t const spans = spans_of(sequence_);
    std::int32_t const span = spans - 1 - span_and_head % spans;
    head_kv_ = span_and_head / spans;
    first_head_ = head_kv_ * args_.problem.group + tile % of_group * heads;
    len_q_ = args_.problem.len_q(sequence_);
    len_k_ = args_.problem.len_k(sequence_, head_kv_);
    std::int32_t const offset = len_k_ - len_q_;
    std::int32_t const aligned = by_position() ? offset % args_.span : 0;
    first_query_ = span * args_.span - aligned;
    first_position_ = offset + max(first_query_, 0);
    last_position_ = offset + min(first_query_ + args_.span, len_q_) - 1;
    boxes_.open(sequence_, head_kv_, len_k_);
    place_ = first_place_;
    if constexpr (Tile::slashes) {
      slash_row_ = sequence_ * args_.slashes.heads + first_head_ / args_.slashes.heads_per_list;
      slashes_.open(args_.slashes, slash_row_, (offset / args_.span + span + 1) * args_.span);
      steps_of_tile_ = slashes_.next(slash_);
    } else if (listed()) {
      open_list(span);
    } else {
      std::int32_t const oldest = first_position_ - args_.problem.window_tokens + 1;
      list_count_ = last_position_ / Tile::keys;  // the diagonal's step; later steps go down from it
      steps_of_tile_ = list_count_ - max(oldest, 0) / Tile::keys + 1;
    }
  }
  __device__ void open_list(std::int32_t span) {
    HopperLists const& lists = args_.lists;
    std::int32_t const head = first_head_ / lists.heads_per_list;
    std::int32_t const offset = len_k_ - len_q_;
    std::int64_t const row =
        BlockIndex::first_row(sequence_, args_.problem.first_query(sequence_), lists.block_tokens) +
        (offset / args_.span + span) * args_.span / lists.block_tokens - offset / lists.block_tokens;
    list_ = lists.blocks + head * lists.blocks_stride_head + row * lists.room;
    list_count_ = lists.counts[head * lists.counts_stride_head + row];
    steps_of_tile_ = (list_count_ * lists.block_tokens + Tile::keys - 1) / Tile::keys;
  }

  /// The first key of this lane's 16 in a step, and what the mask should take it for.
  struct Chunk {
    std::int32_t key, masked_as;
  };
  /// Of the next step.
  __device__ Chunk next_chunk() {
    Place const at = place_;
    place_ = {at.entry + stride_.entry, at.token + stride_.token};
    if (!listed()) {
      std::int32_t const key = (list_count_ - at.entry) * Tile::keys + at.token;
      return {key, key};
    }
    std::int32_t const block_tokens = args_.lists.block_tokens;
    if (place_.token >= block_tokens) place_ = {place_.entry + 1, place_.token - block_tokens};
    // The diagonal is the last entry and comes first: its mask then costs no later step anything.
    bool const there = at.entry < list_count_;
    std::int32_t const listed_at = at.entry == 0 || !there ? list_count_ - 1 : at.entry - 1;
    std::int32_t const key = __ldg(list_ + listed_at) * block_tokens + at.token;
    return {key, there ? key : kFarKey};
  }

  // ---- what it needs

  __device__ HopperWork<Tile>& begin_work(HopperTask task) {
    query_slot_ = works_begun_ % Tile::query_buffers;
    barrier_wait(&barriers_.queries_empty[query_slot_], (works_begun_ / Tile::query_buffers & 1) ^ 1);
    HopperWork<Tile>& work = works_[works_begun_ % Plan::works];
    ++works_begun_;
    if (lane_ == 0) work.task = task;
    return work;
  }
  /// Of this lane.
  __device__ HopperUnit unit() const {
    std::int32_t const row = lane_ * kWarpRows;
    std::int32_t const query = first_query_ + row % args_.span;
    std::int32_t const head = first_head_ + row / args_.span;
    std::int32_t const heads_end = (head_kv_ + 1) * args_.problem.group;
    HopperUnit unit;
    unit.token = args_.problem.first_query(sequence_) + query;
    unit.position = len_k_ - len_q_ + query;
    unit.head = min(head, heads_end - 1);
    unit.valid_begin = static_cast<std::int16_t>(min(max(-query, 0), kWarpRows));
    unit.valid_end = static_cast<std::int16_t>(head < heads_end ? min(max(len_q_ - query, 0), kWarpRows) : 0);
    return unit;
  }
  __device__ void bring_queries() {
    HopperWork<Tile>& work = begin_work(steps_of_tile_ > 0 ? HopperTask::attend : HopperTask::nothing_to_see);
    if (lane_ < Plan::rows / kWarpRows) work.units[lane_] = unit();
    __syncwarp();
    if (lane_ == 0) barrier_arrive_expecting(&barriers_.queries_full[query_slot_], Plan::query_bytes);
    __syncwarp();
    std::int32_t const box_rows = min(args_.span, 64);
    std::int32_t const boxes = Plan::rows / box_rows;
    std::int32_t const token = args_.problem.first_query(sequence_) + first_query_;
    for (std::int32_t box = lane_; box < boxes * Plan::halves; box += 32) {
      std::int32_t const row = box % boxes * box_rows, half = box / boxes;
      std::int32_t const head = min(first_head_ + row / args_.span, (head_kv_ + 1) * args_.problem.group - 1);
      copy_box(smem_ + query_slot_ * Plan::query_bytes + row / 64 * (64 * Tile::dim * 2) + half * (64 * 128) +
                   row % 64 * 128,
               &args_.queries, &barriers_.queries_full[query_slot_], 0, token + row % args_.span, half, head, 0);
    }
  }

  __device__ void bring_steps() {
    Chunk next = steps_of_tile_ > 0 ? next_chunk() : Chunk{0, 0};
    std::int32_t key_before = 0;
    for (std::int32_t step = 0; step < steps_of_tile_; ++step) {
      Chunk const now = next;
      bool const last = step + 1 == steps_of_tile_;
      if (!last) next = next_chunk();
      bring_keys(now, last);
      if (step > 0) bring_values(key_before);
      key_before = now.key;
    }
    if (steps_of_tile_ > 0) bring_values(key_before);
  }

  /// A place in the ring of stages; its parity is that of the phase that ends when the place is free.
  struct RingAt {
    std::uint32_t slot = 0, parity = 1;
    __device__ void go_on() {
      if (++slot == Tile::stages) {
        slot = 0;
        parity ^= 1;
      }
    }
  };
  __device__ HopperStep<Tile>& begin_keys(bool last) {
    key_slot_ = keys_.slot;
    barrier_wait(&barriers_.keys_empty[key_slot_], keys_.parity);
    keys_.go_on();
    if (lane_ == 0) steps_[key_slot_].last = last;
    return steps_[key_slot_];
  }
  __device__ std::byte* begin_values() {
    value_slot_ = values_.slot;
    barrier_wait(&barriers_.values_empty[value_slot_], values_.parity);
    values_.go_on();
    return smem_ + Plan::values_at + value_slot_ * Plan::stage_bytes;
  }
  __device__ void bring_keys(Chunk const& now, bool last) {
    HopperStep<Tile>& step = begin_keys(last);
    bool const masked =
        now.masked_as + kWarpRows - 1 > first_position_ || now.key <= last_position_ - args_.problem.window_tokens;
    bool const any_masked = __any_sync(kAllLanes, masked);
    if (lane_ == 0) step.mask = any_masked ? HopperMask::position : HopperMask::none;
    if (lane_ < Plan::key_chunks) step.first_key[lane_] = now.masked_as;
    boxes_.bring(smem_ + Plan::keys_at + key_slot_ * Plan::stage_bytes, &args_.keys, args_.problem.k,
                 &barriers_.keys_full[key_slot_], now.key);
  }
  __device__ void bring_values(std::int32_t key) {
    std::byte* const to = begin_values();
    boxes_.bring(to, &args_.values, args_.problem.v, &barriers_.values_full[value_slot_], key);
  }

  using Slashes = SlashWalk<Tile::keys>;
  __device__ void bring_slashes() {
    typename Slashes::Step now = slash_, before = slash_;
    bool more = steps_of_tile_ != 0;
    for (bool first = true; more; first = false) {
      now = slash_;
      more = slashes_.next(slash_);
      if (now.columns)
        bring_column_keys(now, !more);
      else
        bring_keys(tile_chunk(now), !more);
      if (!first) bring_slash_values(before);
      before = now;
    }
    if (steps_of_tile_ != 0) bring_slash_values(before);
  }
  __device__ Chunk tile_chunk(typename Slashes::Step const& step) const {
    std::int32_t const key = step.key + lane_ % Plan::key_chunks * kWarpRows;
    return {key, key};
  }
  __device__ void bring_column_keys(typename Slashes::Step const& now, bool last) {
    HopperStep<Tile>& step = begin_keys(last);
    std::uint32_t every = 0xffffffffU;
#pragma unroll
    for (int w = 0; w < Tile::keys / 32; ++w) every &= now.bits[w];
    if (lane_ == 0) {
      step.mask = every == 0xffffffffU ? HopperMask::none : HopperMask::column;
#pragma unroll
      for (int w = 0; w < Tile::keys / 32; ++w) step.columns[w] = now.bits[w];
    }
    bring_columns(smem_ + Plan::keys_at + key_slot_ * Plan::stage_bytes, &args_.column_keys,
                  &barriers_.keys_full[key_slot_], now.key);
  }
  __device__ void bring_slash_values(typename Slashes::Step const& step) {
    if (!step.columns) return bring_values(tile_chunk(step).key);
    std::byte* const to = begin_values();
    bring_columns(to, &args_.column_values, &barriers_.values_full[value_slot_], step.key);
  }
  __device__ void bring_columns(std::byte* to, CUtensorMap const* map, std::uint64_t* full, std::int32_t place) {
    if (lane_ != 0) return;
    barrier_arrive_expecting(full, Plan::stage_bytes);
    copy_box(to, map, full, 0, place, 0, slash_row_, 0);
  }

  HopperArgs<T> const& args_;
  std::byte* smem_;
  HopperBarriers<Tile>& barriers_;
  HopperWork<Tile>* works_;
  HopperStep<Tile>* steps_;
  HopperBoxes<Tile> boxes_;
  std::int32_t lane_;
  std::int32_t sequence_ = 0, first_tile_ = 0;
  std::int32_t head_kv_ = 0, first_head_ = 0, len_q_ = 0, len_k_ = 0;
  std::int32_t first_query_ = 0, first_position_ = 0, last_position_ = 0;
  std::int32_t steps_of_tile_ = 0;
  std::int32_t const* list_ = nullptr;
  std::int32_t list_count_ = 0;  // entries; without lists the diagonal's step
  struct Place {
    std::int32_t entry, token;  // of a list, and in its block
  };
  Place first_place_, stride_, place_;  // of this lane's 16 keys: of a tile's first step, from step to step, now
  RingAt keys_, values_;
  std::uint32_t works_begun_ = 0;
  std::uint32_t query_slot_ = 0, key_slot_ = 0, value_slot_ = 0;
  Slashes slashes_;
  typename Slashes::Step slash_{};  // the next one
  std::int32_t slash_row_ = 0;
};

}  // namespace lacuna::cuda
