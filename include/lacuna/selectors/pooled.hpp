#pragma once

#include <algorithm>
#include <concepts>

#include "lacuna/kernels/smooth.hpp"
#include "lacuna/selectors/selector.hpp"

namespace lacuna {

/// The mean of scores around one. Zeros are read beyond either end and count, so both ends are damped, as in SnapKV.
struct MeanAround {
  static constexpr std::int64_t default_width = 21;
  // Not a running sum: that would carry a NaN, and rounding errors, to every unit behind it.
  static float of(float const* first, float const* last, float, std::int64_t width) {
    float sum = 0.0F;
    for (; first != last; ++first) sum += *first;
    return sum / static_cast<float>(width);
  }
};

/// The highest of the scores around one, as AdaKV pools. A NaN wins.
struct HighestAround {
  static constexpr std::int64_t default_width = 7;
  static float of(float const* first, float const* last, float own, std::int64_t) {
    for (; first != last; ++first)
      if (*first > own || *first != *first) own = *first;
    return own;
  }
};

/// Wraps a selector: each score is replaced by what Reduction makes of the `width` scores around it.
template <class S, class Reduction>
struct Pooled {
  static constexpr bool measures_mass = kMeasuresMass<S>;
  static constexpr bool reads_bounds_alone = kReadsBoundsAlone<S>;

  S inner{};
  std::int64_t width = Reduction::default_width;  // units, odd

  template <class U>
  Status check(U const& unit, Shape const& shape, std::int64_t kept) const {
    if (width < 1 || width % 2 == 0) return Status::invalid("pooled: width must be odd and at least 1", width, 1);
    return check_selector(inner, unit, shape, kept);
  }
  template <class U>
  void reserve(Cpu exec, U const& unit, Shape const& shape, Workspace& memory) const {
    memory.take<float>(exec.workers * unit.candidates(shape.len_k));
    reserve_scoring(exec, inner, unit, shape, memory);
  }

  template <class U, Storage T>
  Status score(Cpu exec, U const& unit, Problem<T> const& problem, Workspace memory,
               Scores scores) const requires WholeSelectorFor<S, U> {
    std::int64_t const units = scores.extent(2);
    float* const rough_rows = memory.take<float>(exec.workers * units);
    if (Status s = memory.check("pooled: the workspace is smaller than planned"); !s) return s;
    if (Status s = inner.score(exec, unit, problem, memory, scores); !s) return s;
    std::int64_t const reach = width / 2, rows = scores.extent(0) * scores.extent(1);
    exec.for_work(rows * units * width).each(rows, [&](std::int64_t item, int worker) {
      float* const rough = rough_rows + worker * units;
      float* const row = scores.slice(item / scores.extent(1)) + item % scores.extent(1) * scores.stride(1);
      std::copy_n(row, units, rough);
      for (std::int64_t i = 0; i < units; ++i)
        row[i] = Reduction::of(rough + std::max<std::int64_t>(i - reach, 0), rough + std::min(i + reach + 1, units),
                               rough[i], width);
    });
    return {};
  }

#if LACUNA_CUDA
  template <class U>
  void reserve(Cuda exec, U const& unit, BatchShape const& shape, std::int64_t rows, Workspace& memory) const {
    (void)take_rough(unit, shape, memory);
    reserve_scoring(exec, inner, unit, shape, rows, memory);
  }
  template <class U, Storage T>
  Status score(Cuda exec, U const& unit, BatchProblem<T> const& problem, Workspace memory, Counts candidates,
               Scores scores) const requires(WholeSelectorFor<S, U> && (std::same_as<Reduction, MeanAround> ||
                                                                        std::same_as<Reduction, HighestAround>)) {
    Scores const rough = take_rough(unit, shape_of(problem), memory);
    if (Status s = memory.check("pooled: the workspace is smaller than planned"); !s) return s;
    if (Status s = inner.score(exec, unit, problem, memory, candidates, rough); !s) return s;
    return smooth(exec, {rough, scores, candidates, width, std::same_as<Reduction, HighestAround>});
  }

 private:
  template <class U>
  Scores take_rough(U const& unit, BatchShape const& shape, Workspace& memory) const {
    return memory.take<float, 3>(
        {shape.batch * heads_of(inner, unit, shape.each), U::rows, (unit.candidates(shape.each.len_k) + 3) / 4 * 4});
  }
#endif
};

template <class S>
using Smoothed = Pooled<S, MeanAround>;
template <class S>
using HighestNear = Pooled<S, HighestAround>;

}  // namespace lacuna
