#pragma once

#include <algorithm>

#include "lacuna/budgets/budget.hpp"

#if LACUNA_CUDA
#include "lacuna/kernels/cuda/token_steps.cuh"
#endif

namespace lacuna {

/// Wraps a budget so that it pays for the unit which is kept on top of every choice, as the original Quest counts its
/// current page: one unit fewer is chosen.
template <class B>
struct WithCurrent {
  static constexpr bool gives_its_limit = detail::kGivesItsLimit<B>;

  B inner{};

  template <class U>
  Status check(U const& unit) const {
    return inner.check(unit);
  }
  template <class U>
  std::int64_t limit(U const& unit, int row, std::int64_t len) const {
    return std::max<std::int64_t>(inner.limit(unit, row, len) - 1, 0);
  }
  template <class U>
  std::int64_t mean(U const& unit, int row, std::int64_t len) const {
    return std::max<std::int64_t>(detail::mean_units(inner, unit, row, len) - 1, 0);
  }
  template <class U>
  Status allot(Cpu exec, U const& unit, Scores scores, Counts counts) const {
    // One of limit - 1 at once: with fewer candidates than the limit nothing need be given up.
    if constexpr (gives_its_limit) return detail::allot_limits(*this, unit, scores, counts);
    if (Status s = inner.allot(exec, unit, scores, counts); !s) return s;
    for (std::int64_t head = 0; head < counts.extent(0); ++head)
      for (std::int64_t row = 0; row < counts.extent(1); ++row) counts(head, row) = std::max(counts(head, row) - 1, 0);
    return {};
  }

#if LACUNA_CUDA
  template <class U>
  Status allot(Cuda exec, U const& unit, Counts counts) const requires requires(B b) {
    b.allot(exec, unit, counts);
  }
  {
    if (Status s = inner.allot(exec, unit, counts); !s) return s;
    return cuda::one_less(exec, counts);
  }
  template <class U>
  Status allot(Cuda exec, U const& unit, std::int64_t batch, Counts counts) const requires requires(B b) {
    b.allot(exec, unit, batch, counts);
  }
  {
    if (Status s = inner.allot(exec, unit, batch, counts); !s) return s;
    return cuda::one_less(exec, counts);
  }
  template <class U>
  Status allot(Cuda exec, U const& unit, Scores scores, Counts counts) const requires requires(B b) {
    b.allot(exec, unit, scores, counts);
  }
  {
    if (Status s = inner.allot(exec, unit, scores, counts); !s) return s;
    return cuda::one_less(exec, counts);
  }
  template <class U>
  Status allot(Cuda exec, U const& unit, std::int64_t batch, Scores scores, Counts counts) const requires
      requires(B b) {
    b.allot(exec, unit, batch, scores, counts);
  }
  {
    if (Status s = inner.allot(exec, unit, batch, scores, counts); !s) return s;
    return cuda::one_less(exec, counts);
  }
#endif
};

}  // namespace lacuna
