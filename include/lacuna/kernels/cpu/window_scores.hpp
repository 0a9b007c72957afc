#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "lacuna/kernels/cpu/flash_block.hpp"
#include "lacuna/kernels/window_scores.hpp"

namespace lacuna {
namespace cpu {

/// The window's queries of one head against its keys, one panel of keys and one strip of queries at a time.
template <Storage T>
class QueryWindow {
 public:
  static constexpr std::int64_t memory_floats(std::int64_t window, std::int64_t dim) {
    return window * (padded(dim) + 2) + kPanelKeys * padded(dim) + kStripRows * kPanelKeys;
  }

  QueryWindow(float* memory, Problem<T> const& problem, std::int64_t head, std::int64_t window, std::int64_t behind)
      : kv_(problem.kv),
        head_kv_(head / problem.group()),
        window_(window),
        first_position_(kv_.length(head_kv_) - behind - window),
        row_floats_(padded(kv_.dim)),
        scale_log2_(problem.logit_scale() * kLog2E) {
    auto const take = [&](std::int64_t floats) { return memory += floats, memory - floats; };
    q_ = take(window * row_floats_);
    highest_ = take(window);
    lse_ = take(window);
    panel_ = take(kPanelKeys * row_floats_);
    strip_ = take(kStripRows * kPanelKeys);
    for (std::int64_t t = 0; t < window; ++t)
      widen_row(&problem.q(problem.len_q() - behind - window + t, head, 0), kv_.dim, q_ + t * row_floats_);
  }

  /// Raises columns[key] to the highest softmax weight of any query. NaN stays.
  void raise_scores(float* columns) {
    each_weight([&](std::int64_t, std::int64_t first_key, std::int64_t seen, float const* weights) {
      for (std::int64_t j = 0; j < seen; ++j) {
        float& highest = columns[first_key + j];
        if (weights[j] > highest || weights[j] != weights[j]) highest = weights[j];
      }
    });
  }

  /// Adds weight * softmax to columns[key] and to reversed_diagonals[len - 1 - (position - key)]: in reverse,
  /// neighbouring keys are neighbours in both. The diagonals may be null.
  void add_scores(float weight, float* columns, float* reversed_diagonals) {
    each_weight([&](std::int64_t t, std::int64_t first_key, std::int64_t seen, float const* weights) {
      for (std::int64_t j = 0; j < seen; ++j) columns[first_key + j] += weights[j] * weight;
      if (reversed_diagonals == nullptr) return;
      float* const diagonal = reversed_diagonals + (window_ - 1 - t) + first_key;
      for (std::int64_t j = 0; j < seen; ++j) diagonal[j] += weights[j] * weight;
    });
  }

 private:
  /// Calls f(t, first_key, seen, weights) for every query t and panel of keys: softmax weights of the keys it reads.
  template <class F>
  void each_weight(F const& f) {
    std::fill_n(highest_, window_, -kInfinity);
    std::fill_n(lse_, window_, 0.0F);
    each_strip([&](std::int64_t t, std::int64_t, std::int64_t seen, float* logits) { measure(t, seen, logits); });
    for (std::int64_t t = 0; t < window_; ++t) lse_[t] = highest_[t] + std::log2(lse_[t]);
    each_strip([&](std::int64_t t, std::int64_t first_key, std::int64_t seen, float* logits) {
      for (std::int64_t j = 0; j < seen; j += simd::kLanes)
        simd::store(logits + j, simd::exp2(simd::load(logits + j) - lse_[t]));
      f(t, first_key, seen, logits);
    });
  }

  /// Calls f(t, first_key, seen, logits) for every query t and panel of keys: base-2 logits of the `seen` keys it
  /// reads.
  template <class F>
  void each_strip(F const& f) {
    std::int64_t const len = first_position_ + window_;
    T const* rows[kPanelKeys];
    for (std::int64_t first_key = 0; first_key < len; first_key += kPanelKeys) {
      std::int64_t const count = std::min(kPanelKeys, len - first_key);
      for (std::int64_t j = 0; j < count; ++j) rows[j] = kv_.k + kv_.offset(head_kv_, first_key + j);
      pack_keys(rows, count, kv_.dim, panel_);
      for (std::int64_t t = 0; t < window_; t += kStripRows)
        with_rows(std::min<std::int64_t>(kStripRows, window_ - t), [&](auto strip_rows) {
          multiply<strip_rows, false>(
              kv_.dim, q_ + t * row_floats_, row_floats_, [&](std::int64_t x) { return panel_ + x * kPanelKeys; },
              padded(count), strip_, kPanelKeys);
          for (std::int64_t i = 0; i < strip_rows; ++i) {
            std::int64_t const seen = std::clamp<std::int64_t>(first_position_ + t + i + 1 - first_key, 0, count);
            float* const logits = strip_ + i * kPanelKeys;
            for (std::int64_t j = 0; j < seen; j += simd::kLanes)
              simd::store(logits + j, simd::load(logits + j) * scale_log2_);
            f(t + i, first_key, seen, logits);
          }
        });
    }
  }

  /// Running maximum and sum of query t.
  void measure(std::int64_t t, std::int64_t seen, float* logits) {
    for (std::int64_t j = seen; j < padded(seen); ++j) logits[j] = -kInfinity;
    simd::Vec highest = simd::splat(highest_[t]);
    for (std::int64_t j = 0; j < seen; j += simd::kLanes) highest = simd::max(simd::load(logits + j), highest);
    float const raised = simd::largest(highest);
    float const base = raised == -kInfinity ? 0.0F : raised;
    simd::Vec mass{};
    for (std::int64_t j = 0; j < seen; j += simd::kLanes) mass += simd::exp2(simd::load(logits + j) - base);
    lse_[t] = lse_[t] * std::exp2(highest_[t] - base) + simd::sum(mass);
    highest_[t] = raised;
  }

  KvView<T> const& kv_;
  std::int64_t head_kv_, window_, first_position_, row_floats_;
  float scale_log2_;
  float *q_, *highest_, *lse_, *panel_, *strip_;
};

}  // namespace cpu

inline float* reserve_window_scores(Cpu exec, Shape const& shape, std::int64_t window, Workspace& memory) {
  return memory.take<float>(exec.workers *
                            cpu::QueryWindow<float>::memory_floats(std::min(window, shape.len_q), shape.dim));
}

template <Storage T>
Status window_scores(Cpu exec, WindowScoresArgs<T> const& args) {
  if (Status s = args.check(); !s) return s;
  Problem<T> const& problem = args.problem;
  Workspace memory = args.scratch;
  float* const scratch = reserve_window_scores(exec, shape_of(problem), args.window, memory);
  if (Status s = memory.check("window_scores: the workspace is smaller than planned"); !s) return s;
  std::int64_t const window = std::min(args.window, problem.len_q() - args.behind);
  std::int64_t const rows = args.columns.extent(0);
  std::int64_t const len_k = args.columns.extent(1);
  std::int64_t const heads_per_row = problem.heads_q() / rows;
  std::int64_t const floats = cpu::QueryWindow<T>::memory_floats(window, problem.dim());
  exec.for_work(2 * problem.heads_q() * window * len_k * problem.dim()).each(rows, [&](std::int64_t row, int worker) {
    float* const columns = args.columns.slice(row);
    float* const diagonals = args.diagonals.data == nullptr ? nullptr : args.diagonals.slice(row);
    if (!args.onto) std::fill_n(columns, len_k, 0.0F);
    if (diagonals != nullptr) std::fill_n(diagonals, len_k, 0.0F);
    for (std::int64_t head = row * heads_per_row; head < (row + 1) * heads_per_row; ++head) {
      cpu::QueryWindow<T> queries(scratch + worker * floats, problem, head, window, args.behind);
      if (args.reduction == WindowReduction::highest)
        queries.raise_scores(columns);
      else
        queries.add_scores(1.0F / static_cast<float>(heads_per_row), columns, diagonals);
    }
    if (diagonals != nullptr)
      std::reverse(diagonals, diagonals + problem.kv.length(row * heads_per_row / problem.group()));
  });
  return {};
}

}  // namespace lacuna
