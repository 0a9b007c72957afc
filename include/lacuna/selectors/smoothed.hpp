#pragma once

#include <algorithm>

#include "lacuna/selectors/selector.hpp"

namespace lacuna {

/// Wraps a selector: each score becomes the mean of the `width` scores around it. Zeros are read beyond either end and
/// the divisor stays `width`, so both ends are damped, as in SnapKV.
template <class S>
struct Smoothed {
  static constexpr bool measures_mass = kMeasuresMass<S>;
  static constexpr bool reads_bounds_alone = kReadsBoundsAlone<S>;

  S inner{};
  std::int64_t width = 21;  // units, odd

  template <class U>
  Status check(U const& unit, Shape const& shape, std::int64_t kept) const {
    if (width < 1 || width % 2 == 0) return Status::invalid("smoothed: width must be odd and at least 1", width, 1);
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
    memory.take<float>(exec.workers * unit.candidates(shape.len_k));
    inner.reserve(exec, unit, shape, memory);
  }

  template <class U, Storage T>
  Status score(Cpu exec, U const& unit, Problem<T> const& problem, Workspace memory, Scores scores) const {
    std::int64_t const units = scores.extent(2);
    float* const rough_rows = memory.take<float>(exec.workers * units);
    if (Status s = memory.check("smoothed: the workspace is smaller than planned"); !s) return s;
    if (Status s = inner.score(exec, unit, problem, memory, scores); !s) return s;
    std::int64_t const reach = width / 2;
    std::int64_t const rows = scores.extent(0) * scores.extent(1);
    exec.for_work(rows * units * width).each(rows, [&](std::int64_t item, int worker) {
      float* const rough = rough_rows + worker * units;
      float* const smooth = scores.slice(item / scores.extent(1)) + item % scores.extent(1) * scores.stride(1);
      std::copy_n(smooth, units, rough);
      // Not a running sum: that would carry a NaN, and rounding errors, to every unit behind it.
      for (std::int64_t i = 0; i < units; ++i) {
        float sum = 0.0F;
        for (std::int64_t j = std::max<std::int64_t>(i - reach, 0); j <= std::min(i + reach, units - 1); ++j)
          sum += rough[j];
        smooth[i] = sum / static_cast<float>(width);
      }
    });
    return {};
  }
};

}  // namespace lacuna
