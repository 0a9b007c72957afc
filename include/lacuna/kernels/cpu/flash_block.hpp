#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>

#include "lacuna/core/exec.hpp"
#include "lacuna/core/problem.hpp"
#include "lacuna/core/shape.hpp"
#include "lacuna/core/workspace.hpp"
#include "lacuna/kernels/cpu/flash_kernels.hpp"

namespace lacuna::cpu {

inline constexpr double kLn2 = 0.69314718055994531;

/// How products of queries and keys become logits in base 2.
template <Storage T>
void set_logits(Problem<T> const& problem, FlashState& state) {
  float const scale = problem.logit_scale(), magnitude = std::abs(scale);
  bool const capped = problem.soft_cap > 0.0F;
  state.sign = scale < 0.0F ? -1.0F : 1.0F;
  state.squash = capped ? magnitude / problem.soft_cap : 0.0F;
  state.scale_log2 = (capped ? problem.soft_cap : magnitude) * kLog2E;
}

/// The softmax of a row: weights relative to 2^highest sum to `mass`.
struct RowMass {
  double highest, mass;

  /// Something without a value takes part, with this logit. Returned is what the weights are to be multiplied by.
  double join(float sink_logit) {
    if (sink_logit == -kInfinity) return 1.0;
    double const sink = double{sink_logit} / kLn2, top = mass == 0.0 || sink > highest ? sink : highest;
    double const factor = mass == 0.0 ? 0.0 : std::exp2(highest - top);
    mass = mass * factor + std::exp2(sink - top);
    highest = top;
    return factor;
  }
  double lse_log2() const { return highest + std::log2(mass); }
};

/// Query rows that attend together to one KV head, with a running softmax: exact attention over whatever runs of keys
/// are added, in ascending order, 64 keys at a time. Every sparse pattern is a list of runs, so this is the only
/// attention loop. A row reads the keys at or below its position, those are always the first so many of a panel, less
/// those that its window leaves behind, and they are the very first.
/// Here is who sees what; flash.inl has the arithmetic.
template <Storage T>
class FlashBlock {
 public:
  /// Floats of memory that a block of `rows` rows needs.
  static constexpr std::int64_t memory_floats(std::int64_t rows, std::int64_t dim) {
    std::int64_t const held = held_rows(rows);
    return held * 2 * row_floats(dim) + round_up(held, 16) * 6 + 2 * kPanelKeys * row_floats(dim) + kPanelKeys * kStrip;
  }

  FlashBlock(float* memory, std::int64_t rows, Problem<T> const& problem, std::int64_t head_kv)
      : problem_(problem), kv_(problem.kv), head_kv_(head_kv) {
    std::int64_t const held = held_rows(rows);
    auto const take = [&](std::int64_t floats) { return memory += floats, memory - floats; };
    state_.rows = rows;
    state_.dim = kv_.dim;
    set_logits(problem, state_);
    state_.q = take(held * row_floats(kv_.dim));
    state_.sums = take(held * row_floats(kv_.dim));
    state_.mass = take(round_up(held, 16));
    state_.max = take(round_up(held, 16));
    seen_ = reinterpret_cast<std::int32_t*>(take(round_up(held, 16)));
    hidden_ = reinterpret_cast<std::int32_t*>(take(round_up(held, 16)));
    queries_ = reinterpret_cast<T const**>(take(round_up(held, 16) * 2));
    state_.keys = take(kPanelKeys * row_floats(kv_.dim));
    state_.values = take(kPanelKeys * row_floats(kv_.dim));
    state_.scores = take(kPanelKeys * kStrip);
    std::fill_n(state_.sums, held * row_floats(kv_.dim), 0.0F);
    std::fill_n(state_.mass, held, 0.0F);
    std::fill_n(state_.max, held, -kInfinity);
  }

  /// Row r is a query of a head. Rows come in ascending order of position: row r stands at first + r / step. All are
  /// set before the first run.
  void set_query(std::int64_t r, T const* query) { queries_[r] = query; }
  void set_positions(std::int64_t first, std::int64_t step) { first_position_ = first, rows_per_position_ = step; }

  /// Keys [begin, end) of this KV head; beyond everything added before.
  void add_run(std::int64_t begin, std::int64_t end) {
    begin = std::max(begin, problem_.oldest_key(first_position_));
    while (begin < end) {
      std::int64_t taken = std::min(end - begin, kPanelKeys - count_);
      if (kv_.page_table != nullptr) taken = std::min(taken, kv_.page_tokens - begin % kv_.page_tokens);
      std::int64_t offset = kv_.offset(head_kv_, begin);
      for (std::int64_t i = 0; i < taken; ++i, ++count_, offset += kv_.stride_token) {
        key_rows_[count_] = kv_.k + offset;
        value_rows_[count_] = kv_.v + offset;
        keys_[count_] = begin + i;
      }
      begin += taken;
      if (count_ == kPanelKeys) attend_panel();
    }
  }

  /// After the last run, before any row is written.
  void finish() {
    if (count_ > 0) attend_panel();
    kernels_.finish(state_);
  }

  /// Row r's answer, rounded once to T, and unless lse is null its log-sum-exp. 0 and -inf for a row without keys,
  /// whose sink has no logit either.
  void write_row(std::int64_t r, float sink_logit, T* out, float* lse) const {
    RowMass row{double{state_.max[r] * state_.scale_log2}, double{state_.mass[r]}};
    double const factor = row.join(sink_logit);
    bool const nothing = row.mass == 0.0;
    float const* const rows = state_.direct() ? state_.sums : state_.q;
    kernels_.write_row(rows + r * row_floats(state_.dim), nothing ? 0.0F : static_cast<float>(factor / row.mass),
                       state_.dim, out);
    if (lse != nullptr) *lse = nothing ? -kInfinity : static_cast<float>(row.lse_log2() * kLn2);
  }

 private:
  static constexpr std::int64_t held_rows(std::int64_t rows) {
    return rows <= kDirectRows ? rows : round_up(rows, kStrip);
  }

  std::int64_t position(std::int64_t r) const { return first_position_ + r / rows_per_position_; }

  /// How many keys of the panel are not after row r.
  std::int64_t visible(std::int64_t r) const {
    std::int64_t const last = position(r);
    if (keys_[count_ - 1] <= last) return count_;
    return std::upper_bound(keys_, keys_ + count_, last) - keys_;
  }

  /// How many are too old for it.
  std::int64_t too_old(std::int64_t r) const {
    return std::lower_bound(keys_, keys_ + count_, problem_.oldest_key(position(r))) - keys_;
  }

  void attend_panel() {
    if (!packed_) kernels_.pack_queries(state_, queries_);
    packed_ = true;
    bool const all = visible(0) == count_;
    if (!all)
      for (std::int64_t r = 0; r < held_rows(state_.rows); ++r)
        seen_[r] = static_cast<std::int32_t>(visible(std::min(r, state_.rows - 1)));
    bool const none_old = too_old(state_.rows - 1) == 0;
    if (!none_old)
      for (std::int64_t r = 0; r < held_rows(state_.rows); ++r)
        hidden_[r] = static_cast<std::int32_t>(too_old(std::min(r, state_.rows - 1)));
    state_.hidden = none_old ? nullptr : hidden_;
    kernels_.attend_panel(state_, key_rows_, value_rows_, count_, all ? nullptr : seen_);
    count_ = 0;
  }

  FlashKernels<T> const& kernels_ = LACUNA_FOR_TARGET(flash_kernels<T>);
  Problem<T> const& problem_;
  KvView<T> const& kv_;
  std::int64_t head_kv_;
  FlashState state_;
  std::int64_t first_position_ = 0, rows_per_position_ = 1;
  bool packed_ = false;
  std::int32_t *seen_, *hidden_;
  T const** queries_;
  std::int64_t count_ = 0;
  std::int64_t keys_[kPanelKeys];
  T const* key_rows_[kPanelKeys];
  T const* value_rows_[kPanelKeys];
};

/// How the query rows of a problem are cut into blocks: `heads` neighbouring query heads by the positions
/// [m * positions, (m + 1) * positions).
struct BlockShape {
  std::int64_t heads = 1;
  std::int64_t positions = 64;
};

/// Scratch of attend_blocks: one block per worker.
inline float* reserve_blocks(Cpu exec, Shape const& shape, BlockShape block, Workspace& memory) {
  std::int64_t const rows = block.heads * std::min(block.positions, shape.len_q);
  return memory.take<float>(exec.workers * FlashBlock<float>::memory_floats(rows, shape.dim));
}

/// Attention where runs(head_q, m, block) adds the runs of keys that block m of query head head_q (and its block.heads
/// - 1 neighbours) reads, ascending, by block.add_run(begin, end). `multiply_adds` estimates the work.
template <Storage T, class Runs>
Status attend_blocks(Cpu exec, Problem<T> const& problem, AttentionOut<T> const& out, Workspace memory,
                     BlockShape shape, std::int64_t multiply_adds, Runs const& runs) {
  if (problem.len_q() == 0) return {};
  float* const scratch = reserve_blocks(exec, shape_of(problem), shape, memory);
  if (Status s = memory.check("attend: the workspace is smaller than planned"); !s) return s;
  std::int64_t const block_rows = shape.heads * std::min(shape.positions, problem.len_q());
  std::int64_t const floats = FlashBlock<T>::memory_floats(block_rows, problem.dim());
  std::int64_t const blocks = (problem.len_q() + shape.positions - 2) / shape.positions + 1;
  std::int64_t const head_blocks = problem.heads_q() / shape.heads;
  exec.for_work(multiply_adds).each(blocks * head_blocks, [&](std::int64_t item, int worker) {
    std::int64_t const head = item % head_blocks * shape.heads;
    std::int64_t const head_kv = head / problem.group();
    std::int64_t const len = problem.kv.length(head_kv);
    std::int64_t const first_query = len - problem.len_q();
    std::int64_t const m = first_query / shape.positions + blocks - 1 - item / head_blocks;  // longest first
    std::int64_t const first = std::max(m * shape.positions, first_query);
    std::int64_t const last = std::min((m + 1) * shape.positions, len);
    if (first >= last) return;
    std::int64_t const rows = (last - first) * shape.heads;
    FlashBlock<T> block(scratch + worker * floats, rows, problem, head_kv);
    block.set_positions(first, shape.heads);
    auto const query = [&](std::int64_t r) { return first - first_query + r / shape.heads; };
    for (std::int64_t r = 0; r < rows; ++r) block.set_query(r, &problem.q(query(r), head + r % shape.heads, 0));
    runs(head, m, block);
    block.finish();
    for (std::int64_t r = 0; r < rows; ++r)
      block.write_row(r, problem.sink_logit(head + r % shape.heads), &out.out(query(r), head + r % shape.heads, 0),
                      out.lse.data == nullptr ? nullptr : &out.lse(query(r), head + r % shape.heads));
  });
  return {};
}

}  // namespace lacuna::cpu
