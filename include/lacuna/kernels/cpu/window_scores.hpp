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

/// What differs between instruction sets. Everything here is one strip of 64 queries and panels of 64 keys.
template <Storage T>
struct WindowKernels {
  void (*pack_queries)(FlashState const&, T const* const* queries);
  void (*measure)(FlashState const&, T const* const* keys, std::int64_t count, std::int32_t const* seen);
  void (*weigh)(FlashState const&, std::int64_t count, std::int32_t const* seen, float const* mass, WindowSums const&);
  void (*finish)(std::int64_t rows, WindowSums const&);
};

/// Keys whose scores are kept until the mass of their queries is known. The products with later keys are taken twice:
/// so memory has a bound.
inline constexpr std::int64_t kKeptKeys = 16384;

}  // namespace cpu
}  // namespace lacuna

#define LACUNA_EACH_TARGET "lacuna/kernels/cpu/window_scores.inl"
#include "lacuna/kernels/cpu/each_target.inl"

namespace lacuna {
namespace cpu {

/// Up to 64 neighbouring queries of one head's window against its keys, one panel of keys at a time.
template <Storage T>
class QueryWindow {
 public:
  static constexpr std::int64_t memory_floats(std::int64_t window, std::int64_t len_k, std::int64_t dim) {
    std::int64_t const rows = strip_rows(std::min(window, kStrip));
    return rows * row_floats(dim) + 8 * kStrip + kPanelKeys * (row_floats(dim) + rows) +
           kept_panels(len_k) * kPanelKeys * rows;
  }

  /// Query rows [first, first + count) of the problem.
  QueryWindow(float* memory, Problem<T> const& problem, std::int64_t head, std::int64_t first, std::int64_t count)
      : problem_(problem),
        kv_(problem.kv),
        head_kv_(head / problem.group()),
        sink_logit_(problem.sink_logit(head)),
        rows_(count),
        first_position_(kv_.length(head_kv_) - problem.len_q() + first),
        first_key_(problem.oldest_key(first_position_)),
        kept_(kept_panels(kv_.length(head_kv_))) {
    auto const take = [&](std::int64_t floats) { return memory += floats, memory - floats; };
    state_.rows = count;
    state_.stride = strip_rows(count);
    state_.dim = kv_.dim;
    set_logits(problem, state_);
    state_.q = take(state_.stride * row_floats(kv_.dim));
    state_.sums = nullptr;
    state_.mass = take(kStrip);
    state_.max = take(kStrip);
    state_.keys = take(kPanelKeys * row_floats(kv_.dim));
    again_ = take(panel_scores());
    mass_ = take(kStrip);
    carry_ = take(kStrip);
    seen_ = reinterpret_cast<std::int32_t*>(take(kStrip));
    hidden_ = reinterpret_cast<std::int32_t*>(take(kStrip));
    T const** const queries = reinterpret_cast<T const**>(take(2 * kStrip));
    kept_scores_ = take(kept_ * panel_scores());
    for (std::int64_t t = 0; t < count; ++t) queries[t] = &problem.q(first + t, head, 0);
    kernels_.pack_queries(state_, queries);
    std::fill_n(state_.max, kStrip, -kInfinity);
    std::fill_n(state_.mass, kStrip, 0.0F);
    std::fill_n(mass_, kStrip, 0.0F);
  }

  /// Raises columns[key] to the highest softmax weight of any query. NaN stays.
  void raise_scores(float* columns) { weigh({columns, {}, nullptr, true}); }

  /// Adds weight * softmax to columns[key] and to reversed_diagonals[end - 1 - (position - key)], where `end` is how
  /// many keys the window's last query sees: in reverse, neighbouring keys are neighbours in both. The diagonals may be
  /// null.
  void add_scores(float weight, float* columns, float* reversed_diagonals, std::int64_t end) {
    std::fill_n(carry_, kStrip, 0.0F);
    std::int64_t const behind = end - (first_position_ + rows_);
    weigh({columns, {weight, reversed_diagonals, rows_ + behind - kStrip, end}, carry_, false});
  }

 private:
  static constexpr std::int64_t kept_panels(std::int64_t len_k) {
    return (std::min(len_k, kKeptKeys) + kPanelKeys - 1) / kPanelKeys;
  }

  void weigh(WindowSums const& sums) {
    std::int64_t const len = first_position_ + rows_, panels = (len - first_key_ + kPanelKeys - 1) / kPanelKeys;
    for (std::int64_t p = 0; p < panels; ++p) measure(p);
    for (std::int64_t t = 0; t < rows_; ++t) {
      RowMass row{double{state_.max[t] * state_.scale_log2}, double{state_.mass[t]}};
      row.join(sink_logit_);
      // Relative to the highest logit: of both, whatever their size, only differences are taken.
      mass_[t] = static_cast<float>(row.lse_log2() - double{state_.max[t] * state_.scale_log2});
    }
    for (std::int64_t p = 0; p < panels; ++p) {
      state_.scores = scores_of(p);
      if (p >= kept_) measure(p);  // once more, for the scores alone
      WindowSums panel = sums;
      panel.columns += key_of(p);
      panel.diagonals.first_place += key_of(p);
      kernels_.weigh(state_, count_of(p), mask(p), mass_, panel);
    }
    kernels_.finish(rows_, sums);
  }

  std::int64_t panel_scores() const { return kPanelKeys * state_.stride; }
  float* scores_of(std::int64_t p) const { return p < kept_ ? kept_scores_ + p * panel_scores() : again_; }
  std::int64_t key_of(std::int64_t p) const { return first_key_ + p * kPanelKeys; }
  std::int64_t count_of(std::int64_t p) const { return std::min(kPanelKeys, first_position_ + rows_ - key_of(p)); }

  void measure(std::int64_t p) {
    T const* keys[kPanelKeys];
    for (std::int64_t j = 0; j < count_of(p); ++j) keys[j] = kv_.k + kv_.offset(head_kv_, key_of(p) + j);
    state_.scores = scores_of(p);
    std::int32_t const* const seen = mask(p);
    kernels_.measure(state_, keys, count_of(p), seen);
  }

  /// How many of a panel's keys each query sees, null if all of them; and in the state how many are too old.
  std::int32_t const* mask(std::int64_t p) {
    std::int64_t const first = key_of(p), count = count_of(p);
    auto const position = [&](std::int64_t t) { return first_position_ + std::min(t, rows_ - 1); };
    state_.hidden = nullptr;
    if (problem_.oldest_key(position(kStrip)) > first) {
      for (std::int64_t t = 0; t < kStrip; ++t)
        hidden_[t] =
            static_cast<std::int32_t>(std::clamp<std::int64_t>(problem_.oldest_key(position(t)) - first, 0, count));
      state_.hidden = hidden_;
    }
    if (first + count - 1 <= first_position_) return nullptr;
    for (std::int64_t t = 0; t < kStrip; ++t)
      seen_[t] = static_cast<std::int32_t>(std::clamp<std::int64_t>(position(t) + 1 - first, 0, count));
    return seen_;
  }

  WindowKernels<T> const& kernels_ = LACUNA_FOR_TARGET(window_kernels<T>);
  Problem<T> const& problem_;
  KvView<T> const& kv_;
  std::int64_t head_kv_;
  float sink_logit_;
  std::int64_t rows_, first_position_, first_key_, kept_;
  FlashState state_;
  float *again_, *mass_, *carry_, *kept_scores_;
  std::int32_t *seen_, *hidden_;
};

}  // namespace cpu

inline float* reserve_window_scores(Cpu exec, Shape const& shape, std::int64_t window, Workspace& memory) {
  return memory.take<float>(
      exec.workers * cpu::QueryWindow<float>::memory_floats(std::min(window, shape.len_q), shape.len_k, shape.dim));
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
  std::int64_t const first_query = problem.len_q() - args.behind - window, last_query = first_query + window;
  std::int64_t const floats = cpu::QueryWindow<T>::memory_floats(window, shape_of(problem).len_k, problem.dim());
  exec.for_work(2 * problem.heads_q() * window * len_k * problem.dim()).each(rows, [&](std::int64_t row, int worker) {
    float* const columns = args.columns.slice(row);
    float* const diagonals = args.diagonals.data == nullptr ? nullptr : args.diagonals.slice(row);
    if (!args.onto) std::fill_n(columns, len_k, 0.0F);
    if (diagonals != nullptr) std::fill_n(diagonals, len_k, 0.0F);
    for (std::int64_t head = row * heads_per_row; head < (row + 1) * heads_per_row; ++head)
      for (std::int64_t first = first_query; first < last_query; first += cpu::kStrip) {
        cpu::QueryWindow<T> queries(scratch + worker * floats, problem, head, first,
                                    std::min(cpu::kStrip, last_query - first));
        if (args.reduction == WindowReduction::highest)
          queries.raise_scores(columns);
        else
          queries.add_scores(1.0F / static_cast<float>(heads_per_row), columns, diagonals,
                             problem.kv.length(head / problem.group()) - args.behind);
      }
    if (diagonals != nullptr)
      std::reverse(diagonals, diagonals + problem.kv.length(row * heads_per_row / problem.group()));
  });
  return {};
}

}  // namespace lacuna
