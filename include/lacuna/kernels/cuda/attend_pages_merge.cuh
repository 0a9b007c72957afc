#pragma once

#include <cstdint>

#include "lacuna/core/problem.hpp"
#include "lacuna/kernels/cuda/attend_pages_row.cuh"
#include "lacuna/kernels/cuda/primitives/launch_order.cuh"
#include "lacuna/kernels/cuda/primitives/warp.cuh"
#include "lacuna/kernels/cuda/ticket.cuh"

namespace lacuna::cuda {

inline constexpr int kPageParts = 264;  // AttendPagesTraits::parts of every instance

/// Where the parts of a row meet.
struct PageScratch {
  float* sums = nullptr;      // [slots, rows, dim], weighted values relative to the highest logit
  float* states = nullptr;    // [slots, rows, 2], highest logit and sum of weights, base 2
  int2* row_slots = nullptr;  // [rows of work], first slot and parts, for a launch that merges
};

template <class T>
struct PageOut {
  T* out;
  std::int64_t stride_token, stride_head;
  float* lse;
  std::int64_t lse_stride_token, lse_stride_head;
  float* sums;
  float* states;
  int2* row_slots;
  std::int32_t* tickets;  // one per row of work, or null

  PageOut(AttentionOut<T> const& answer, PageScratch const& scratch, std::int32_t* tickets)
      : out(answer.out.data),
        stride_token(answer.out.stride(0)),
        stride_head(answer.out.stride(1)),
        lse(answer.lse.data),
        lse_stride_token(answer.lse.stride(0)),
        lse_stride_head(answer.lse.stride(1)),
        sums(scratch.sums),
        states(scratch.states),
        row_slots(scratch.row_slots),
        tickets(tickets) {}
};

/// Each warp leaves its rows in its share of `states`: [rows, pitch] sums, then [rows, 2] states.
template <class Traits>
__device__ __forceinline__ void leave_state(WarpState<Traits>& state, unsigned char* states) {
  float* const sums = reinterpret_cast<float*>(states + warp_id() * Traits::state_bytes);
  int const g = lane_id() / 4, t = lane_id() % 4;
  state.sum[0] = quad_sum(state.sum[0]);
  state.sum[1] = quad_sum(state.sum[1]);
#pragma unroll
  for (int half = 0; half < Traits::rows / 8; ++half) {
    int const r = g + 8 * half;
#pragma unroll
    for (int c = 0; c < Traits::dim / 8; c += 2) {
      float const(&a)[4] = state.out[c], (&b)[4] = state.out[c + 1];
      float* const to = sums + r * Traits::pitch + 8 * c;
      if constexpr (Traits::fp8) {
        *reinterpret_cast<float4*>(to + 4 * t) = {a[2 * half], b[2 * half], a[2 * half + 1], b[2 * half + 1]};
      } else {
        *reinterpret_cast<float2*>(to + 2 * t) = {a[2 * half], a[2 * half + 1]};
        *reinterpret_cast<float2*>(to + 8 + 2 * t) = {b[2 * half], b[2 * half + 1]};
      }
    }
    if (t == 0)
      *reinterpret_cast<float2*>(sums + Traits::rows * Traits::pitch + 2 * r) = {state.highest[half], state.sum[half]};
  }
}

__device__ __forceinline__ float weight_of(float highest, float base) { return exp2_fast(highest - base); }
/// What to measure logits from: -inf - -inf would be NaN.
__device__ __forceinline__ float base_of(float highest) { return highest == -INFINITY ? 0.0F : highest; }

/// Two channels of a row over the warps of the block, relative to their highest logit, which comes in `state`.
template <class Traits>
__device__ __forceinline__ float2 sum_of_warps(unsigned char const* smem, int r, int channel, float2& state) {
  float const* warps[Traits::warps];
  state = {-INFINITY, 0.0F};
#pragma unroll
  for (int w = 0; w < Traits::warps; ++w) {
    warps[w] = reinterpret_cast<float const*>(smem + w * Traits::state_bytes);
    state.x = fmaxf(state.x, warps[w][Traits::rows * Traits::pitch + 2 * r]);
  }
  float2 sum{0.0F, 0.0F};
#pragma unroll
  for (int w = 0; w < Traits::warps; ++w) {
    float2 const own = *reinterpret_cast<float2 const*>(warps[w] + Traits::rows * Traits::pitch + 2 * r);
    float const weight = weight_of(own.x, base_of(state.x));
    float2 const values = *reinterpret_cast<float2 const*>(warps[w] + r * Traits::pitch + channel);
    state.y += weight * own.y;
    sum.x += weight * values.x;
    sum.y += weight * values.y;
  }
  return sum;
}

/// Two channels of the answer from their sums; the sink joins here, once for a row.
template <class Traits>
__device__ __forceinline__ void write_answer(PageRows<typename Traits::T> const& rows, PageRow const& row,
                                             PageOut<typename Traits::T> const& out, int r, int channel, float2 sum,
                                             float2 state) {
  using T = typename Traits::T;
  int const pair = row.first_pair + r;
  std::int64_t const token = row.first_query + pair / rows.group;
  int const head = row.head * rows.group + pair % rows.group;
  float const sink = rows.problem.sink_logits != nullptr ? rows.problem.sink_logits[head] * kLog2E : -INFINITY;
  float const highest = fmaxf(state.x, sink), base = base_of(highest);
  float const weight = weight_of(state.x, base);
  float const total = weight * state.y + exp2_fast(sink - base);
  float factor = total == 0.0F ? 0.0F : weight / total;
  if constexpr (Traits::fp8) factor *= rows.v_scales[row.head_kv];
  std::uint32_t const both = total == 0.0F ? 0 : pack2<T>(sum.x * factor, sum.y * factor);
  auto* const to =
      reinterpret_cast<std::uint16_t*>(out.out + token * out.stride_token + head * out.stride_head + channel);
  to[0] = static_cast<std::uint16_t>(both);
  to[1] = static_cast<std::uint16_t>(both >> 16);
  if (channel == 0 && out.lse != nullptr)
    out.lse[token * out.lse_stride_token + head * out.lse_stride_head] =
        total == 0.0F ? -INFINITY : (highest + log2f(total)) * kLn2;
}

/// A row that sees no key.
template <class Traits>
__device__ void answer_nothing(PageRows<typename Traits::T> const& rows, PageRow const& row,
                               PageOut<typename Traits::T> const& out) {
  for (int i = static_cast<int>(threadIdx.x); i < row.pairs * Traits::dim / 2; i += Traits::threads)
    write_answer<Traits>(rows, row, out, i / (Traits::dim / 2), i % (Traits::dim / 2) * 2, {0.0F, 0.0F},
                         {-INFINITY, 0.0F});
}

/// A row that lies wholly in this block's part.
template <class Traits>
__device__ __forceinline__ void finish_row(PageRows<typename Traits::T> const& rows, PageRow const& row,
                                           PageOut<typename Traits::T> const& out, unsigned char const* smem) {
  for (int i = static_cast<int>(threadIdx.x); i < row.pairs * Traits::dim / 2; i += Traits::threads) {
    int const r = i / (Traits::dim / 2), channel = i % (Traits::dim / 2) * 2;
    float2 state;
    float2 const sum = sum_of_warps<Traits>(smem, r, channel, state);
    write_answer<Traits>(rows, row, out, r, channel, sum, state);
  }
}

template <class Traits>
__device__ __forceinline__ void leave_part(PageOut<typename Traits::T> const& out, std::int64_t slot,
                                           unsigned char const* smem) {
  for (int i = static_cast<int>(threadIdx.x); i < Traits::rows * Traits::dim / 2; i += Traits::threads) {
    int const r = i / (Traits::dim / 2), channel = i % (Traits::dim / 2) * 2;
    float2 state;
    float2 const sum = sum_of_warps<Traits>(smem, r, channel, state);
    *reinterpret_cast<float2*>(out.sums + (slot * Traits::rows + r) * Traits::dim + channel) = sum;
    if (channel == 0) *reinterpret_cast<float2*>(out.states + (slot * Traits::rows + r) * 2) = state;
  }
}

/// The answer of a row from its parts, in their order, whoever calls it.
template <class Traits>
__device__ void merge_parts(PageRows<typename Traits::T> const& rows, PageRow const& row,
                            PageOut<typename Traits::T> const& out, std::int64_t first_slot, int parts,
                            unsigned char* smem) {
  static_assert(Traits::merge_bytes <= Traits::states_bytes);
  constexpr int kQuads = Traits::dim / 4, kAtOnce = Traits::dim > 128  ? 4
                                                    : Traits::rows > 8 ? 14
                                                                       : 18;  // loads in flight of a thread
  float2* const totals = reinterpret_cast<float2*>(smem);                     // [rows]
  float* const weights = reinterpret_cast<float*>(smem + 1024);               // [parts, rows]
  float2 const* const states = reinterpret_cast<float2 const*>(out.states) + first_slot * Traits::rows;
  float4 values[kAtOnce];
  auto const load = [&](int i, int first) {
    float const* const sums = out.sums + (first_slot * Traits::rows + i / kQuads) * Traits::dim + i % kQuads * 4;
#pragma unroll
    for (int p = 0; p < kAtOnce; ++p)
      if (first + p < parts)
        values[p] =
            __ldcg(reinterpret_cast<float4 const*>(sums + std::int64_t{first + p} * Traits::rows * Traits::dim));
  };
  int i = static_cast<int>(threadIdx.x);
  int const items = row.pairs * kQuads;
  if (i < items) load(i, 0);
  __syncthreads();
  for (int r = warp_id(); r < row.pairs; r += Traits::warps) {
    float highest = -INFINITY, sum = 0.0F;
    for (int p = lane_id(); p < parts; p += 32) highest = fmaxf(highest, __ldcg(states + p * Traits::rows + r).x);
#pragma unroll
    for (int other = 16; other > 0; other /= 2) highest = fmaxf(highest, __shfl_xor_sync(kAllLanes, highest, other));
    for (int p = lane_id(); p < parts; p += 32) {
      float2 const own = __ldcg(states + p * Traits::rows + r);
      float const weight = weight_of(own.x, base_of(highest));
      weights[p * Traits::rows + r] = weight;
      sum += weight * own.y;
    }
#pragma unroll
    for (int other = 16; other > 0; other /= 2) sum += __shfl_xor_sync(kAllLanes, sum, other);
    if (lane_id() == 0) totals[r] = {highest, sum};
  }
  __syncthreads();
  while (i < items) {
    int const r = i / kQuads, channel = i % kQuads * 4;
    float4 sum{0.0F, 0.0F, 0.0F, 0.0F};
    for (int first = 0;;) {
#pragma unroll
      for (int p = 0; p < kAtOnce; ++p) {
        if (first + p >= parts) continue;
        float const weight = weights[(first + p) * Traits::rows + r];
        sum.x += weight * values[p].x;
        sum.y += weight * values[p].y;
        sum.z += weight * values[p].z;
        sum.w += weight * values[p].w;
      }
      first += kAtOnce;
      if (first >= parts) break;
      load(i, first);
    }
    write_answer<Traits>(rows, row, out, r, channel, {sum.x, sum.y}, totals[r]);
    write_answer<Traits>(rows, row, out, r, channel + 2, {sum.z, sum.w}, totals[r]);
    i += Traits::threads;
    if (i < items) load(i, 0);
  }
}

/// Where a block stands in its part: [begin, end) of the chunks of row `index`, which begins at row_begin in the
/// stream of all rows.
struct RowShare {
  int index;
  std::int32_t row_begin, begin, end;
};

/// Called by all threads once every warp has left its state: the block's share of a row becomes the answer, or a part
/// of it, or with tickets the last of the parts to come.
template <class Traits>
__device__ __forceinline__ void end_share(PageRows<typename Traits::T> const& rows, PageRow const& row,
                                          PageOut<typename Traits::T> const& out, PagePart const& cut,
                                          RowShare const& share, unsigned char* states, bool& last) {
  int const part = static_cast<int>(blockIdx.x), index = share.index;
  std::int32_t const row_end = share.row_begin + row.chunks;
  // In the stream rows and parts both ascend, so that their sum names every meeting of the two just once.
  bool const by_row = cut.chunks == 0;
  int const first_slot = by_row ? cut.first_part : share.row_begin / cut.chunks + index;
  int const parts = by_row ? cut.row_parts : (row_end - 1) / cut.chunks - share.row_begin / cut.chunks + 1;
  bool const first = share.begin == share.row_begin;
  __syncthreads();
  if (out.tickets == nullptr && first && threadIdx.x == 0) out.row_slots[index] = {first_slot, parts};
  if (parts == 1) {
    finish_row<Traits>(rows, row, out, states);
  } else {
    leave_part<Traits>(out, by_row ? part : part + index, states);
    if (out.tickets != nullptr && is_last(out.tickets + index, parts - 1, last))
      merge_parts<Traits>(rows, row, out, first_slot, parts, states);
  }
  __syncthreads();
}

/// Rows that nobody's part holds, because they have no chunk.
template <class Traits>
__device__ void answer_empty_rows(PageRows<typename Traits::T> const& rows, PageOut<typename Traits::T> const& out) {
  for (int row = static_cast<int>(blockIdx.x); row < rows.count(); row += Traits::parts)
    if (PageRow const r = rows.at(row); r.chunks == 0 && r.pairs > 0) answer_nothing<Traits>(rows, r, out);
}

/// grid: rows of work; a block merges one row that several parts share. Reads rows * (dim + 2) floats a part.
template <class Traits>
__global__ void __launch_bounds__(Traits::threads)
    merge_rows_kernel(PageRows<typename Traits::T> const rows, PageOut<typename Traits::T> const out) {
  extern __shared__ __align__(128) unsigned char page_smem[];
  launch_after_earlier();
  int const index = static_cast<int>(blockIdx.x);
  PageRow const row = rows.at(index);
  if (row.chunks == 0) return;
  int2 const slots = out.row_slots[index];
  if (slots.y > 1) merge_parts<Traits>(rows, row, out, slots.x, slots.y, page_smem);
}

}  // namespace lacuna::cuda
