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
#include "lacuna/kernels/cpu/micro_kernels.hpp"

namespace lacuna::cpu {

inline constexpr float kInfinity = std::numeric_limits<float>::infinity();
inline constexpr float kLog2E = 1.4426950408889634F;
inline constexpr double kLn2 = 0.69314718055994531;

/// Query rows that attend together to one KV head, with a running softmax: exact attention over whatever runs of keys
/// are added, in ascending order, 64 keys at a time. Every sparse pattern is a list of runs, so this is the only
/// attention loop. A row reads the keys at or below its position; those are always the first so many of a panel.
template <Storage T>
class FlashBlock {
 public:
  /// Floats of memory that a block of `rows` rows needs.
  static constexpr std::int64_t memory_floats(std::int64_t rows, std::int64_t dim) {
    return rows * (2 * padded(dim) + simd::kLanes + 1) + panel_floats(dim) + kStripRows * kPanelKeys;
  }

  FlashBlock(float* memory, std::int64_t rows, KvView<T> const& kv, std::int64_t head_kv, float scale)
      : kv_(kv),
        head_kv_(head_kv),
        rows_(rows),
        dim_(kv.dim),
        row_floats_(padded(kv.dim)),
        scale_log2_(scale * kLog2E) {
    auto const take = [&](std::int64_t floats) { return memory += floats, memory - floats; };
    q_ = take(rows * row_floats_);
    sums_ = take(rows * row_floats_);
    mass_ = take(rows * simd::kLanes);
    key_panel_ = take(kPanelKeys * row_floats_);
    value_panel_ = take(kPanelKeys * row_floats_);
    strip_ = take(kStripRows * kPanelKeys);
    max_ = take(rows);
    std::fill_n(sums_, rows * row_floats_, 0.0F);
    std::fill_n(mass_, rows * simd::kLanes, 0.0F);
    std::fill_n(max_, rows, -kInfinity);
  }

  /// Row r is query `row` of head `head`. Rows come in ascending order of position: row r stands at first + r / step.
  void set_query(std::int64_t r, T const* query) { widen_row(query, dim_, q_ + r * row_floats_); }
  void set_positions(std::int64_t first, std::int64_t step) { first_position_ = first, rows_per_position_ = step; }

  /// Keys [begin, end) of this KV head; beyond everything added before.
  void add_run(std::int64_t begin, std::int64_t end) {
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
  }

  /// Row r's answer, rounded once to T, and unless lse is null its log-sum-exp. 0 and -inf for a row without keys.
  void write_row(std::int64_t r, T* out, float* lse) const {
    float const mass = simd::sum(simd::load(mass_ + r * simd::kLanes));
    float const inverse = mass == 0.0F ? 0.0F : 1.0F / mass;
    float const* const sums = sums_ + r * row_floats_;
    for (std::int64_t x = 0; x < dim_; ++x) out[x] = from_float<T>(sums[x] * inverse);
    if (lse != nullptr)
      *lse = mass == 0.0F ? -kInfinity : static_cast<float>((double{max_[r]} + std::log2(double{mass})) * kLn2);
  }

 private:
  static constexpr std::int64_t kDirectRows = 12;  // below this, packing a panel costs more than it saves

  static constexpr std::int64_t panel_floats(std::int64_t dim) { return 2 * kPanelKeys * padded(dim); }

  std::int64_t position(std::int64_t r) const { return first_position_ + r / rows_per_position_; }

  /// How many keys of the panel row r may read.
  std::int64_t visible(std::int64_t r) const {
    std::int64_t const last = position(r);
    if (keys_[count_ - 1] <= last) return count_;
    return std::upper_bound(keys_, keys_ + count_, last) - keys_;
  }

  void attend_panel() {
    bool const direct = rows_ <= kDirectRows;
    float const* keys[kPanelKeys];
    if (direct) {
      widen_keys(keys);
    } else {
      pack_keys(key_rows_, count_, dim_, key_panel_);
      pack_values(value_rows_, count_, dim_, value_panel_);
    }
    for (std::int64_t r = 0; r < rows_; r += kStripRows)
      with_rows(std::min<std::int64_t>(kStripRows, rows_ - r), [&](auto rows) {
        std::int64_t seen[rows];
        std::int64_t most = 0, least = count_;
        for (std::int64_t i = 0; i < rows; ++i) {
          seen[i] = visible(r + i);
          most = std::max(most, seen[i]);
          least = std::min(least, seen[i]);
        }
        if (most == 0) return;
        float const* const queries = q_ + r * row_floats_;
        float* const sums = sums_ + r * row_floats_;
        if (direct) {
          dot_rows(queries, row_floats_, rows, keys, most, dim_, strip_);
          soften<rows>(r, seen);
          add_values<rows>(seen, least, sums, dim_, [&](std::int64_t k) { return value_rows_[k]; });
        } else {
          multiply<rows, false>(
              dim_, queries, row_floats_, [&](std::int64_t x) { return key_panel_ + x * kPanelKeys; },
              std::min(padded(most), kPanelKeys), strip_, kPanelKeys);
          soften<rows>(r, seen);
          add_values<rows>(seen, least, sums, row_floats_,
                           [&](std::int64_t k) { return value_panel_ + k * row_floats_; });
        }
      });
    count_ = 0;
  }

  /// Rows of floats: the stored ones where they are, others widened once for all rows of the block.
  void widen_keys(float const* (&keys)[kPanelKeys]) {
    if constexpr (std::same_as<T, float>) {
      std::copy_n(key_rows_, count_, keys);
    } else {
      pack_values(key_rows_, count_, dim_, key_panel_);
      for (std::int64_t k = 0; k < count_; ++k) keys[k] = key_panel_ + k * row_floats_;
    }
  }

  /// The strip's logits become weights relative to each row's running maximum, and so does what was summed before.
  template <int Rows>
  void soften(std::int64_t r, std::int64_t const (&seen)[Rows]) {
    using simd::Vec;
    for (std::int64_t i = 0; i < Rows; ++i) {
      float* const logits = strip_ + i * kPanelKeys;
      std::int64_t const whole = padded(seen[i]);
      for (std::int64_t j = seen[i]; j < whole; ++j) logits[j] = -kInfinity;
      Vec highest = simd::splat(-kInfinity);
      for (std::int64_t j = 0; j < whole; j += simd::kLanes) {
        Vec const scaled = simd::load(logits + j) * scale_log2_;
        simd::store(logits + j, scaled);
        highest = simd::max(scaled, highest);
      }
      float& running = max_[r + i];
      float const raised = std::max(running, simd::largest(highest));
      float const base = raised == -kInfinity ? 0.0F : raised;  // -inf - -inf would be NaN
      Vec mass = simd::load(mass_ + (r + i) * simd::kLanes);
      if (raised != running) {
        Vec const shrink = simd::exp2(simd::splat(running - base));
        running = raised;
        mass = mass * shrink;
        float* const sums = sums_ + (r + i) * row_floats_;
        for (std::int64_t x = 0; x < row_floats_; x += simd::kLanes)
          simd::store(sums + x, simd::load(sums + x) * shrink);
      }
      for (std::int64_t j = 0; j < whole; j += simd::kLanes) {
        Vec const weight = simd::exp2(simd::load(logits + j) - base);
        simd::store(logits + j, weight);
        mass += weight;
      }
      simd::store(mass_ + (r + i) * simd::kLanes, mass);
    }
  }

  /// Beyond the keys that all rows of the strip see, row by row: a weight of 0 would still let a NaN through.
  template <int Rows, class B>
  void add_values(std::int64_t const (&seen)[Rows], std::int64_t least, float* sums, std::int64_t columns,
                  B const& values) {
    multiply<Rows, true>(least, strip_, kPanelKeys, values, columns, sums, row_floats_);
    for (std::int64_t i = 0; i < Rows; ++i)
      if (seen[i] > least)
        multiply<1, true>(
            seen[i] - least, strip_ + i * kPanelKeys + least, kPanelKeys,
            [&](std::int64_t k) { return values(least + k); }, columns, sums + i * row_floats_, row_floats_);
  }

  KvView<T> const& kv_;
  std::int64_t head_kv_, rows_, dim_, row_floats_;
  float scale_log2_;
  std::int64_t first_position_ = 0, rows_per_position_ = 1;
  float *q_, *sums_, *mass_, *key_panel_, *value_panel_, *strip_, *max_;
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
    FlashBlock<T> block(scratch + worker * floats, rows, problem.kv, head_kv, problem.logit_scale());
    block.set_positions(first, shape.heads);
    auto const query = [&](std::int64_t r) { return first - first_query + r / shape.heads; };
    for (std::int64_t r = 0; r < rows; ++r) block.set_query(r, &problem.q(query(r), head + r % shape.heads, 0));
    runs(head, m, block);
    block.finish();
    for (std::int64_t r = 0; r < rows; ++r)
      block.write_row(r, &out.out(query(r), head + r % shape.heads, 0),
                      out.lse.data == nullptr ? nullptr : &out.lse(query(r), head + r % shape.heads));
  });
  return {};
}

}  // namespace lacuna::cpu
