#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "lacuna/selectors/selector.hpp"

namespace lacuna {
namespace detail {

/// Scaled scores become their softmax; NaN and -inf weigh nothing. A row of nothing else becomes zeros.
inline void soften_row(float* scores, std::int64_t units, float scale) {
  constexpr float kNone = -std::numeric_limits<float>::infinity();
  float highest = kNone;
  for (std::int64_t unit = 0; unit < units; ++unit) {
    float& score = scores[unit];
    score = std::isnan(score) ? kNone : std::min(score * scale, std::numeric_limits<float>::max());
    highest = std::max(highest, score);
  }
  if (highest == kNone) return std::fill_n(scores, units, 0.0F), void();
  double total = 0.0;
  for (std::int64_t unit = 0; unit < units; ++unit)
    total += static_cast<double>(scores[unit] = std::exp(scores[unit] - highest));
  auto const inverse = static_cast<float>(1.0 / total);
  for (std::int64_t unit = 0; unit < units; ++unit) scores[unit] *= inverse;
}

}  // namespace detail

/// Wraps a selector whose scores are logits without scale, such as MeanPool or MinMaxBound: each row becomes its
/// softmax under the problem's scale, which a budget of mass can add up.
template <class S>
struct Normalised {
  static constexpr bool measures_mass = true;
  static constexpr bool reads_bounds_alone = kReadsBoundsAlone<S>;

  S inner{};

  template <class U>
  Status check(U const& unit, Shape const& shape, std::int64_t kept) const {
    return inner.check(unit, shape, kept);
  }
  template <class U>
  std::int64_t heads(U const& unit, Shape const& shape) const {
    return inner.heads(unit, shape);
  }
  template <class U>
  bool can_judge(U const& unit, Shape const& shape) const {
    return inner.can_judge(unit, shape);
  }
  template <class U>
  void reserve(Cpu exec, U const& unit, Shape const& shape, Workspace& memory) const {
    inner.reserve(exec, unit, shape, memory);
  }

  template <class U, Storage T>
  Status score(Cpu exec, U const& unit, Problem<T> const& problem, Workspace memory, Scores scores) const {
    if (Status s = inner.score(exec, unit, problem, memory, scores); !s) return s;
    std::int64_t const heads = scores.extent(0), kinds = scores.extent(1);
    exec.for_work(heads * kinds * scores.extent(2) * 16).each(heads * kinds, [&](std::int64_t item, int) {
      std::int64_t const head = item / kinds;
      std::int64_t const units = unit.candidates(problem.kv.length(head * problem.heads_kv() / heads));
      detail::soften_row(scores.slice(head) + item % kinds * scores.stride(1), units, problem.logit_scale());
    });
    return {};
  }

  template <class U, Storage T>
  Status prepare(Cpu exec, U const& unit, Problem<T> const& problem, Workspace memory) const requires StreamedUnit<U> {
    return inner.prepare(exec, unit, problem, memory);
  }
  template <class U, Storage T>
  Status score(Cpu exec, U const& unit, Problem<T> const& problem, Workspace memory, RowChunk const& chunk,
               Scores scores) const {
    if (Status s = inner.score(exec, unit, problem, memory, chunk, scores); !s) return s;
    for (std::int64_t row = 0; row < chunk.rows; ++row)
      detail::soften_row(&scores(0, row, 0), scores.extent(2), problem.logit_scale());
    return {};
  }
};

}  // namespace lacuna
