#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>

#include "lacuna/core/problem.hpp"
#include "lacuna/kernels/cpu/flash_kernels.hpp"
#include "lacuna/kernels/cpu/shared_panels.hpp"

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

/// A row's answer from its sums of weighted values, rounded once to T, and unless lse is null its log-sum-exp. 0 and
/// -inf for a row without keys, whose sink has no logit either.
template <Storage T>
void write_answer(RowMass row, float const* sums, float sink_logit, std::int64_t dim, T* out, float* lse) {
  double const factor = row.join(sink_logit);
  bool const nothing = row.mass == 0.0;
  LACUNA_FOR_TARGET(flash_kernels<T>).write_row(sums, nothing ? 0.0F : static_cast<float>(factor / row.mass), dim, out);
  if (lse != nullptr) *lse = nothing ? -kInfinity : static_cast<float>(row.lse_log2() * kLn2);
}

/// Query rows that attend together to one KV head, with a running softmax: exact attention over whatever runs of keys
/// are added, in ascending order, 64 keys at a time. Every sparse pattern is a list of runs, so this is the only
/// attention loop. Panels and pieces of panels are read where they were packed for all blocks, pieces several together;
/// single keys come from where they lie. Of what is read at once a row sees the keys at or below its position, those
/// are always the first so many, less those that its window leaves behind, and they are the very first. Here is who
/// sees what; flash.inl has the arithmetic.
template <Storage T>
class FlashBlock {
 public:
  /// Floats of memory that a block of `rows` rows needs.
  static constexpr std::int64_t memory_floats(std::int64_t rows, std::int64_t dim) {
    std::int64_t const held = held_rows(rows);
    return held * 2 * row_floats(dim) + round_up(held, 16) * 6 + 2 * panel_floats(dim) + kScoresFloats;
  }

  /// Null panels: every key is read from where it lies.
  FlashBlock(float* memory, std::int64_t rows, Problem<T> const& problem, std::int64_t head_kv,
             SharedPanels<T> const* panels)
      : problem_(problem), kv_(problem.kv), head_kv_(head_kv), panels_(rows > kDirectRows ? panels : nullptr) {
    std::int64_t const held = held_rows(rows);
    auto const take = [&](std::int64_t floats) { return memory += floats, memory - floats; };
    state_.rows = rows;
    state_.dim = kv_.dim;
    set_logits(problem, state_);
    if (!state_.direct()) state_.stride = strip_rows(rows);
    state_.q = take(held * row_floats(kv_.dim));
    state_.sums = take(held * row_floats(kv_.dim));
    state_.mass = take(round_up(held, 16));
    state_.max = take(round_up(held, 16));
    seen_ = reinterpret_cast<std::int32_t*>(take(round_up(held, 16)));
    hidden_ = reinterpret_cast<std::int32_t*>(take(round_up(held, 16)));
    queries_ = reinterpret_cast<T const**>(take(round_up(held, 16) * 2));
    state_.keys = take(panel_floats(kv_.dim));
    values_ = take(panel_floats(kv_.dim));
    state_.scores = take(kScoresFloats) + kScoresMargin;
    std::fill(state_.scores - kScoresMargin, state_.scores, 0.0F);
    std::fill_n(state_.sums, held * row_floats(kv_.dim), 0.0F);
    std::fill_n(state_.mass, held, 0.0F);
    std::fill_n(state_.max, held, -kInfinity);
  }

  /// Row r is a query of a head. Rows come in ascending order of position: row r stands at first + r / step. All are
  /// set before the first run.
  void set_query(std::int64_t r, T const* query) { queries_[r] = query; }
  void set_positions(std::int64_t first, std::int64_t step) { first_position_ = first, rows_per_position_ = step; }

  std::int64_t first_position() const { return first_position_; }
  std::int64_t last_position() const { return position(state_.rows - 1); }

  /// Runs that follow are windows: a row sees its own key and window_tokens - 1 before it, besides what the problem
  /// asks for. What was added before is not affected.
  void set_window(std::int64_t window_tokens) {
    attend_gathered();
    window_tokens_ = window_tokens;
  }

  /// Keys [begin, end) of this KV head; beyond everything added before.
  void add_run(std::int64_t begin, std::int64_t end) {
    std::int64_t const first = oldest(first_position_);  // or a little before: those are hidden
    begin = std::max(begin, first);
    while (begin < end) {
      std::int64_t const next = panels_ == nullptr ? end : std::min(end, begin / kPanelKeys * kPanelKeys + kPanelKeys);
      add_piece(begin, next);
      begin = next;
    }
  }

  /// After the last run, before any row is written.
  void finish() {
    attend_gathered();
    kernels_.finish(state_);
  }

  /// What row r has summed, after finish(): values times weights, [row_floats(dim)], and the weights.
  float const* sums(std::int64_t r) const {
    return (state_.direct() ? state_.sums : state_.q) + r * row_floats(state_.dim);
  }
  RowMass mass(std::int64_t r) const { return {double{state_.max[r] * state_.scale_log2}, double{state_.mass[r]}}; }

 private:
  static constexpr std::int64_t kMostKeys = KeyUnits::kMost * kUnitKeys;
  static constexpr std::int64_t kFewKeys = 3;  // rather than 16 in their place

  static constexpr std::int64_t held_rows(std::int64_t rows) {
    return rows <= kDirectRows ? rows : round_up(rows, strip_rows(rows));
  }

  std::int64_t position(std::int64_t r) const { return first_position_ + r / rows_per_position_; }
  std::int64_t oldest(std::int64_t position) const {
    return std::max(problem_.oldest_key(position), window_tokens_ == 0 ? 0 : position + 1 - window_tokens_);
  }

  /// Keys of one panel.
  void add_piece(std::int64_t begin, std::int64_t end) {
    if (panels_ == nullptr) return add_singles(begin, end);
    std::int64_t const p = begin / kPanelKeys, first = p * kPanelKeys;
    if (begin == first && end == std::min(first + kPanelKeys, panels_->len()) && !panels_->narrow()) {
      for (std::int64_t j = first; j < end; ++j) whole_[j - first] = j;
      return attend_panel(panels_->get(p), whole_);
    }
    std::int64_t const grain = kernels_.grain, unit = panels_->narrow() || grain == kUnitKeys ? kUnitKeys : kPanelKeys;
    while (begin < end) {
      std::int64_t const next = std::min({begin / unit * unit + unit, begin / grain * grain + unit_room(), end});
      if (next - begin <= kFewKeys)
        add_singles(begin, next);
      else
        add_unit(p, begin, next);
      begin = next;
    }
  }

  /// Keys of one unit.
  void add_unit(std::int64_t p, std::int64_t begin, std::int64_t end) {
    Panel const panel = panels_->get(p);
    std::int64_t const grain = kernels_.grain, first = begin / grain * grain, count = round_up(end - first, grain);
    std::uint64_t const there = first_bits(end - begin) << (begin - first);
    units_.units[units_.count++] = {panel.keys, panel.values, first - p * kPanelKeys, count,
                                    first_bits(count) & ~there};
    units_.finite = units_.finite && panel.finite;
    for (std::int64_t i = 0; i < count; ++i) unit_positions_[units_.keys + i] = first + i;
    units_.keys += count;
    if (units_.count == KeyUnits::kMost || unit_room() < kUnitKeys) attend_units();
  }

  static constexpr std::uint64_t first_bits(std::int64_t count) {
    return count == 0 ? 0 : ~std::uint64_t{0} >> (64 - count);
  }
  /// Keys that may join the units that wait. Fewer rows leave room for the scores of more of them.
  std::int64_t unit_room() const { return kPanelKeys * kStrip / state_.stride - units_.keys; }

  void attend_units() {
    units_.narrow = panels_->narrow();
    std::int32_t const* const seen = mask(unit_positions_, units_.keys);
    kernels_.attend_units(state_, units_, seen);
    units_.count = units_.keys = 0;
    units_.finite = true;
  }

  void add_singles(std::int64_t begin, std::int64_t end) {
    while (begin < end) {
      std::int64_t taken = std::min(end - begin, kPanelKeys - rows_.count);
      if (kv_.page_table != nullptr) taken = std::min(taken, kv_.page_tokens - begin % kv_.page_tokens);
      std::int64_t offset = kv_.offset(head_kv_, begin);
      for (std::int64_t i = 0; i < taken; ++i, ++rows_.count, offset += kv_.stride_token) {
        rows_.keys[rows_.count] = kv_.k + offset;
        rows_.values[rows_.count] = kv_.v + offset;
        positions_[rows_.count] = begin + i;
      }
      begin += taken;
      if (rows_.count == kPanelKeys) attend_singles();
    }
  }

  void attend_singles() {
    if (state_.direct()) {  // and then those of before: these are on their way
      attend_earlier();
      earlier_ = rows_;
      std::copy_n(positions_, rows_.count, earlier_positions_);
    } else {
      bool const finite =
          kernels_.pack_panel(rows_.keys, rows_.values, rows_.count, kv_.dim, state_.keys, values_, false);
      attend_panel({state_.keys, values_, rows_.count, finite}, positions_);
    }
    rows_.count = 0;
  }

  void attend_earlier() {
    if (earlier_.count == 0) return;
    std::int32_t const* const seen = mask(earlier_positions_, earlier_.count);
    kernels_.attend_rows(state_, earlier_, rows_, seen);
    earlier_.count = 0;
  }

  void attend_gathered() {
    if (units_.count > 0) attend_units();
    if (rows_.count > 0) attend_singles();
    attend_earlier();
  }

  void attend_panel(Panel const& panel, std::int64_t const* positions) {
    std::int32_t const* const seen = mask(positions, panel.count);
    kernels_.attend_panel(state_, panel, seen);
  }

  /// Who sees which of these keys, in state_.hidden and as returned; null if all do.
  std::int32_t const* mask(std::int64_t const* keys, std::int64_t count) {
    if (!packed_) kernels_.pack_queries(state_, queries_);
    packed_ = true;
    std::int64_t const held = held_rows(state_.rows), last_row = state_.rows - 1;
    state_.hidden = nullptr;
    if (keys[0] < oldest(position(last_row))) {
      for (std::int64_t r = 0; r < held; ++r)
        hidden_[r] = static_cast<std::int32_t>(
            std::lower_bound(keys, keys + count, oldest(position(std::min(r, last_row)))) - keys);
      state_.hidden = hidden_;
    }
    if (keys[count - 1] <= first_position_) return nullptr;
    for (std::int64_t r = 0; r < held; ++r)
      seen_[r] =
          static_cast<std::int32_t>(std::upper_bound(keys, keys + count, position(std::min(r, last_row))) - keys);
    return seen_;
  }

  FlashKernels<T> const& kernels_ = LACUNA_FOR_TARGET(flash_kernels<T>);
  Problem<T> const& problem_;
  KvView<T> const& kv_;
  std::int64_t head_kv_;
  SharedPanels<T> const* panels_;
  FlashState state_;
  std::int64_t first_position_ = 0, rows_per_position_ = 1, window_tokens_ = 0;
  bool packed_ = false;
  std::int32_t *seen_, *hidden_;
  T const** queries_;
  // Keys that wait until there are enough of them, ascending: single ones, of direct rows those that were collected
  // before, and units.
  KeyRows<T> rows_, earlier_;
  std::int64_t positions_[kPanelKeys], earlier_positions_[kPanelKeys];
  KeyUnits units_;
  std::int64_t unit_positions_[kMostKeys];
  float* values_;                   // of single keys, as a panel; the keys are the state's
  std::int64_t whole_[kPanelKeys];  // the keys of a whole panel
};

}  // namespace lacuna::cpu
