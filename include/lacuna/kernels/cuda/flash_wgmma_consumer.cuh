#pragma once

#include <cmath>
#include <cstdint>

#include "lacuna/kernels/cuda/flash_wgmma_tile.cuh"
#include "lacuna/kernels/cuda/primitives/async_copy.cuh"
#include "lacuna/kernels/cuda/primitives/mma.cuh"
#include "lacuna/kernels/cuda/primitives/warp.cuh"
#include "lacuna/kernels/cuda/primitives/wgmma.cuh"

namespace lacuna::cuda {

/// Running softmax of the two rows that a thread holds a quarter of; logits in units of `scale` powers of two.
struct HopperSoftmax {
  float highest[2] = {-INFINITY, -INFINITY};
  float sum[2] = {0.0F, 0.0F};  // of this thread's columns alone
};

/// tanh to a few units of 2^-24 of 1: the device's own approximation is too coarse for a cap of 50.
__device__ __forceinline__ float tanh_by_exp(float x) {
  return 1.0F - 2.0F * __frcp_rn(1.0F + exp2_fast(x * 2.8853900817779268F));
}

/// One warpgroup of consumers.
template <class Tile>
class HopperConsumer {
  using T = typename Tile::Element;
  using Plan = HopperPlan<Tile>;
  using Products = Wgmma<T>;
  static constexpr int kValueColumns = Tile::dim == 64 ? 64 : 128;  // of one product
  static constexpr int kValueParts = Tile::dim / kValueColumns;
  static constexpr bool kTakesTurns = Tile::consumers == 2;

 public:
  __device__ HopperConsumer(HopperArgs<T> const& args, std::byte* smem, HopperBarriers<Tile>& barriers,
                            HopperWork<Tile> const* works, HopperStep<Tile> const* steps)
      : args_(args),
        barriers_(barriers),
        works_(works),
        steps_(steps),
        smem_(smem_address(smem)),
        lane_(lane_id()),
        group_(warp_id() / 4),
        warp_(warp_id() % 4),
        capped_(args.problem.soft_cap > 0.0F),
        logit_to_cap_(capped_ ? args.problem.scale / args.problem.soft_cap : 0.0F),
        scale_(kLog2E * (capped_ ? args.problem.soft_cap : args.problem.scale)) {}

  __device__ void run() {
    if (kTakesTurns && group_ == 1) named_barrier_arrive(1, 256);
    for (std::uint32_t tile = 0;; ++tile) {
      query_slot_ = tile % Tile::query_buffers;
      barrier_wait(&barriers_.queries_full[query_slot_], tile / Tile::query_buffers & 1);
      HopperWork<Tile> const& work = works_[tile % Plan::works];
      HopperTask const task = work.task;
      if (task == HopperTask::stop) break;
      attend(work.units[group_ * 4 + warp_], task);
    }
    if (kTakesTurns && group_ == 0) named_barrier_sync(1, 256);
  }

 private:
  using Scores = float[Tile::keys / 2];
  using Weights = std::uint32_t[Tile::keys / 16][4];
  using Out = float[kValueParts][kValueColumns / 2];

  __device__ void attend(HopperUnit const unit, HopperTask task) {
    Out out;
#pragma unroll
    for (int part = 0; part < kValueParts; ++part)
#pragma unroll
      for (int i = 0; i < kValueColumns / 2; ++i) out[part][i] = 0.0F;
    HopperSoftmax rows;
    if (task == HopperTask::attend)
      walk(unit, rows, out);
    else
      release(&barriers_.queries_empty[query_slot_]);
    finish(unit, rows, out);
  }

  /// Scores of step t + 1 are computed while those of step t, now weights, multiply the values: one softmax runs under
  /// the tensor cores' work of both. The first step, and the last values, stand outside the loop.
  __device__ void walk(HopperUnit const unit, HopperSoftmax& rows, Out& out) {
    std::int32_t const position = unit.position + lane_ / 4;
    std::uint32_t queries[Tile::queries_in_registers ? Tile::dim / 16 : 1][4];
    if constexpr (Tile::queries_in_registers) {
      load_queries(queries);
      release(&barriers_.queries_empty[query_slot_]);
    }
    Scores scores;
    Weights weights;
    float fade[2];
    std::uint32_t slot = slot_, parity = parity_;
    barrier_wait(&barriers_.keys_full[slot], parity);
    Told told = listen(slot);
    score(queries, slot, scores);
    wait_products<0>();
    settle(scores);
    mask(told, slot, position, scores);
    release(&barriers_.keys_empty[slot]);
    soften(scores, rows, fade);
    weigh(scores, weights);
    while (!told.last) {
      std::uint32_t const slot_before = slot, parity_before = parity;
      go_on(slot, parity);
      barrier_wait(&barriers_.keys_full[slot], parity);
      told = listen(slot);
      if constexpr (kTakesTurns) named_barrier_sync(1 + group_, 256);
      score(queries, slot, scores);
      barrier_wait(&barriers_.values_full[slot_before], parity_before);
      add_values(weights, slot_before, out);
      if constexpr (kTakesTurns) named_barrier_arrive(2 - group_, 256);
      wait_products<1>();
      settle(scores);
      mask(told, slot, position, scores);
      release(&barriers_.keys_empty[slot]);
      soften(scores, rows, fade);
      wait_products<0>();
      settle_out(out);
      release(&barriers_.values_empty[slot_before]);
      if (__any_sync(kAllLanes, fade[0] != 1.0F || fade[1] != 1.0F)) {  // seldom, once a row has seen its best keys
#pragma unroll
        for (int part = 0; part < kValueParts; ++part)
#pragma unroll
          for (int i = 0; i < kValueColumns / 2; ++i) out[part][i] *= fade[i / 2 % 2];
      }
      weigh(scores, weights);
    }
    if constexpr (!Tile::queries_in_registers) release(&barriers_.queries_empty[query_slot_]);
    barrier_wait(&barriers_.values_full[slot], parity);
    add_values(weights, slot, out);
    wait_products<0>();
    settle_out(out);
    release(&barriers_.values_empty[slot]);
    go_on(slot, parity);
    slot_ = slot;
    parity_ = parity;
  }
  __device__ static void go_on(std::uint32_t& slot, std::uint32_t& parity) {
    if (++slot == Tile::stages) {
      slot = 0;
      parity ^= 1;
    }
  }

  /// One lane of each warp tells the producer.
  __device__ void release(std::uint64_t* empty) const {
    __syncwarp();
    if (lane_ == 0) barrier_arrive(empty);
  }
  __device__ static void settle_out(Out& out) {
#pragma unroll
    for (int part = 0; part < kValueParts; ++part) settle(out[part]);
  }

  __device__ void load_queries(std::uint32_t (&queries)[Tile::queries_in_registers ? Tile::dim / 16 : 1][4]) const {
    std::uint32_t const row = warp_ * 16 + lane_ % 16;
#pragma unroll
    for (int k = 0; k < (Tile::queries_in_registers ? Tile::dim / 16 : 1); ++k) {
      std::uint32_t const chunk = k % 4 * 2 + lane_ / 16;
      load_matrices(queries[k], smem_ + k / 4 * (64 * 128) + row * 128 + ((chunk ^ (row % 8)) << 4));
    }
  }

  __device__ void score(std::uint32_t const (&queries)[Tile::queries_in_registers ? Tile::dim / 16 : 1][4],
                        std::uint32_t slot, Scores& scores) const {
    std::uint64_t const keys = matrix_descriptor(smem_ + Plan::keys_at + slot * Plan::stage_bytes, Plan::atom_bytes, 0);
    std::uint64_t const rows =
        matrix_descriptor(smem_ + query_slot_ * Plan::query_bytes + group_ * (64 * Tile::dim * 2), 1024, 0);
    products_begin();
#pragma unroll
    for (int k = 0; k < Tile::dim / 16; ++k) {
      std::uint64_t const b = advanced(keys, k % 4 * 32 + k / 4 * Plan::half_bytes);
      if constexpr (Tile::queries_in_registers)
        Products::template multiply<false>(scores, queries[k], b, k > 0);
      else
        Products::template multiply<false>(scores, advanced(rows, k % 4 * 32 + k / 4 * (64 * 128)), b, k > 0);
    }
    products_close();
  }

  __device__ void add_values(Weights const& weights, std::uint32_t slot, Out& out) const {
    std::uint64_t const values =
        matrix_descriptor(smem_ + Plan::values_at + slot * Plan::stage_bytes, Plan::atom_bytes, Plan::half_bytes);
    products_begin();
#pragma unroll
    for (int k = 0; k < Tile::keys / 16; ++k)
#pragma unroll
      for (int part = 0; part < kValueParts; ++part)
        Products::template multiply<true>(
            out[part], weights[k], advanced(values, k * 2 * Plan::atom_bytes + part * 2 * Plan::half_bytes), true);
    products_close();
  }

  /// What the producer says of a step; read before its products are waited for.
  struct Told {
    HopperMask mask;
    bool last;
  };
  __device__ Told listen(std::uint32_t slot) const { return {steps_[slot].mask, steps_[slot].last != 0}; }

  /// Caps the logits if asked to, and removes those that a row may not see.
  __device__ void mask(Told const& told, std::uint32_t slot, std::int32_t position, Scores& scores) const {
    if (capped_) {
#pragma unroll
      for (int i = 0; i < Tile::keys / 2; ++i) scores[i] = tanh_by_exp(scores[i] * logit_to_cap_);
    }
    if (told.mask == HopperMask::none) return;
    HopperStep<Tile> const& step = steps_[slot];
    if (told.mask == HopperMask::position) {
      std::int32_t const window = args_.problem.window_tokens;
#pragma unroll
      for (int chunk = 0; chunk < Tile::keys / 8; ++chunk) {
        std::int32_t const key = step.first_key[chunk / 2] + chunk % 2 * 8 + lane_ % 4 * 2;
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          std::int32_t const back = position + i / 2 * 8 - (key + i % 2);
          if (back < 0 || back >= window) scores[chunk * 4 + i] = -INFINITY;
        }
      }
    }
    if constexpr (Tile::slashes) {
      if (told.mask == HopperMask::column) {
#pragma unroll
        for (int chunk = 0; chunk < Tile::keys / 8; ++chunk) {
          std::uint32_t const counts = step.columns[chunk / 4] >> (chunk % 4 * 8 + lane_ % 4 * 2);
#pragma unroll
          for (int i = 0; i < 4; ++i)
            if ((counts >> i % 2 & 1U) == 0) scores[chunk * 4 + i] = -INFINITY;
        }
      }
    }
  }

  /// Scores become 2^(score - highest), and `fade` what that does to everything before. Four chains each way: a warp
  /// has its scheduler to itself while the other warpgroup multiplies, so latency is time.
  __device__ void soften(Scores& scores, HopperSoftmax& rows, float (&fade)[2]) const {
    float base[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      float part[4];
#pragma unroll
      for (int i = 0; i < Tile::keys / 4; ++i) {
        float const score = scores[i / 2 * 4 + r * 2 + i % 2];
        part[i % 4] = i < 4 ? score : fmaxf(part[i % 4], score);
      }
      float const highest = quad_max(fmaxf(fmaxf(fmaxf(part[0], part[1]), fmaxf(part[2], part[3])), rows.highest[r]));
      base[r] = highest == -INFINITY ? 0.0F : __fmul_rn(highest, scale_);
      // Rounded like the base before it: exactly 1 where the highest stays.
      fade[r] = exp2_fast(__fmul_rn(rows.highest[r], scale_) - base[r]);
      rows.highest[r] = highest;
    }
    float sum[4] = {0.0F, 0.0F, 0.0F, 0.0F};
#pragma unroll
    for (int i = 0; i < Tile::keys / 2; ++i) {
      scores[i] = exp2_fast(fmaf(scores[i], scale_, -base[i / 2 % 2]));
      sum[i % 4] += scores[i];
    }
#pragma unroll
    for (int r = 0; r < 2; ++r) rows.sum[r] = fmaf(rows.sum[r], fade[r], sum[r * 2] + sum[r * 2 + 1]);
  }
  __device__ static void weigh(Scores const& scores, Weights& weights) {
#pragma unroll
    for (int i = 0; i < Tile::keys / 4; ++i) weights[i / 4][i % 4] = pack2<T>(scores[2 * i], scores[2 * i + 1]);
  }

  __device__ void finish(HopperUnit const unit, HopperSoftmax const& rows, Out const& out) const {
    float const* const sinks = args_.problem.sink_logits;
    float const sink = sinks == nullptr ? -INFINITY : sinks[unit.head] * kLog2E;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      float const total = quad_sum(rows.sum[r]);
      float const highest = __fmul_rn(rows.highest[r], scale_);
      float const base = fmaxf(highest, sink) == -INFINITY ? 0.0F : fmaxf(highest, sink);
      float const fade = exp2_fast(highest - base);
      float const all = total * fade + exp2_fast(sink - base);
      float const share = all == 0.0F ? 0.0F : fade / all;
      std::int32_t const row = lane_ / 4 + r * 8;
      bool const exists = row >= unit.valid_begin && row < unit.valid_end;
      T* const to = args_.answer.row(unit.token + row, unit.head);
#pragma unroll
      for (int four = 0; four < Tile::dim / 32; ++four) {
        std::uint32_t words[4];
#pragma unroll
        for (int c = 0; c < 4; ++c) {
          int const chunk = four * 4 + c;
          float const* const pair = &out[chunk / (kValueColumns / 8)][chunk % (kValueColumns / 8) * 4 + r * 2];
          words[c] = pack2<T>(pair[0] * share, pair[1] * share);
        }
        transpose_quad(words);
        if (exists) reinterpret_cast<uint4*>(to)[four * 4 + lane_ % 4] = uint4{words[0], words[1], words[2], words[3]};
      }
      if (exists && lane_ % 4 == 0) args_.answer.set_lse(unit.token + row, unit.head, kLn2 * (base + log2f(all)));
    }
  }
  /// Lane t of four has words [chunk] of its two columns, and receives those of all eight columns of chunk t: 16 bytes
  /// that lie together.
  __device__ void transpose_quad(std::uint32_t (&words)[4]) const {
#pragma unroll
    for (int bit = 1; bit <= 2; ++bit) {
      bool const high = (lane_ & bit) != 0;
#pragma unroll
      for (int pair = 0; pair < 2; ++pair) {
        std::uint32_t& low_word = words[bit == 1 ? pair * 2 : pair];
        std::uint32_t& high_word = words[bit == 1 ? pair * 2 + 1 : pair + 2];
        std::uint32_t const received = __shfl_xor_sync(kAllLanes, high ? low_word : high_word, bit);
        (high ? low_word : high_word) = received;
      }
    }
  }

  HopperArgs<T> const& args_;
  HopperBarriers<Tile>& barriers_;
  HopperWork<Tile> const* works_;
  HopperStep<Tile> const* steps_;
  std::uint32_t smem_;
  std::int32_t lane_, group_, warp_;
  bool capped_;
  float logit_to_cap_, scale_;
  std::uint32_t query_slot_ = 0;
  std::uint32_t slot_ = 0, parity_ = 0;  // of the next step
};

}  // namespace lacuna::cuda
