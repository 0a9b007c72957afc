#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "lacuna/kernels/cpu/flash_block.hpp"
#include "lacuna/kernels/window_scores.hpp"

namespace lacuna {
namespace cpu {

/// Sums along the diagonals of a window, in reverse: the weight of row t and key j of a panel belongs at
/// reversed[first_place + kStrip - 1 - t + j], so that neighbouring keys are neighbours.
struct WindowDiagonals {
  float weight;
  float* reversed;  // or null
  std::int64_t first_place, count;
};

/// What the weights of a panel's keys are added to, times `weight`; or, of columns, the highest.
struct WindowSums {
  float* columns;  // of the panel's keys
  WindowDiagonals diagonals;
  float* carry;  // [rows], diagonals that are not complete yet
  bool highest;
};

/// What differs between instruction sets. Everything here is strips of 64 queries and panels of 64 keys.
template <Storage T>
struct WindowKernels {
  void (*pack_queries)(FlashState const&, T const* const* queries);
  void (*measure)(FlashState const&, T const* const* keys, std::int64_t count, std::int32_t const* seen);
  void (*weigh)(FlashState const&, T const* const* keys, std::int64_t count, std::int32_t const* seen,
                float const* mass, WindowSums const&);
  void (*finish)(std::int64_t rows, WindowSums const&);
};

}  // namespace cpu
}  // namespace lacuna

#define LACUNA_EACH_TARGET "lacuna/kernels/cpu/window_scores.inl"
#include "lacuna/kernels/cpu/each_target.inl"

namespace lacuna {
namespace cpu {

/// The window's queries of one head against its keys, one panel of keys at a time.
template <Storage T>
class QueryWindow {
 public:
  static constexpr std::int64_t memory_floats(std::int64_t window, std::int64_t dim) {
    std::int64_t const rows = round_up(window, kStrip);
    return rows * (row_floats(dim) + 8) + kPanelKeys * (row_floats(dim) + kStrip);
  }

  QueryWindow(float* memory, Problem<T> const& problem, std::int64_t head, std::int64_t window, std::int64_t behind)
      : problem_(problem),
        kv_(problem.kv),
        head_kv_(head / problem.group()),
        sink_logit_(problem.sink_logit(head)),
        window_(window),
        first_position_(kv_.length(head_kv_) - behind - window) {
    std::int64_t const rows = round_up(window, kStrip);
    auto const take = [&](std::int64_t floats) { return memory += floats, memory - floats; };
    state_.rows = window;
    state_.dim = kv_.dim;
    set_logits(problem, state_);
    state_.q = take(rows * row_floats(kv_.dim));
    state_.sums = nullptr;
    state_.mass = take(rows);
    state_.max = take(rows);
    state_.keys = take(kPanelKeys * row_floats(kv_.dim));
    state_.scores = take(kPanelKeys * kStrip);
    mass_ = take(rows);
    carry_ = take(rows);
    seen_ = reinterpret_cast<std::int32_t*>(take(rows));
    hidden_ = reinterpret_cast<std::int32_t*>(take(rows));
    T const** const queries = reinterpret_cast<T const**>(take(2 * rows));
    for (std::int64_t t = 0; t < window; ++t) queries[t] = &problem.q(problem.len_q() - behind - window + t, head, 0);
    kernels_.pack_queries(state_, queries);
    std::fill_n(state_.max, rows, -kInfinity);
    std::fill_n(state_.mass, rows, 0.0F);
    std::fill_n(mass_, rows, 0.0F);
  }

  /// Raises columns[key] to the highest softmax weight of any query. NaN stays.
  void raise_scores(float* columns) { weigh({columns, {}, nullptr, true}); }

  /// Adds weight * softmax to columns[key] and to reversed_diagonals[len - 1 - (position - key)]: in reverse,
  /// neighbouring keys are neighbours in both. The diagonals may be null.
  void add_scores(float weight, float* columns, float* reversed_diagonals) {
    std::fill_n(carry_, round_up(window_, kStrip), 0.0F);
    weigh({columns, {weight, reversed_diagonals, window_ - kStrip, first_position_ + window_}, carry_, false});
  }

 private:
  void weigh(WindowSums const& sums) {
    each_panel([&](T const* const* keys, std::int64_t, std::int64_t count, std::int32_t const* seen) {
      kernels_.measure(state_, keys, count, seen);
    });
    for (std::int64_t t = 0; t < window_; ++t) {
      RowMass row{double{state_.max[t] * state_.scale_log2}, double{state_.mass[t]}};
      row.join(sink_logit_);
      // Relative to the highest logit: of both, whatever their size, only differences are taken.
      mass_[t] = static_cast<float>(row.lse_log2() - double{state_.max[t] * state_.scale_log2});
    }
    each_panel([&](T const* const* keys, std::int64_t first_key, std::int64_t count, std::int32_t const* seen) {
      WindowSums panel = sums;
      panel.columns += first_key;
      panel.diagonals.first_place += first_key;
      kernels_.weigh(state_, keys, count, seen, mass_, panel);
    });
    kernels_.finish(window_, sums);
  }

  /// Calls f(keys, first_key, count, seen) for every panel; seen is null where every query sees every key.
  template <class F>
  void each_panel(F const& f) {
    std::int64_t const len = first_position_ + window_;
    T const* rows[kPanelKeys];
    for (std::int64_t first_key = problem_.oldest_key(first_position_); first_key < len; first_key += kPanelKeys) {
      std::int64_t const count = std::min(kPanelKeys, len - first_key);
      for (std::int64_t j = 0; j < count; ++j) rows[j] = kv_.k + kv_.offset(head_kv_, first_key + j);
      state_.hidden = nullptr;
      if (problem_.oldest_key(len - 1) > first_key) {
        for (std::int64_t t = 0; t < round_up(window_, kStrip); ++t)
          hidden_[t] = static_cast<std::int32_t>(std::clamp<std::int64_t>(
              problem_.oldest_key(first_position_ + std::min(t, window_ - 1)) - first_key, 0, count));
        state_.hidden = hidden_;
      }
      bool const all = first_key + count - 1 <= first_position_;
      if (!all)
        for (std::int64_t t = 0; t < round_up(window_, kStrip); ++t)
          seen_[t] = static_cast<std::int32_t>(
              std::clamp<std::int64_t>(first_position_ + std::min(t, window_ - 1) + 1 - first_key, 0, count));
      f(rows, first_key, count, all ? nullptr : seen_);
    }
  }

  WindowKernels<T> const& kernels_ = LACUNA_FOR_TARGET(window_kernels<T>);
  Problem<T> const& problem_;
  KvView<T> const& kv_;
  std::int64_t head_kv_;
  float sink_logit_;
  std::int64_t window_, first_position_;
  FlashState state_;
  float *mass_, *carry_;
  std::int32_t *seen_, *hidden_;
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
