#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "lacuna/kernels/soften.hpp"
#include "lacuna/selectors/selector.hpp"

namespace lacuna {
namespace detail {

/// Products become the softmax of their logits. NaN weighs nothing, and -inf, which is no candidate, stays.
template <class T>
void soften_row(Problem<T> const& problem, float* scores, std::int64_t units) {
  constexpr float kNone = -std::numeric_limits<float>::infinity();
  float const scale = problem.logit_scale();
  float highest = kNone;
  for (std::int64_t unit = 0; unit < units; ++unit) {
    float& score = scores[unit];
    if (score != kNone) score = std::min(problem.capped(score * scale), std::numeric_limits<float>::max());
    if (score > highest) highest = score;
  }
  double total = 0.0;
  for (std::int64_t unit = 0; unit < units; ++unit) {
    float& score = scores[unit];
    if (score == kNone) continue;
    score = std::isnan(score) ? 0.0F : std::exp(score - highest);
    total += static_cast<double>(score);
  }
  if (total == 0.0) return;
  auto const inverse = static_cast<float>(1.0 / total);
  for (std::int64_t unit = 0; unit < units; ++unit) scores[unit] *= inverse;
}

}  // namespace detail

/// Wraps a selector whose scores are logits without scale, such as MeanPool or MinMaxBound: each row becomes its
/// softmax under the problem's scale and cap, which a budget of mass can add up.
template <class S>
struct Normalised {
  static constexpr bool measures_mass = true;
  static constexpr bool reads_bounds_alone = kReadsBoundsAlone<S>;

  S inner{};

  template <class U, Storage T>
  Status score(Cpu exec, U const& unit, Problem<T> const& problem, Workspace memory,
               Scores scores) const requires WholeSelectorFor<S, U> {
    if (Status s = inner.score(exec, unit, problem, memory, scores); !s) return s;
    std::int64_t const heads = scores.extent(0), kinds = scores.extent(1);
    exec.for_work(heads * kinds * scores.extent(2) * 16).each(heads * kinds, [&](std::int64_t item, int) {
      std::int64_t const head = item / kinds;
      std::int64_t const units = unit.candidates(problem.kv.length(head * problem.heads_kv() / heads));
      detail::soften_row(problem, scores.slice(head) + item % kinds * scores.stride(1), units);
    });
    return {};
  }

  template <class U, Storage T>
  Status score(Cpu exec, U const& unit, Problem<T> const& problem, Workspace memory, RowChunk const& chunk,
               Scores scores) const requires StreamedSelectorFor<S, U> {
    if (Status s = inner.score(exec, unit, problem, memory, chunk, scores); !s) return s;
    for (std::int64_t row = 0; row < chunk.rows; ++row)
      detail::soften_row(problem, &scores(0, row, 0), scores.extent(2));
    return {};
  }

#if LACUNA_CUDA
  template <class U, Storage T>
  Status score(Cuda exec, U const& unit, BatchProblem<T> const& problem, Workspace memory, Counts candidates,
               Scores scores) const requires WholeSelectorFor<S, U> {
    if (Status s = inner.score(exec, unit, problem, memory, candidates, scores); !s) return s;
    return soften(exec, {scores, candidates, problem.logit_scale(), problem.soft_cap});
  }
  template <class U, Storage T>
  Status score(Cuda exec, U const& unit, BatchProblem<T> const& problem, Workspace memory, BatchChunk const& chunk,
               Counts candidates, Scores scores) const requires StreamedSelectorFor<S, U> {
    if (Status s = inner.score(exec, unit, problem, memory, chunk, candidates, scores); !s) return s;
    return soften(exec, {scores, candidates, problem.logit_scale(), problem.soft_cap});
  }
#endif
};

}  // namespace lacuna
